"""Figures for Prometheus: shown to who calls a process by its address, from 0 on, and imported late."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from audiolift import metrics
from audiolift.errors import PermanentError
from tests.functions import ROOT


@pytest.fixture(autouse=True)
def nothing_declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(metrics, "_declared", [])
    monkeypatch.setattr(metrics, "_registry", None)
    yield


def shown() -> dict[str, float]:
    body, status, headers = metrics.answer("127.0.0.1:8080")
    assert (status, headers["Content-Type"].partition(";")[0]) == (200, "text/plain")
    lines = [line.rpartition(" ") for line in body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines if not name.startswith("process_")}


def test_what_can_be_counted_starts_at_zero() -> None:
    mails = metrics.Counter("audiolift_mails_total", "Mails.", label="outcome", values=("sent", "refused"))
    assert shown() == {'audiolift_mails_total{outcome="sent"}': 0, 'audiolift_mails_total{outcome="refused"}': 0}
    mails.add("sent")
    mails.add("sent", amount=2)
    assert shown() == {'audiolift_mails_total{outcome="sent"}': 3, 'audiolift_mails_total{outcome="refused"}': 0}


def test_each_kind_shows_what_was_noted() -> None:
    metrics.Counter("audiolift_bytes_total", "Bytes.").add(amount=7)
    metrics.Gauge("audiolift_age_seconds", "Age.").set(1.5)
    metrics.Histogram("audiolift_work_seconds", "Work.", buckets=(1, 2)).observe(1.5)
    assert shown() == {
        "audiolift_bytes_total": 7,
        "audiolift_age_seconds": 1.5,
        'audiolift_work_seconds_bucket{le="1.0"}': 0,
        'audiolift_work_seconds_bucket{le="2.0"}': 1,
        'audiolift_work_seconds_bucket{le="+Inf"}': 1,
        "audiolift_work_seconds_count": 1,
        "audiolift_work_seconds_sum": 1.5,
    }


def test_what_is_not_counted_here_is_refreshed_before_it_is_shown() -> None:
    age = metrics.Gauge("audiolift_age_seconds", "Age.")
    body, _, _ = metrics.answer("[::1]:8080", refresh=lambda: age.set(2))
    assert b"\naudiolift_age_seconds 2.0\n" in body


@pytest.mark.parametrize(
    "host", ["", "localhost", "upload.audiolift.svc.cluster.local", "audiolift.example.com:443", "10.0.0.1.example.com"]
)
def test_who_calls_by_a_name_finds_nothing(host: str) -> None:
    def refresh() -> None:
        raise AssertionError("asked for nobody")

    with pytest.raises(PermanentError, match="not_found"):
        metrics.answer(host, refresh=refresh)


@pytest.mark.parametrize("host", ["10.0.0.1", "10.0.0.1:8080", "[fd00::1]", "[fd00::1]:8080"])
def test_who_calls_by_an_address_is_answered(host: str) -> None:
    assert metrics.answer(host)[1] == 200


@pytest.mark.parametrize(
    ("function", "module"), [("upload", "figures"), ("convert", "conversion"), ("notify", "mail_owner")]
)
def test_to_declare_is_not_to_import(function: str, module: str) -> None:
    code = (
        f"import {module}, sys; print([name for name in ('prometheus_client', 'opentelemetry') if name in sys.modules])"
    )
    path = f"{ROOT / 'src'}:{ROOT / 'functions' / function}"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
