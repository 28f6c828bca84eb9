"""What auth reads from its environment; `knative/auth.yaml` sets it."""

from dataclasses import dataclass

from attempts import Networks, parse_networks
from audiolift.admin import parse_key
from audiolift.settings import parse_base_url, setting
from database import Server, parse_server
from signing import SigningKey, parse_signing_keys


@dataclass(frozen=True)
class AuthSettings:
    """Settings of the auth function."""

    mysql_url: Server = setting(
        "the database as mysql://user:password@host:port/database, percent-encoded", secret=True, parse=parse_server
    )
    token_keys: tuple[SigningKey, ...] = setting(
        "a JWK set of private Ed25519 keys, each with its own kid: the first signs, all are published",
        secret=True,
        parse=parse_signing_keys,
    )
    k_sink: str = setting("the address that events are sent to, given by the SinkBinding")
    cluster_host: str = setting("the name under which only the cluster reaches this function, for its internal address")
    threads: int = setting("how many requests are served at once", at_least=1)
    public_url: str = setting("where people reach Audiolift, like https://audiolift.example.com", parse=parse_base_url)
    admin_key: str | None = setting(
        "the operator's key to the addresses under /admin, 32 characters or more; without it they are not there",
        default=None,
        secret=True,
        parse=parse_key,
    )
    mysql_connections: int = setting("how many connections to MySQL are kept, at most 32", default=8, at_least=1)
    token_issuer: str = setting("the claim iss of access tokens", default="audiolift")
    token_audience: str = setting("the claim aud of access tokens", default="audiolift")
    access_token_s: int = setting("how long an access token is valid, in seconds", default=900, at_least=1)
    refresh_token_s: int = setting(
        "how long a login lasts after its last refresh, in seconds", default=30 * 86400, at_least=1
    )
    login_attempts_per_account: int = setting(
        "how many logins or registrations one mail address may fail in a window", default=10, at_least=1
    )
    login_attempts_per_address: int = setting(
        "how many logins and registrations one client address may try in a window", default=100, at_least=1
    )
    login_attempts_window_s: int = setting("the window of both limits, in seconds", default=900, at_least=1)
    trusted_proxies: Networks = setting(
        "networks of our own proxies, as 10.0.0.0/8,fd00::/8: hops of X-Forwarded-For that are no clients",
        default=(),
        parse=parse_networks,
    )
