"""What a function's lock file names, and what an environment holds."""

import re
from pathlib import Path

from tests.functions import ROOT


def locked(function: str) -> set[str]:
    """The distributions in requirements/<function>.txt."""
    lines = (ROOT / f"requirements/{function}.txt").read_text()
    return {_normalised(name) for name in re.findall(r"^([\w.-]+)==", lines, re.MULTILINE)}


def distributions(packages: Path) -> set[str]:
    """Those in a site-packages folder."""
    return {_normalised(path.name.partition("-")[0]) for path in packages.glob("*.dist-info")}


def _normalised(name: str) -> str:
    # As the Python Packaging User Guide has it, "Names and normalization".
    return re.sub(r"[-_.]+", "-", name).lower()
