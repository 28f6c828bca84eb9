"""What knative/ holds and what an overlay makes of it: as much of kustomize as our overlays use.

`kubectl kustomize` is not on every machine; by hand, its objects were those of `build`, in the same order, for all
overlays.
"""

import copy
import functools
import re
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]

KNATIVE = Path(__file__).parents[1] / "knative"
OVERLAYS = KNATIVE / "overlays"
SERVING = "serving.knative.dev/v1"


def documents(path: Path) -> list[Document]:
    """All documents of a file."""
    return copy.deepcopy(_read(path))


@functools.cache
def _read(path: Path) -> list[Document]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document is not None]


def kustomization(folder: Path) -> Document:
    """A folder's kustomization.yaml."""
    (found,) = documents(folder / "kustomization.yaml")
    return found


def base() -> list[Document]:
    """All objects of the base, in the order in which they are applied."""
    return [one for name in kustomization(KNATIVE)["resources"] for one in documents(KNATIVE / name)]


def build(*components: str) -> list[Document]:
    """The base with the components applied one after another."""
    return copy.deepcopy(_built(components))


@functools.cache
def _built(components: tuple[str, ...]) -> list[Document]:
    objects = base()
    for component in components:
        about = kustomization(OVERLAYS / component)
        for name in about.get("resources", []):
            objects += documents(OVERLAYS / component / name)
        for patch in about.get("patches", []):
            objects = apply(patch, objects)
    return objects


def apply(patch: Document, objects: list[Document]) -> list[Document]:
    """The objects with one patch of a kustomization applied to those that it is for."""
    change = yaml.safe_load(patch["patch"])
    hit = [one for one in objects if matches(patch, one)]
    if isinstance(change, dict) and change.pop("$patch", None) == "delete":
        return [one for one in objects if one not in hit]
    return [_changed(one, change) if one in hit else one for one in objects]


def matches(patch: Document, one: Document) -> bool:
    """Whether a patch of a kustomization is for this object: by `target`, or by the kind and name that it holds."""
    change = yaml.safe_load(patch["patch"])
    target = patch.get("target") or {"kind": change["kind"], "name": change["metadata"]["name"]}
    group, _, version = one["apiVersion"].rpartition("/")
    return (
        one["kind"] == target["kind"]
        and re.fullmatch(target["name"], one["metadata"]["name"]) is not None
        and target.get("group", group) == group
        and target.get("version", version) == version
    )


def _changed(one: Document, change: Document | list[Document]) -> Document:
    if isinstance(change, dict):
        merged: Document = _merged(one, change)
        return merged
    changed = copy.deepcopy(one)
    for operation in change:
        _operate(changed, operation)
    return changed


def _merged(one: Any, change: Any) -> Any:
    # JSON Merge Patch (RFC 7386), which is what kustomize does to kinds that it has no schema of.
    if not isinstance(change, dict):
        return change
    kept = {key: value for key, value in (one if isinstance(one, dict) else {}).items() if key not in change}
    return kept | {key: _merged((one or {}).get(key), value) for key, value in change.items() if value is not None}


def _operate(one: Document, operation: Document) -> None:
    # JSON Patch (RFC 6902): what is replaced or removed must be there.
    parts = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    *way, last = [int(part) if part.isdecimal() else part for part in parts]
    place: Any = one
    for part in way:
        place = place[part]
    if operation["op"] in ("replace", "remove"):
        old = place.pop(last) if operation["op"] == "remove" else place[last]
        assert operation["op"] == "remove" or old != operation["value"], f"{operation['path']} is so already"
    if operation["op"] in ("replace", "add"):
        place[last] = operation["value"]
