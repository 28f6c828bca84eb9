"""gunicorn's own log, also of the process that minds the workers, as JSON: `gunicorn --logger-class` names it."""

from gunicorn import glogging
from gunicorn.config import Config

from audiolift.logs import JsonFormatter


class Logger(glogging.Logger):  # type: ignore[misc]  # gunicorn has no types
    """Writes what gunicorn has to say as our functions write theirs."""

    def setup(self, cfg: Config) -> None:
        """Called at the start, and whenever gunicorn reads its settings again."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(JsonFormatter())
