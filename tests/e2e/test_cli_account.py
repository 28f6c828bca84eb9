"""The command line client: an account, looked at and deleted. The person of this module is gone afterwards."""

from tests.e2e.commands import Cli
from tests.e2e.person import Person


def test_an_account_is_looked_at_and_deleted(cli: Cli, person: Person) -> None:
    person.send(b"no video at all")
    shown = cli.run("me")[1]
    assert person.email in shown
    assert "15 B" in shown and "214.7 GB" in shown and "10000" in shown
    assert cli.json("me")["used"]["storage_bytes"] == 15
    assert "--yes" in cli.run("delete-account", "--password-stdin", typed=person.password)[2]
    assert cli.run("delete-account", "--yes", "--password-stdin", typed="a wrong pass phrase")[0] == 3
    assert cli.json("jobs")["jobs"]
    deleted = cli.run("delete-account", "--yes", "--password-stdin", typed=person.password)
    assert deleted[:2] == (0, f"The account {person.email} is deleted.\n")
    assert cli.run("me")[0] == 3
    assert not cli.account.exists()
