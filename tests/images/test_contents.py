"""What is in each image, and what is not."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functions import ROOT
from tests.images.containers import FUNCTIONS, service_pod
from tests.requirements import distributions, locked

pytestmark = pytest.mark.parametrize("function", FUNCTIONS)
BUILDERS = re.compile(r"(.*-)?(gcc|g\+\+|cc|c\+\+|cpp|clang|ld|as|make|cargo|rustc|git|node|npm)(-[\d.]+)?")
EXECUTABLES = ("usr/bin", "usr/sbin", "usr/local/bin", "venv/bin", "function")


def packages(tree: Path) -> Path:
    (found,) = tree.glob("venv/lib/python3*/site-packages")
    return found


def sources(folder: Path) -> dict[str, bytes]:
    """All files of a folder but the bytecode, by their path in it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def ours(tree: Path) -> Iterator[Path]:
    """Whatever the Containerfile has added."""
    yield from (tree / "venv").rglob("*")
    yield from (tree / "function").rglob("*")


def test_the_function_the_core_and_the_locked_requirements_are_all_there_is(function: str, tree: Path) -> None:
    assert sources(tree / "function") == sources(ROOT / "functions" / function)
    assert sources(packages(tree) / "audiolift") == sources(ROOT / "src/audiolift")
    assert distributions(packages(tree)) == locked(function) | {"audiolift"}


def test_nothing_that_builds_is_left(function: str, tree: Path) -> None:
    names = [path.name for folder in EXECUTABLES if (tree / folder).exists() for path in (tree / folder).iterdir()]
    assert "start" in names
    assert [name for name in names if BUILDERS.fullmatch(name)] == []
    assert [path for path in ours(tree) if path.name in ("pip", "setuptools") or path.suffix in (".whl", ".o")] == []
    for left in ("build", "root/.cache", "root/.config", "etc/pip.conf", "run/secrets"):
        assert not (tree / left).exists()


def test_all_is_compiled_as_nothing_can_be_written_later(function: str, tree: Path) -> None:
    # The standard library as well: some base images come without its bytecode.
    (library,) = (tree / "usr").glob("**/lib/python3.*/json")
    modules = [path for path in [*ours(tree), *library.iterdir()] if path.suffix == ".py"]
    assert len(modules) > 500
    bytecode = [path for path in [*ours(tree), *library.rglob("*")] if path.suffix == ".pyc"]
    compiled = {(path.parent.parent, path.name.split(".")[0]) for path in bytecode}
    assert [path for path in modules if (path.parent, path.name.split(".")[0]) not in compiled] == []


def test_what_runs_can_change_nothing_of_what_it_runs(function: str, tree: Path) -> None:
    for path in ours(tree):
        found = path.lstat()
        assert found.st_uid == 0, path
        assert path.is_symlink() or not found.st_mode & 0o022, path
        assert path.is_symlink() or found.st_mode & 0o004, path


def test_it_says_who_runs_and_nothing_of_where_it_was_built(function: str, tree: Path) -> None:
    image = service_pod(function)["containers"][0]["image"]
    inspected = subprocess.run(["podman", "image", "inspect", image], check=True, capture_output=True, text=True).stdout
    (found,) = json.loads(inspected)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", found["Config"]["User"])
    assert found["Config"]["Cmd"] == ["./start"]
    names = {variable.partition("=")[0] for variable in found["Config"]["Env"]}
    assert {name for name in names if name.startswith(("PIP", "HTTP", "http"))} == set()
    assert not re.search(r"pip|index-url|https?://", json.dumps(found["History"]))
