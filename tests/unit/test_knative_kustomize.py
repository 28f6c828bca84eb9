"""kustomize finds every file, and every patch of an overlay meets what it is meant for."""

import re

import pytest
import yaml

from tests.manifests import KNATIVE, OVERLAYS, Document, apply, base, build, documents, kustomization, matches

COMPONENTS = sorted(folder.name for folder in OVERLAYS.iterdir())


def test_the_base_lists_every_file_in_the_order_in_which_it_is_applied() -> None:
    listed = kustomization(KNATIVE)["resources"]
    files = [*KNATIVE.glob("*.yaml"), *KNATIVE.glob("cluster/*.yaml")]
    assert sorted(listed) == sorted(
        str(path.relative_to(KNATIVE)) for path in files if path.name != "kustomization.yaml"
    )
    # Sorted by kind, a Service would come before the SinkBinding that it needs.
    assert kustomization(KNATIVE)["sortOptions"] == {"order": "fifo"}


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_lists_every_file_of_its_folder(component: str) -> None:
    about = kustomization(OVERLAYS / component)
    assert about["kind"] == "Component"
    files = {path.name for path in (OVERLAYS / component).glob("*.yaml")} - {"kustomization.yaml"}
    assert set(about.get("resources", [])) == files


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_patch_hits_and_changes_something(component: str) -> None:
    objects = base()
    for patch in kustomization(OVERLAYS / component).get("patches", []):
        assert any(matches(patch, one) for one in objects), patch
        changed = apply(patch, objects)
        assert changed != objects, patch
        objects = changed


def test_no_two_objects_have_the_same_name_and_all_are_in_our_namespace() -> None:
    for components in [(), *((name,) for name in COMPONENTS)]:
        objects = build(*components)
        names = [(one["apiVersion"], one["kind"], one["metadata"]["name"]) for one in objects]
        assert len(names) == len(set(names))
        elsewhere = {
            (one["kind"], one["metadata"].get("namespace"))
            for one in objects
            if one["metadata"].get("namespace") != "audiolift"
        }
        assert elsewhere == {("Namespace", None), ("ReferenceGrant", "kourier-system")}


def _site() -> Document:
    """The kustomization that docs/deploy.md has a person write."""
    text = (KNATIVE.parent / "docs/deploy.md").read_text()
    (found,) = re.findall(r"```yaml\n(resources: \[\.\./knative\].*?)```", text, re.DOTALL)
    site: Document = yaml.safe_load(found)
    return site


def test_the_site_of_the_documentation_hits_what_it_patches() -> None:
    site = _site()
    assert site["sortOptions"] == {"order": "fifo"}, "the base's own does not count in a site"
    components = [path.rpartition("/")[2] for path in site["components"]]
    objects = build(*components)
    used = {
        container["image"].partition(":")[0]
        for one in objects
        for container in one.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
    }
    assert {image["name"] for image in site["images"]} == {name for name in used if name.startswith("audiolift-")}
    for patch in site["patches"]:
        assert any(matches(patch, one) for one in objects), patch
        objects = apply(patch, objects)
    assert "example.com" not in yaml.safe_dump_all(objects), "a host name of ours is left"


def test_every_secret_that_is_used_is_made_in_the_documentation() -> None:
    text = (KNATIVE.parent / "docs/deploy.md").read_text()
    used = set()
    for one in documents_of_all():
        for container in one.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
            for variable in container["env"]:
                for reference in variable.get("valueFrom", {}).values():
                    used.add((reference["name"], reference["key"]))
    assert len(used) > 8
    for name, key in used:
        assert re.search(rf"{re.escape(name)}\b[^`]*?--from-(literal|file|env-file)={re.escape(key)}\b", text), (
            name,
            key,
        )


def documents_of_all() -> list[Document]:
    """Every object of every file, whether an overlay leaves it out or not."""
    return [one for name in kustomization(KNATIVE)["resources"] for one in documents(KNATIVE / name)]
