"""An account from its first job to its end, on the whole platform."""

from pathlib import Path

from audiolift import store
from local.supervisor import Addresses
from tests.e2e.person import Person
from tests.platform_process import Platform
from tests.traces import traces
from tests.waiting import until


def test_what_is_used_is_shown_and_a_deleted_account_leaves_only_the_mark_against_its_tokens(
    platform: Platform, clip: Path
) -> None:
    person, addresses = Person(platform.url), Addresses.read(platform.home)
    assert person.http.get("/me").json()["used"]["storage_bytes"] == 0
    job = person.ended(person.send(clip))
    me = person.http.get("/me").json()
    assert me["email"] == person.email
    assert me["used"]["storage_bytes"] == job["video"]["size"] + job["audio"]["size"]
    assert (me["used"]["jobs"], me["used"]["minutes"]) == (0, 1)

    assert person.http.delete("/account", auth=(person.email, person.password)).status_code == 204
    # By the event, through the broker.
    until(lambda: person.http.get("/me").status_code == 401)
    with store.connect(addresses.mongodb_uri) as mongo:
        assert traces(mongo, addresses.mysql_url, me["id"], person.email) == [f"videos.accounts: {me['id']}"]
        # What the job has stored goes with the next sweep.
        mine = {"files_id": {"$regex": f"^{job['id']}"}}
        until(lambda: not any(mongo[base]["fs.chunks"].count_documents(mine) for base in ("videos", "mp3s")), 150)
    assert person.http.post("/login", auth=(person.email, person.password)).status_code == 401
