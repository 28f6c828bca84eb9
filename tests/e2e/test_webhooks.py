"""Webhooks through the whole platform, to a real receiver; signatures are verified by the official library."""

from pathlib import Path
from typing import Any

import httpx

from tests.e2e.person import Person
from tests.receivers import Call, Receiver, receiver
from tests.waiting import until


def _calls(hook: Receiver, path: str) -> list[Call]:
    return [call for call in hook.calls if call.path == path]


def test_a_job_is_told_to_the_webhook_and_to_the_address_of_its_upload(person: Person, clip: Path) -> None:
    with receiver() as hook:
        base = f"http://127.0.0.1:{hook.port}"
        webhook = person.http.post("/webhooks", json={"url": f"{base}/mine"}).json()
        secret = person.http.get("/webhooks/secret").json()["secret"]
        job = person.send(clip, webhook=f"{base}/once")
        mine = until(lambda: _calls(hook, "/mine"), 90)[0]
        once = until(lambda: _calls(hook, "/once"))[0]
        told: Any = mine.verified(webhook["secret"])
        assert once.verified(secret)["data"] == told["data"]
        assert (told["type"], told["data"]["id"]) == ("job.converted", job)
        assert httpx.get(told["data"]["download"]["url"]).content == person.audio(job)
        assert len(hook.calls) == 2


def test_a_call_that_was_not_taken_is_in_the_log_and_replayed(person: Person) -> None:
    with receiver() as hook:
        webhook = person.http.post("/webhooks", json={"url": hook.url("http"), "events": ["job.failed"]}).json()
        log = f"/webhooks/{webhook['id']}/deliveries"
        hook.status = 500
        job = person.send(b"not a video")
        (failed,) = until(lambda: [one for one in person.http.get(log).json()["deliveries"] if one["attempts"]], 90)
        assert (failed["job"], failed["state"]) == (job, "due")
        assert failed["attempts"][0]["error"] == "The receiver answered 500."

        hook.status = 204
        assert person.http.post(f"/deliveries/{failed['id']}/replay").status_code == 202
        until(lambda: person.http.get(log).json()["deliveries"][0]["state"] == "succeeded")
        first, second = hook.calls
        assert first.headers["webhook-id"] == second.headers["webhook-id"] == failed["id"]
        told: Any = second.verified(webhook["secret"])
        assert told["data"]["error"]["code"] == "not_media"
