"""Real mail servers for tests: SMTP with answers that a test chooses, and SendGrid's API as far as it is used."""

import asyncio
import contextlib
import email
import email.policy
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from local.ports import free_port


@dataclass
class Mailbox:
    """What an SMTP server answers, and what it has taken.

    Attributes:
        answers: The answer to a command (`MAIL`, `RCPT`, `DATA`) where it is not a yes.
        mails: Every mail that it said yes to.
        passwords: Every password that it was shown.
        held: Set while a mail has been taken and the yes is held back.
        go_on: Cleared, the server holds its yes back until it is set.
    """

    url: str = ""
    answers: dict[str, str] = field(default_factory=dict)
    mails: list[EmailMessage] = field(default_factory=list)
    passwords: list[bytes] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    async def handle_MAIL(  # noqa: N802  # aiosmtpd's
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        envelope.mail_from = address
        return self.answers.get("MAIL", "250 OK")

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self.answers.get("RCPT", "250 OK")

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's
        if "DATA" in self.answers:
            return self.answers["DATA"]
        assert isinstance(envelope.content, bytes)
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        mail["X-Envelope"] = f"{envelope.mail_from} -> {', '.join(envelope.rcpt_tos)}"
        self.mails.append(mail)
        self.held.set()
        await asyncio.to_thread(self.go_on.wait, 30)
        return "250 OK"

    async def handle_QUIT(self, server: SMTP, _session: Session, _envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's
        if "QUIT" in self.answers:
            assert isinstance(server.transport, asyncio.WriteTransport)
            server.transport.abort()
        return "221 Bye"


@contextlib.contextmanager
def smtp_server(
    *, tls: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None, password: str = ""
) -> Iterator[Mailbox]:
    """A running SMTP server.

    Args:
        tls: Speaks TLS from the first byte.
        starttls: Offers STARTTLS, and takes no mail without it.
        password: Takes mails only from the user `ada` with this password.
    """
    mailbox = Mailbox()
    mailbox.go_on.set()

    def authenticate(
        _server: SMTP, _session: Session, _envelope: Envelope, _how: str, data: LoginPassword
    ) -> AuthResult:
        mailbox.passwords.append(data.password)
        return AuthResult(success=(data.login, data.password) == (b"ada", password.encode()), handled=False)

    controller = Controller(
        mailbox,
        hostname="127.0.0.1",
        port=free_port(),
        ssl_context=tls,
        tls_context=starttls,
        require_starttls=starttls is not None,
        authenticator=authenticate if password else None,
        auth_required=bool(password),
        auth_require_tls=False,
    )
    controller.start()
    try:
        mailbox.url = f"{'smtps' if tls else 'smtp'}://127.0.0.1:{controller.port}"
        yield mailbox
    finally:
        mailbox.go_on.set()
        controller.stop()


@dataclass
class SendGrid:
    """What SendGrid's API answers, and what it was sent: the headers in lower case, and the parsed body."""

    url: str = ""
    status: int = 202
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)


@contextlib.contextmanager
def sendgrid_api() -> Iterator[SendGrid]:
    """A running `SendGrid`."""
    api = SendGrid()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            api.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            answer = b"" if api.status < 300 else json.dumps({"errors": [{"message": "no such thing"}]}).encode()
            self.send_response(api.status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            api.url = f"http://127.0.0.1:{server.server_port}"
            yield api
        finally:
            server.shutdown()
            thread.join()


def certificate(folder: Path, *names: str) -> Path:
    """A file with a self-made certificate for 127.0.0.1, and for names, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    hosts = [x509.IPAddress(IPv4Address("127.0.0.1")), *(x509.DNSName(host) for host in names)]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "tests.pem"
    path.write_bytes(made.public_bytes(pem) + secret)
    return path


def server_tls(certified: Path) -> ssl.SSLContext:
    """TLS for a server with what `certificate` made."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certified)
    return context
