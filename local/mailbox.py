"""The mails that the SMTP catcher kept, to be looked at: /mail for people, /mail.json for programs."""

import email
import email.policy
import json
import re
from dataclasses import asdict, dataclass
from email.message import EmailMessage
from html import escape
from pathlib import Path

from local.http import Head, answer

_NEWEST = 200
# Any other name may be a page's that was made to lead here and would read the mails (DNS rebinding).
_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.IGNORECASE)
_LINK = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)\]]")
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h1 { font-size: 1.4rem } h2 { font-size: 1rem; margin-top: 2rem } a { color: #06c }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .4rem .8rem .4rem 0 }
tr { border-bottom: 1px solid #ddd } dt { float: left; width: 5rem; color: #666 } dd { margin-left: 5rem }
pre { white-space: pre-wrap; background: #f6f6f6; padding: 1rem }
iframe { width: 100%; height: 32rem; border: 1px solid #ddd }
"""


@dataclass(frozen=True)
class Mail:
    """A mail that was caught.

    Attributes:
        id: The name of its file; sorts by time.
        sender: From.
        to: To.
        subject: Subject.
        date: Date, as in the mail.
        text: The plain text part.
        html: The HTML part.
    """

    id: str
    sender: str
    to: str
    subject: str
    date: str
    text: str
    html: str


class Mailbox:
    """Shows the mails in a directory of .eml files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def page(self, head: Head) -> bytes | None:
        """The answer to a request below /mail on this machine's own names; None to any other."""
        if not _HOST.fullmatch(head.get("host") or ""):
            return None
        path = head.start[1].split("?", 1)[0].rstrip("/")
        if path == "/mail" and "application/json" not in (head.get("accept") or ""):
            return _html("Mails", _list(self._newest()))
        if path in ("/mail", "/mail.json"):
            mails = json.dumps([asdict(mail) for mail in self._newest()], indent=1).encode()
            return answer(200, {"Content-Type": "application/json", "Cache-Control": "no-store"}, mails)
        if match := re.fullmatch(r"/mail/([0-9]+)(/html)?", path):
            return self._one(match[1], whole=not match[2])
        return None

    def _newest(self) -> list[Mail]:
        paths = sorted(self._directory.glob("*.eml"), reverse=True)[:_NEWEST]
        return [_read(path) for path in paths]

    def _one(self, name: str, *, whole: bool) -> bytes:
        path = self._directory / f"{name}.eml"
        if not path.exists():
            return _html("No such mail", "<p><a href='/mail'>All mails</a></p>", status=404)
        mail = _read(path)
        if whole:
            return _html(mail.subject, _details(mail))
        # What came by mail runs nothing and loads nothing.
        policy = "sandbox allow-popups; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
        headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy}
        return answer(200, headers, mail.html.encode())


def _read(path: Path) -> Mail:
    message = email.message_from_bytes(path.read_bytes(), EmailMessage, policy=email.policy.default)
    names = ("from", "to", "subject", "date")
    sender, to, subject, date = (str(message.get(name, "")) for name in names)
    return Mail(path.stem, sender, to, subject, date, _part(message, "plain"), _part(message, "html"))


def _part(message: EmailMessage, subtype: str) -> str:
    part = message.get_body(preferencelist=(subtype,))
    return str(part.get_content()) if part else ""


def _list(mails: list[Mail]) -> str:
    if not mails:
        return "<p>There are no mails yet. They appear here when a conversion ends.</p>"
    rows = "".join(
        f"<tr><td>{escape(mail.date)}</td><td>{escape(mail.to)}</td>"
        f"<td><a href='/mail/{mail.id}'>{escape(mail.subject) or '(no subject)'}</a></td></tr>"
        for mail in mails
    )
    return f"<table><tr><th>Date</th><th>To</th><th>Subject</th></tr>{rows}</table>"


def _details(mail: Mail) -> str:
    fields = (("From", mail.sender), ("To", mail.to), ("Date", mail.date))
    parts = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in fields)
    page = f"<p><a href='/mail'>All mails</a></p><dl>{parts}</dl>"
    if mail.html:
        page += f"<h2>HTML</h2><iframe sandbox='allow-popups' src='/mail/{mail.id}/html'></iframe>"
    if mail.text:
        text = _LINK.sub(lambda link: f"<a href='{link[0]}'>{link[0]}</a>", escape(mail.text))
        page += f"<h2>Text</h2><pre>{text}</pre>"
    return page


def _html(title: str, content: str, *, status: int = 200) -> bytes:
    page = f"<!doctype html><title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>{content}"
    headers = {"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store"}
    return answer(status, headers, page.encode())
