"""Logs as JSON, a line for each record, with the job and the trace that it is about.

The members are those that collectors take without being told: `time` (RFC 3339), `severity`, `message`.
"""

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType

from audiolift import tracing

#: What is secret of whatever is quoted, be it a mail server that repeats the link it dislikes: the signature of a link,
#: the secret of a webhook, credentials, a JWT.
_SECRET = re.compile(
    r"(signature=|whsec_)[\w+/=~.%-]+|\b((?:Bearer|Basic) )[\w+/=~.%-]{16,}|\beyJ[\w-]+\.[\w-]+\.[\w-]*",
    re.ASCII | re.IGNORECASE,
)

_job: ContextVar[str | None] = ContextVar("job", default=None)


class JsonFormatter(logging.Formatter):
    """Makes a record one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        known = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "severity": record.levelname,
            "logger": record.name,
            "message": _hidden(record.getMessage()),
            "job_id": _job.get(),
            "trace_id": tracing.trace_id(),
            "exception": _hidden(self.formatException(record.exc_info)) if record.exc_info else None,
        }
        return json.dumps({name: value for name, value in known.items() if value is not None}, ensure_ascii=False)


def start() -> None:
    """Writes all logs of this process to stderr from now on, those of its server and its last words as well."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    uvicorn = logging.getLogger("uvicorn")
    uvicorn.handlers.clear()
    uvicorn.propagate = True
    sys.excepthook = _log_last_words


def about(job_id: str | None) -> None:
    """Says which job all is about that this request logs from now on.

    It holds for this task, or for this thread until the next call: whoever serves requests in threads begins with None.
    """
    _job.set(job_id)


def _hidden(text: str) -> str:
    return _SECRET.sub(lambda match: f"{match[1] or match[2] or ''}***", text)


def _log_last_words(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        logging.getLogger("audiolift").critical("%s", error, exc_info=(kind, error, trace))
