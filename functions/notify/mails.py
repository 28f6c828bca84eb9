"""The mails themselves: what the owner of a job reads, as text and as HTML."""

import email.policy
import unicodedata
from datetime import UTC, datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import jinja2

from audiolift import links
from audiolift.errors import CODES, PermanentError
from audiolift.jobs import Job

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=jinja2.select_autoescape(["html"]),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

_NAME_LENGTH = 80
#: Join letters in Persian or Indic names and the parts of an emoji; all other format characters only deceive.
_JOINERS = "\u200c\u200d"


def compose(job: Job, *, public_url: str, mail_from: str, link_keys: links.Keys, link_valid_s: int) -> EmailMessage:
    """The mail that tells the owner of a converted or failed job how it ended.

    Args:
        job: The whole document.
        public_url: Where people reach Audiolift, without a slash at the end.
        mail_from: The address that mails come from.
        link_keys: The first one signs the download link.
        link_valid_s: How long the link works, in seconds; it never outlives the job.

    Raises:
        PermanentError: `mail_refused`, when the owner's address is none.
    """
    now = datetime.now(UTC)
    if job["state"] == "failed":
        template, outcome, facts = "failed", "could not be converted", _failure(job)
    else:
        link = links.to_audio(job, public_url=public_url, keys=link_keys, valid_s=link_valid_s)
        facts = _audio(job) | {"link": link.url, "until": moment(link.expires_at)}
        template, outcome = "converted", "is ready"
    subject = f"{facts['name']} {outcome}"
    facts |= {"subject": subject, "public_url": public_url}
    mail = _envelope(job, subject, mail_from=mail_from, now=now)
    mail.set_content(_TEMPLATES.get_template(f"{template}.txt").render(facts))
    mail.add_alternative(_TEMPLATES.get_template(f"{template}.html").render(facts), subtype="html")
    return mail


def shown_name(name: str) -> str:
    """A file's name as it can stand in a header or a sentence: one line, no invisible signs, not too long."""
    spaced = "".join(" " if unicodedata.category(sign) in ("Cc", "Zl", "Zp") else sign for sign in name)
    visible = "".join(sign for sign in spaced if unicodedata.category(sign) not in ("Cf", "Cs") or sign in _JOINERS)
    # A header would decode what looks like an encoded word (RFC 2047).
    line = " ".join(visible.replace("=?", "= ?").split())
    if len(line) > _NAME_LENGTH:
        line = f"{line[:50]}…{line[-(_NAME_LENGTH - 51) :]}"
    return line or "Your file"


def duration(seconds: float) -> str:
    """A length for people, like `5 s`, `3 min 05 s` or `1 h 02 min`."""
    minutes, rest = divmod(max(round(seconds), 1), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def size(count: int) -> str:
    """A number of bytes for people, like `4.2 MB` (powers of 1000)."""
    if count < 1000:
        return f"{count} bytes"
    kilo = count / 1000
    return f"{kilo:.0f} kB" if kilo < 999.5 else f"{kilo / 1000:.1f} MB"


def moment(time: datetime) -> str:
    """A time for people, like `1 December 2026, 14:05 UTC`."""
    return f"{time.day} {time:%B %Y, %H:%M} UTC"


class _Subject(str):
    """A subject written by the standard library's older encoder: the newer one loses spaces between encoded words."""

    name = "subject"

    def fold(self, *, policy: email.policy.Policy) -> str:
        """What `email.policy.EmailPolicy.fold` calls for a value that has a name."""
        charset = "us-ascii" if self.isascii() else "utf-8"
        return f"Subject: {Header(self, charset, header_name='Subject').encode(linesep=policy.linesep)}{policy.linesep}"


def _audio(job: Job) -> dict[str, Any]:
    audio = job["audio"]
    return {
        "name": shown_name(audio["name"]),
        "duration": duration(audio["duration_s"]),
        "size": size(audio["size"]),
        "kind": "zip file" if audio.get("content_type") == "application/zip" else "MP3",
    }


def _failure(job: Job) -> dict[str, Any]:
    error = job["error"]
    code = CODES.get(error["code"])
    return {
        "name": shown_name(job["video"]["name"]),
        "reason": error["message"],
        "ours": code is None or code.status >= 500,
        "job": job["_id"],
    }


def _envelope(job: Job, subject: str, *, mail_from: str, now: datetime) -> EmailMessage:
    sender = Address("Audiolift", addr_spec=mail_from)
    mail = EmailMessage(email.policy.SMTP)
    mail["From"] = sender
    try:
        mail["To"] = Address(addr_spec=job["email"])
    except Exception as error:  # the parser raises whatever it trips over
        raise PermanentError("mail_refused", cause=f"the owner's address cannot be written: {error}") from error
    mail["Subject"] = _Subject(subject)
    mail["Date"] = format_datetime(now)
    # The same for every copy: a mail program shows one, should the mail ever go out twice.
    mail["Message-ID"] = f"<{job['_id']}.{job['state']}@{sender.domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    return mail
