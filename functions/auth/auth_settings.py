"""What auth reads from its environment."""

from dataclasses import dataclass

from attempts import Networks, parse_networks
from audiolift.settings import setting
from database import Server, parse_server
from signing import SigningKey, parse_signing_keys


@dataclass(frozen=True)
class Settings:
    """Auth's settings; each is the environment variable of the same name in capitals."""

    mysql_url: Server = setting(
        "The database as mysql://user:password@host:port/database, percent-encoded.", secret=True, parse=parse_server
    )
    token_keys: tuple[SigningKey, ...] = setting(
        "A JWK set of private Ed25519 keys, each with its own kid: the first signs, all are published.",
        secret=True,
        parse=parse_signing_keys,
    )
    threads: int = setting("How many requests are served at once, each with its connection to MySQL.", at_least=1)
    token_issuer: str = setting("The claim iss of access tokens.", default="audiolift")
    token_audience: str = setting("The claim aud of access tokens.", default="audiolift")
    access_token_s: int = setting("How long an access token is valid, in seconds.", default=900, at_least=1)
    refresh_token_s: int = setting(
        "How long a login lasts after its last refresh, in seconds.", default=30 * 86400, at_least=1
    )
    login_attempts_per_account: int = setting(
        "How many logins or registrations one mail address may fail in a window.", default=10, at_least=1
    )
    login_attempts_per_address: int = setting(
        "How many logins and registrations one client address may try in a window.", default=100, at_least=1
    )
    login_attempts_window_s: int = setting("The window of both limits, in seconds.", default=900, at_least=1)
    trusted_proxies: Networks = setting(
        "Networks of our own proxies, as 10.0.0.0/8,fd00::/8: hops of X-Forwarded-For that are no clients.",
        default=(),
        parse=parse_networks,
    )
