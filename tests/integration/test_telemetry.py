"""What each function tells of itself, as its own process: lines of JSON, figures for scrapers, spans to its last."""

import json
import signal
from pathlib import Path

import httpx
import pytest

from audiolift import events, jobs, store
from local.traces import receiver
from tests import made
from tests.functions import RunningFunction, running
from tests.nowhere import SETTINGS
from tests.peers import Sink

JOB = "6744a1b2c3d4e5f601234567"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
UPLOADED = events.encode(events.VideoUploaded(JOB, JOB, "a.mp4", 5, {}), source="upload")
FAILED = events.encode(events.ConversionFailed(JOB, "no_audio", "No sound."), source="convert")
SWEEP = {"Host": SETTINGS["upload"]["CLUSTER_HOST"]}


def lines(log: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def deliver(url: str, event: dict[str, object]) -> int:
    attributes = {f"ce-{name}": str(value) for name, value in event.items() if name not in ("data", "datacontenttype")}
    trace = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    return httpx.post(url, json=event["data"], headers=attributes | trace, timeout=30).status_code


def end(function: RunningFunction) -> None:
    function.process.send_signal(signal.SIGTERM)
    function.process.wait(20)


@pytest.mark.parametrize("function", SETTINGS)
def test_logs_are_json_and_figures_are_for_scrapers(function: str) -> None:
    with running(function, SETTINGS[function] | {"HOST": "127.0.0.1"}, ready="/healthz") as started:
        assert httpx.get(f"{started.url}/metrics", headers={"Host": f"{function}.example.com"}).status_code == 404
        if function != "upload":  # it asks its store, see there
            found = httpx.get(f"{started.url}/metrics")
            assert (found.status_code, found.headers["content-type"].partition(";")[0]) == (200, "text/plain")
            assert "\naudiolift_" in found.text and "\nprocess_resident_memory_bytes " in found.text
        end(started)
        said = lines(started.log)
    assert said
    assert all({"time", "severity", "logger", "message"} <= line.keys() for line in said)


@pytest.mark.parametrize(("function", "event"), [("convert", UPLOADED), ("notify", FAILED)])
def test_what_an_event_makes_is_in_its_trace_also_when_the_function_ends_at_once(
    mongod: str, function: str, event: dict[str, object]
) -> None:
    with receiver() as received:
        settings = SETTINGS[function] | {"MONGODB_URI": mongod, "OTEL_EXPORTER_OTLP_ENDPOINT": received.url}
        with running(function, settings) as started:
            assert deliver(started.url, event) == 204
            end(started)
            said = lines(started.log)
        (span,) = received.spans
    assert (span.service, span.name) == (function, f"process {event['type']}")
    assert (span.trace, span.parent, span.failed) == (TRACE, PARENT, False)
    assert {(line["job_id"], line["trace_id"]) for line in said if "job_id" in line} <= {(JOB, TRACE)}


def test_what_goes_wrong_with_an_event_is_logged_with_its_job_and_trace(mongod: str) -> None:
    with store.connect(mongod) as client, receiver() as received:
        job = made.failed(jobs.collection(client["videos"]))["_id"]
        settings = SETTINGS["notify"] | {"MONGODB_URI": mongod, "OTEL_EXPORTER_OTLP_ENDPOINT": received.url}
        with running("notify", settings) as started:
            assert deliver(started.url, events.encode(events.ConversionFailed(job, "", ""), source="convert")) == 503
            end(started)
            (warning,) = [line for line in lines(started.log) if line["logger"] == "audiolift.consumer"]
        client["videos"]["jobs"].delete_one({"_id": job})
    assert (warning["severity"], warning["job_id"], warning["trace_id"]) == ("WARNING", job, TRACE)
    mail, process = received.spans
    assert (mail.name, mail.parent, mail.failed, process.failed) == ("mail", process.id, True, True)


def test_upload_sends_its_last_spans_too(mongod: str, broker: Sink) -> None:
    with receiver() as received:
        settings = SETTINGS["upload"] | {"MONGODB_URI": mongod, "K_SINK": broker.url}
        with running("upload", settings | {"OTEL_EXPORTER_OTLP_ENDPOINT": received.url}) as started:
            assert httpx.post(f"{started.url}/sweep", headers=SWEEP, timeout=30).status_code == 204
            end(started)
            assert started.process.returncode == 0
        assert [span.name for span in received.spans if not span.parent] == ["POST /sweep"]


def test_a_request_to_auth_is_in_its_caller_s_trace() -> None:
    with receiver() as received:
        settings = SETTINGS["auth"] | {"OTEL_EXPORTER_OTLP_ENDPOINT": received.url}
        with running("auth", settings, ready="/healthz") as started:
            trace = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
            assert httpx.post(f"{started.url}/validate", headers=trace).status_code == 401
            end(started)
        (span,) = received.spans
    assert (span.service, span.name, span.trace, span.parent) == ("auth", "POST /validate", TRACE, PARENT)


def test_where_nobody_takes_spans_all_goes_on(mongod: str) -> None:
    settings = SETTINGS["notify"] | {"MONGODB_URI": mongod, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    with running("notify", settings | {"OTEL_EXPORTER_OTLP_TIMEOUT": "1"}) as started:
        assert deliver(started.url, FAILED) == 204
        assert httpx.get(f"{started.url}/readyz").status_code == 200
