"""The settings of notify. Those of a mail transport are read only where MAIL_TRANSPORT names it."""

from dataclasses import dataclass, field
from email.headerregistry import Address
from urllib.parse import unquote, urlsplit

from audiolift import links
from audiolift.addresses import Networks, parse_networks
from audiolift.settings import parse_base_url, setting
from audiolift.store import parse_uri


@dataclass(frozen=True)
class SmtpServer:
    """Where mails go, and whether TLS begins with the first byte (else with STARTTLS)."""

    host: str
    port: int
    tls: bool
    username: str
    password: str = field(repr=False)


def parse_smtp_url(text: str) -> SmtpServer:
    """Reads `smtp://user:password@host:port` or `smtps://...`; the ports are 587 and 465 unless given (RFC 8314).

    Raises:
        ValueError: Says what is wrong, without the password.
    """
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:  # its own text may show the password
        raise ValueError("is not an address, or its port is no number up to 65535") from None
    if url.scheme not in ("smtp", "smtps") or not url.hostname:
        raise ValueError("is not written like smtp://user:password@host:port or smtps://...")
    if url.path.strip("/") or url.query or url.fragment or bool(url.username) != bool(url.password):
        raise ValueError("has more or less than a user name with its password, a host and a port")
    tls = url.scheme == "smtps"
    username, password = unquote(url.username or ""), unquote(url.password or "")
    return SmtpServer(url.hostname, port or (465 if tls else 587), tls, username, password)


def _parse_address(text: str) -> str:
    try:
        address = Address(addr_spec=text)
    except Exception:  # the parser raises whatever it trips over
        address = Address()
    if not address.username or not address.domain:
        raise ValueError("is not a mail address like noreply@example.com")
    return text


@dataclass(frozen=True)
class NotifySettings:
    """What notify needs whatever sends its mails."""

    k_sink: str = setting("The address that events are sent to, given by the SinkBinding.")
    mongodb_uri: str = setting("Where MongoDB is, as mongodb://user:password@host/.", secret=True, parse=parse_uri)
    link_keys: links.Keys = setting(
        "The keys of download links, as id=hex,id=hex; the first one signs.", secret=True, parse=links.parse_keys
    )
    public_url: str = setting("Where people reach Audiolift, like https://audiolift.example.com.", parse=parse_base_url)
    mail_from: str = setting("The address that mails come from.", parse=_parse_address)
    mail_transport: str = setting("What takes the mails.", choices=("smtp", "sendgrid"))
    link_valid_s: int = setting("How long a download link works, in seconds.", default=604800, at_least=60)
    webhook_allowed_networks: Networks = setting(
        "Networks off the public internet that webhooks may be in, like 10.1.0.0/16,fd00::/8.",
        default=(),
        parse=parse_networks,
    )


@dataclass(frozen=True)
class SmtpSettings:
    """What MAIL_TRANSPORT=smtp needs."""

    smtp_url: SmtpServer = setting(
        "The mail server, as smtp://user:password@host:port or smtps://....", secret=True, parse=parse_smtp_url
    )


@dataclass(frozen=True)
class SendGridSettings:
    """What MAIL_TRANSPORT=sendgrid needs."""

    sendgrid_api_key: str = setting("The API key of SendGrid, which may send mail.", secret=True)
    sendgrid_url: str = setting("Where SendGrid's API is.", default="https://api.sendgrid.com", parse=parse_base_url)
