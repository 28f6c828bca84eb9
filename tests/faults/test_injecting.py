"""A seed decides all of a schedule, and all kinds of faults are in it."""

import itertools
from pathlib import Path

from local.kinds.eventing import SinkBinding, Trigger
from local.kinds.serving import Service
from local.site import write_site
from local.supervisor import manifests
from tests.faults import injecting, platform, stream
from tests.faults.samples import SAMPLES
from tests.faults.world import LINES
from tests.platform_process import ROOT


def test_the_same_seed_gives_the_same_faults_and_uploads() -> None:
    assert injecting.schedule(1, 300, pause_s=2) == injecting.schedule(1, 300, pause_s=2)
    assert injecting.schedule(1, 300, pause_s=2) != injecting.schedule(2, 300, pause_s=2)
    assert stream.plan(1, 60, 300) == stream.plan(1, 60, 300)
    assert stream.plan(1, 60, 300) != stream.plan(2, 60, 300)


def test_a_long_schedule_has_each_kind_of_fault_at_each_target() -> None:
    faults = injecting.schedule(1, 100_000, pause_s=2)
    assert {(fault.kind, fault.target) for fault in faults} == {
        (kind.name, target) for kind in injecting.ALL for target in kind.targets
    }
    assert all(one.at_s + one.lasts_s <= other.at_s for one, other in itertools.pairwise(faults))


def test_a_plan_has_each_sample_equally_often() -> None:
    uploads = stream.plan(1, 2 * len(SAMPLES), 60)
    assert all(sum(upload.sample == sample for upload in uploads) == 2 for sample in SAMPLES)
    assert {upload.way for upload in uploads} == {*stream.WAYS}


def test_there_is_a_line_to_whatever_a_function_or_a_trigger_calls(tmp_path: Path) -> None:
    urls = {"mysql_url": "m", "mongodb_uri": "m", "smtp_url": "s", "public_url": "http://p"}
    write_site(tmp_path / "site.yaml", namespace="audiolift", **urls)
    objects = manifests(ROOT, tmp_path)
    called = {
        f"{service.name}-{platform.PARTS[variable.name][0]}"
        for service in objects.of(Service)
        for variable in service.container.env
        if variable.name in platform.PARTS
    }
    called |= {f"{binding.spec.subject.name}-ingress" for binding in objects.of(SinkBinding)}
    called |= {f"dispatchers-{trigger.spec.subscriber.ref.name}" for trigger in objects.of(Trigger)}
    assert {*LINES} == called | {"clients-gateway", "ingress-rabbitmq", "dispatchers-rabbitmq"}
