"""func.yaml is what knative/func's schema says, and says what knative/upload.yaml says.

The schema (knative/func, `schema/func_yaml-schema.json`) comes with no package: what we use of it stands here, closed.
"""

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.crds import TEXT, Schema, closed, many, one_of
from tests.manifests import KNATIVE, SERVING, Document, documents

ROOT = Path(__file__).parents[2]
_QUANTITY: Schema = {"type": "string", "pattern": r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
SCHEMA = closed(
    required=("specVersion", "created"),
    specVersion=one_of("0.36.0"),
    name={"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
    runtime=TEXT,
    namespace=TEXT,
    created={"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
    invoke=one_of("http", "cloudevent"),
    run=closed(
        envs=many(closed(name={"type": "string", "pattern": "^[-._a-zA-Z][-._a-zA-Z0-9]*$"}, value={"type": "string"})),
        volumes=many(closed(required=("path", "emptyDir"), path=TEXT, emptyDir=closed(sizeLimit=TEXT))),
    ),
    deploy=closed(
        healthEndpoints=closed(liveness=TEXT, readiness=TEXT),
        options=closed(
            scale=closed(min=_COUNT, max=_COUNT, target=_COUNT),
            resources=closed(
                requests=closed(cpu=_QUANTITY, memory=_QUANTITY),
                limits=closed(cpu=_QUANTITY, memory=_QUANTITY, concurrency=_COUNT),
            ),
        ),
    ),
)


class _Loader(yaml.SafeLoader):
    """Leaves times as the text that the schema wants."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@pytest.fixture
def func() -> Document:
    found: Document = yaml.load((ROOT / "func.yaml").read_text(), _Loader)
    return found


@pytest.fixture
def service() -> Document:
    (found,) = [one for one in documents(KNATIVE / "upload.yaml") if one["apiVersion"] == SERVING]
    return found


def test_it_is_what_the_schema_of_func_says(func: Document) -> None:
    jsonschema.Draft4Validator(SCHEMA).validate(func)
    func["deploy"]["options"]["scale"]["maximum"] = 8
    assert not jsonschema.Draft4Validator(SCHEMA).is_valid(func)


def test_it_says_what_the_manifest_says(func: Document, service: Document) -> None:
    template = service["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert (func["name"], func["namespace"]) == (service["metadata"]["name"], service["metadata"]["namespace"])
    assert {one["name"]: one["value"] for one in func["run"]["envs"]} == {
        one["name"]: one["value"] if "value" in one else _reference(one["valueFrom"])
        for one in container["env"]
        # func knows no reference that may be missing, and there a pod without it would not start.
        if not any(reference.get("optional") for reference in one.get("valueFrom", {}).values())
    }
    assert {one["path"] for one in func["run"]["volumes"]} == {one["mountPath"] for one in container["volumeMounts"]}
    assert func["deploy"]["healthEndpoints"] == {
        "liveness": container["livenessProbe"]["httpGet"]["path"],
        "readiness": container["readinessProbe"]["httpGet"]["path"],
    }
    options = func["deploy"]["options"]
    bounds = template["metadata"]["annotations"]
    assert str(options["scale"].pop("target")) == bounds["autoscaling.knative.dev/target"]
    assert {f"autoscaling.knative.dev/{name}-scale": str(count) for name, count in options["scale"].items()} == {
        name: count for name, count in bounds.items() if name.endswith("-scale")
    }
    assert options["resources"]["limits"].pop("concurrency") == template["spec"]["containerConcurrency"]
    assert options["resources"] == container["resources"]


def test_it_holds_no_image_and_no_secret(func: Document) -> None:
    assert func.keys().isdisjoint({"image", "registry"})
    for variable in func["run"]["envs"]:
        if re.search("URI|KEYS", variable["name"]):
            assert re.fullmatch(r"\{\{ secret:[a-z-]+:[a-z-]+ \}\}", variable["value"])


def _reference(source: dict[str, Any]) -> str:
    ((kind, reference),) = source.items()
    kinds = {"secretKeyRef": "secret", "configMapKeyRef": "configMap"}
    return f"{{{{ {kinds[kind]}:{reference['name']}:{reference['key']} }}}}"
