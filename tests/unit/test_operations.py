"""docs/operations.md names the figures that there are, and the alerts that overlays/monitoring has."""

import re
from typing import Any

import pytest
import yaml

from tests.functions import ROOT
from tests.manifests import OVERLAYS

GUIDE = (ROOT / "docs/operations.md").read_text()
RULES = yaml.safe_load((OVERLAYS / "monitoring/alerts.yaml").read_text())["spec"]["groups"][0]["rules"]


def figures(text: str) -> set[str]:
    """The names of our figures in a text, without what a histogram adds to them."""
    return {re.sub("_(sum|count|bucket)$", "", name) for name in re.findall(r"\baudiolift_[a-z_]+", text)}


def declared() -> set[str]:
    found = set()
    for path in (ROOT / "functions").glob("*/*.py"):
        found |= set(re.findall(r"metrics\.(?:Counter|Gauge|Histogram)\(\s*\"(\w+)\"", path.read_text()))
    return found


def test_the_guide_names_every_figure_and_no_other() -> None:
    assert len(declared()) > 8
    assert figures(GUIDE) == declared()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_figures_that_there_are_and_is_in_the_guide(rule: dict[str, Any]) -> None:
    asked = figures(rule["expr"])
    assert asked and asked <= declared()
    expression = rule["expr"].replace("|", r"\|")
    wait = f" for {rule['for']}" if "for" in rule else ""
    assert f"| {rule['alert']} ({rule['labels']['severity']}) | `{expression}`{wait} | " in GUIDE


def test_the_guide_has_no_alert_that_is_not_there() -> None:
    assert re.findall(r"^\| (Audiolift\w+)", GUIDE, re.MULTILINE) == [rule["alert"] for rule in RULES]
