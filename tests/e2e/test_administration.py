"""What the operator does with the command line client: dead letters that the broker made, and accounts of others."""

import contextlib
import json
from collections.abc import Iterator

import pika
import pytest
import yaml

from local.eventing.spec import TriggerSpec
from local.eventing.topology import dead_letters_name, exchange_name, queue_name
from local.ports import free_port
from local.supervisor import Addresses
from tests import keyrings
from tests.e2e.commands import Cli
from tests.e2e.person import Person
from tests.e2e.test_trouble import UPLOADED, frozen
from tests.eventing import dispatcher
from tests.platform_process import Platform
from tests.videos import Videos
from tests.waiting import until


@pytest.fixture(scope="module")
def key(platform: Platform) -> str:
    """The admin key of the platform."""
    objects = yaml.safe_load_all((platform.home / "site.yaml").read_text())
    return next(str(one["stringData"]["key"]) for one in objects if one["metadata"]["name"] == "audiolift-admin")


@contextlib.contextmanager
def giving_up(platform: Platform) -> Iterator[None]:
    """A Trigger with no retries, whose subscriber is away, in the place of that of convert, which stands still."""
    ports = json.loads((platform.home / "ports.json").read_text())
    trigger = TriggerSpec(
        name="given-up",
        broker="default",
        attributes={"type": UPLOADED},
        subscriber_url=f"http://127.0.0.1:{free_port()}/",
        dead_letter_url=f"http://127.0.0.1:{ports['service-upload']}/dead-letters",
    )
    rabbitmq, convert = Addresses.read(platform.home).rabbitmq_url, platform.pid("trigger-convert")
    assert convert
    queue, dead = queue_name(trigger), dead_letters_name(trigger)
    with pika.BlockingConnection(pika.URLParameters(rabbitmq)) as connection:
        channel = connection.channel()
        for name in (queue, dead):
            channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum"})
        channel.exchange_declare(dead, exchange_type="headers", durable=True)
        channel.queue_bind(dead, dead, arguments={"x-match": "all"})
        channel.queue_bind(queue, exchange_name("default"), arguments={"type": UPLOADED, "x-match": "all"})
        with frozen(convert), dispatcher(rabbitmq, trigger):
            yield
        for name in (queue, dead):
            channel.queue_delete(name)
        channel.exchange_delete(dead)


def test_a_conversion_that_was_given_up_is_replayed_and_ends_well(
    cli: Cli, platform: Platform, key: str, videos: Videos
) -> None:
    someone = Person(platform.url)
    cli.environment["AUDIOLIFT_ADMIN_KEY"] = key
    with giving_up(platform):
        job = someone.send(videos["index-last.mp4"])
        until(lambda: someone.job(job)["state"] == "failed", 60)
    assert someone.job(job)["error"]["code"] == "conversion_failed"

    (letter,) = [one for one in cli.json("dead-letters", "list")["dead_letters"] if one["job"] == job]
    assert letter["type"] == UPLOADED
    shown = cli.run("dead-letters", "list")[1]
    assert f"{letter['id']}  video.uploaded  {job}" in shown
    event = cli.json("dead-letters", "show", letter["id"])["event"]
    assert (event["subject"], event["data"]["name"]) == (job, "index-last.mp4")
    assert f'"job": "{job}"' in cli.run("dead-letters", "show", letter["id"])[1]

    # Refused while the sweep has the failure told.
    printed = until(lambda: cli.run("dead-letters", "replay", letter["id"])[1])
    assert printed == f"{letter['id']} is sent again.\n"
    until(lambda: someone.job(job)["state"] == "notified", 90)
    assert someone.audio(job)
    subjects = [mail["subject"] for mail in someone.mails()]
    assert subjects[0] == "index-last.mp3 is ready"
    assert subjects[1:] in ([], ["index-last.mp4 could not be converted"])
    assert cli.json("dead-letters", "drop", letter["id"], "--yes") == {"dropped": [letter["id"]]}


def test_accounts_are_added_disabled_and_enabled(cli: Cli, platform: Platform, key: str) -> None:
    email, password = f"{free_port()}+added@example.com", "a long pass phrase"
    secrets = ("--admin-key-stdin", "--password-stdin")
    added = cli.run("users", "add", email, *secrets, "--json", typed=f"{key}\n{password}\n")
    assert (added[0], json.loads(added[1])["email"]) == (0, email)

    # The key is in the keyring from now on, and so is the login.
    login = ("login", "--server", platform.url, "--email", email, "--password-stdin")
    cli.environment["PYTHON_KEYRING_BACKEND"] = keyrings.SOME
    (cli.home / "keyring").write_text(json.dumps({f"audiolift-admin/{platform.url}": key}))
    assert cli.run(*login, typed=password)[0] == 0
    assert not cli.account.exists()
    assert cli.json("jobs")["jobs"] == []
    assert cli.run("users", "disable", email)[1] == f"{email} is disabled.\n"
    code, _, complained = cli.run(*login, typed=password)
    assert (code, "account is disabled" in complained) == (1, True)
    assert cli.run(*login, typed="a wrong pass phrase")[0] == 3
    assert cli.json("users", "enable", email)["disabled"] is False
    assert cli.run(*login, typed=password)[0] == 0
    assert cli.run("users", "disable", email, "--admin-key-stdin", typed="wrong")[0] == 3
    assert cli.json("users", "delete", email, "--yes") == {"deleted": email}
    assert cli.run(*login, typed=password)[0] == 3
    assert "no account" in cli.run("users", "delete", email, "--yes")[2]
