"""One trace per job through all functions, logs that name both and hold no secret, figures that nobody outside sees."""

import json
import re
from collections import Counter

import httpx

from local.traces import Received, Span, tree
from tests.e2e.person import Person
from tests.functions import ROOT
from tests.platform_process import Platform
from tests.videos import Videos
from tests.waiting import until

UPLOADED, CONVERTED = "dev.audiolift.video.uploaded.v1", "dev.audiolift.audio.converted.v1"
#: Who does what in the trace of a job, each below the one that it hangs on.
PARTS = {
    ("upload", "POST /upload", None): 1,
    ("upload", f"publish {UPLOADED}", "POST /upload"): 1,
    ("convert", f"process {UPLOADED}", f"publish {UPLOADED}"): 1,
    ("convert", "probe", f"process {UPLOADED}"): 1,
    ("convert", "encode", f"process {UPLOADED}"): 1,
    ("convert", "store", f"process {UPLOADED}"): 1,
    ("convert", f"publish {CONVERTED}", f"process {UPLOADED}"): 1,
    # A waveform, the mail, and webhooks, of which there are none.
    ("convert", f"process {CONVERTED}", f"publish {CONVERTED}"): 1,
    ("convert", "probe", f"process {CONVERTED}"): 1,
    ("convert", "draw", f"process {CONVERTED}"): 1,
    ("notify", f"process {CONVERTED}", f"publish {CONVERTED}"): 2,
    ("notify", "mail", f"process {CONVERTED}"): 1,
}
FUNCTIONS = ("auth", "upload", "convert", "notify")


def parts(spans: list[Span]) -> Counter[tuple[str, str, str | None]]:
    names = {span.id: span.name for span in spans}
    return Counter((span.service, span.name, names.get(span.parent)) for span in spans)


def trace_of(traces: Received, job: str) -> list[Span]:
    found = traces.traces().values()
    return next((spans for spans in found if any(s.attributes.get("audiolift.job.id") == job for s in spans)), [])


def records(platform: Platform) -> list[dict[str, str]]:
    """What the functions have logged."""
    paths = [path for name in FUNCTIONS for path in (platform.home / "logs").glob(f"{name}-*.log")]
    assert len(paths) >= len(FUNCTIONS)
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def test_a_job_is_one_trace_through_all_functions(platform: Platform, videos: Videos, traces: Received) -> None:
    someone = Person(platform.url)
    job = someone.send(videos["index-last.mp4"])
    assert someone.ended(job)["state"] == "notified"
    until(lambda: len(trace_of(traces, job)) >= sum(PARTS.values()), 30)
    spans = trace_of(traces, job)
    assert parts(spans) == PARTS, tree(spans)
    assert [span for span in spans if span.failed] == []
    (trace,) = {span.trace for span in spans}
    logged = {record["trace_id"] for record in records(platform) if record.get("job_id") == job}
    assert logged == {trace}


def test_a_caller_s_trace_goes_on(platform: Platform, videos: Videos, traces: Received) -> None:
    someone = Person(platform.url)
    trace, caller = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    someone.http.headers["traceparent"] = f"00-{trace}-{caller}-01"
    job = someone.send(videos["silent.mp4"])
    assert someone.ended(job)["state"] == "failed"
    # Each function sends its spans every few seconds, in no order.
    until(lambda: any(span.trace == trace and span.name == "mail" for span in traces.spans), 30)
    (first,) = until(lambda: [span for span in traces.spans if span.trace == trace and span.name == "POST /upload"], 30)
    assert first.parent == caller


def test_the_documented_trace_is_that_of_a_job() -> None:
    shown = re.search(r"```\n(trace .*?)```", (ROOT / "docs/operations.md").read_text(), re.DOTALL)
    assert shown
    lines = [line.split(maxsplit=3)[2:] for line in shown[1].splitlines()[2:]]
    found = Counter((service, name.lstrip("├└│─ ")) for service, name in lines)
    wanted = Counter[tuple[str, str]]()
    for (service, name, _), count in PARTS.items():
        wanted[service, name] += count
    assert found == wanted


def test_logs_hold_no_secret(platform: Platform, videos: Videos) -> None:
    someone = Person(platform.url)
    job = someone.send(videos["index-last.mp4"])
    someone.ended(job)
    link = next(word for word in someone.mails()[0]["text"].split() if "signature=" in word)
    signature = httpx.URL(link).params["signature"]
    assert someone.http.get(link, headers={"Authorization": ""}).status_code == 200
    assert someone.http.get(link.replace(signature, "x" + signature), headers={"Authorization": ""}).status_code == 403
    secrets = [signature, str(someone.http.headers["Authorization"]).split()[1], someone.password]
    logs = [path.read_text(errors="replace") for path in (platform.home / "logs").glob("*.log")]
    assert f"/jobs/{job}/audio" in "".join(logs)
    assert [secret for secret in secrets if any(secret in log for log in logs)] == []


def test_figures_are_not_seen_from_outside(platform: Platform) -> None:
    port = httpx.URL(platform.url).port
    for host in ("localhost", "127.0.0.1", "auth.localhost", "upload.localhost"):
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics", headers={"Host": host}, timeout=60)
        assert (host, answer.status_code) == (host, 404)
