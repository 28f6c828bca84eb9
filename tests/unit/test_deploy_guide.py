"""docs/deploy.md leaves nothing out that the manifests say, where it shows the same with `kn`."""

import re
import subprocess

import pytest
import yaml

from tests.manifests import KNATIVE, SERVING, Document, base

GUIDE = (KNATIVE.parent / "docs/deploy.md").read_text()
SERVICES = {one["metadata"]["name"]: one for one in base() if one["apiVersion"] == SERVING}


def command(start: str) -> str:
    """The command in the guide that begins so, with the lines that it goes on in."""
    found = re.search(rf"^{re.escape(start)}(?:\s.*\\\n)*.*", GUIDE, re.MULTILINE)
    assert found, start
    return found[0]


def needed(service: Document) -> set[str]:
    (container,) = service["spec"]["template"]["spec"]["containers"]
    optional = ("configMapKeyRef", "secretKeyRef")
    return {
        env["name"]
        for env in container["env"]
        if not any(env.get("valueFrom", {}).get(kind, {}).get("optional") for kind in optional)
    }


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_by_flags_has_all_that_it_needs(name: str) -> None:
    given = re.findall(r"--env(?:-value-from)? (\w+)=", command(f"kn service create {name}"))
    assert needed(SERVICES[name]) <= set(given)
    template = SERVICES[name]["spec"]["template"]
    annotations = template["metadata"]["annotations"]
    flags = {
        "--scale-window": annotations["autoscaling.knative.dev/window"],
        "--scale-target": annotations.get("autoscaling.knative.dev/target"),
        "--concurrency-limit": template["spec"]["containerConcurrency"],
    }
    for flag, value in flags.items():
        assert value is None or f"{flag} {value} " in command(f"kn service create {name}")


@pytest.mark.parametrize("name", SERVICES)
def test_the_guide_gives_kn_the_service_alone(name: str) -> None:
    (pick,) = re.findall(r"^service\(\) .*", GUIDE, re.MULTILINE)
    script = f"{pick}\nservice {name}"
    picked = subprocess.run(["sh", "-c", script], cwd=KNATIVE.parent, capture_output=True, check=True).stdout
    assert list(yaml.safe_load_all(picked)) == [SERVICES[name]]


def test_each_trigger_is_made_by_kn() -> None:
    made = {
        (one["metadata"]["name"], one["spec"]["filter"]["attributes"]["type"])
        for one in base()
        if one["kind"] == "Trigger"
    }
    assert set(re.findall(r"^kn trigger create (\S+) .* --filter type=(\S+)", GUIDE, re.MULTILINE)) == made
