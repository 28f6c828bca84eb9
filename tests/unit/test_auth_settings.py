import ipaddress
import json
from typing import Any
from urllib.parse import quote

import pytest

from audiolift.settings import SettingsError, load
from auth_settings import AuthSettings
from database import Server
from tests.auth_helpers import EVENTING, PUBLIC_URL
from tests.token_keys import new_key, published

KEYS = json.dumps({"keys": [new_key("one"), new_key("two")]})
RIGHT = {
    "MYSQL_URL": "mysql://me:secret@db.example:3307/auth",
    "TOKEN_KEYS": KEYS,
    "THREADS": "8",
    "PUBLIC_URL": PUBLIC_URL,
    **EVENTING,
}


def refusal(**environ: str) -> str:
    with pytest.raises(SettingsError) as refused:
        load(AuthSettings, RIGHT | environ)
    return str(refused.value)


def test_what_the_manifest_sets_is_enough() -> None:
    settings = load(AuthSettings, RIGHT)
    assert settings.mysql_url == Server("db.example", 3307, "me", "secret", "auth")
    assert [key.kid for key in settings.token_keys] == ["one", "two"]
    assert (settings.threads, settings.access_token_s, settings.trusted_proxies) == (8, 900, ())


def test_every_variable_that_is_missing_is_named() -> None:
    with pytest.raises(SettingsError) as refused:
        load(AuthSettings, {})
    assert [line.split()[0] for line in str(refused.value).splitlines()] == [
        "MYSQL_URL",
        "TOKEN_KEYS",
        "K_SINK",
        "CLUSTER_HOST",
        "THREADS",
        "PUBLIC_URL",
    ]


def test_no_secret_is_shown() -> None:
    shown = repr(load(AuthSettings, RIGHT)) + repr(load(AuthSettings, RIGHT).mysql_url)
    assert "secret" not in shown
    assert json.loads(KEYS)["keys"][0]["d"] not in shown


def test_the_parts_of_the_mysql_url_are_decoded() -> None:
    url = f"mysql://{quote('m@e')}:{quote('p@ss/w:rd %é', safe='')}@db/auth"
    assert load(AuthSettings, RIGHT | {"MYSQL_URL": url}).mysql_url == Server("db", 3306, "m@e", "p@ss/w:rd %é", "auth")


@pytest.mark.parametrize(
    "url",
    [
        "postgres://me:hidden@db/auth",
        "mysql://me:hidden@db",
        "mysql://me:hidden@db/",
        "mysql://me:hidden@/auth",
        "mysql://:hidden@db/auth",
        "mysql://me:hid/den@db/auth",
        "mysql://me:hidden@db:port/auth",
        "mysql://me:hidden@db/auth`x",
        "mysql://me:hidden@db/a/b",
        "mysql://me:hidden@db/auth?tls=off",
        "mysql://me:hidden@db/auth#x",
        "hidden",
    ],
)
def test_another_mysql_url_is_refused_without_being_shown(url: str) -> None:
    message = refusal(MYSQL_URL=url)
    assert message.startswith("MYSQL_URL: its value ")
    assert "hid" not in message


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [{**new_key("one"), "d": None}],
        [{**new_key("one"), "d": "c2hvcnQ"}],
        [{**new_key("one"), "crv": "Ed448"}],
        [{**new_key("one"), "kty": "EC"}],
        [{**new_key("one"), "kid": ""}],
        [{**new_key("one"), "kid": 1}],
        [new_key("one"), new_key("one")],
        [{**new_key("one"), "x": new_key("two")["x"]}],
        published(new_key("one"))["keys"],
        ["one"],
        "one",
        None,
    ],
)
def test_other_token_keys_are_refused_without_being_shown(keys: Any) -> None:
    message = refusal(TOKEN_KEYS=json.dumps({"keys": keys}))
    assert message.startswith("TOKEN_KEYS: its value ")
    assert not any(key["x"] in message for key in keys or [] if isinstance(key, dict))


@pytest.mark.parametrize("text", ["{", "[]", "null", "7", "{}", '"keys"'])
def test_token_keys_that_are_no_key_set_are_refused(text: str) -> None:
    assert refusal(TOKEN_KEYS=text).startswith("TOKEN_KEYS: its value ")


def test_trusted_proxies_are_networks() -> None:
    settings = load(AuthSettings, RIGHT | {"TRUSTED_PROXIES": "10.0.0.0/8, fd00::/8"})
    assert settings.trusted_proxies == (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))
    assert refusal(TRUSTED_PROXIES="10.0.0.0/8,gateway").startswith("TRUSTED_PROXIES: ")


@pytest.mark.parametrize("name", ["THREADS", "ACCESS_TOKEN_S", "REFRESH_TOKEN_S", "LOGIN_ATTEMPTS_PER_ACCOUNT"])
def test_no_number_is_zero(name: str) -> None:
    assert refusal(**{name: "0"}).startswith(name)
