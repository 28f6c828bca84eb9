"""What SECURITY.md and docs/reliability.md name as proof is there, and run by `make test` where it is a test."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("document", ["SECURITY.md", "docs/reliability.md"])
def test_each_proof_is_there(document: str) -> None:
    named = re.findall(r"`((?:tests|bench)/[\w/.]+)`", (ROOT / document).read_text())
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("document", ["SECURITY.md", "docs/reliability.md"])
def test_each_link_leads_somewhere(document: str) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", (ROOT / document).read_text())
    assert links
    assert [link for link in links if not ((ROOT / document).parent / link).is_file()] == []
