"""Each function starts with what its image has: its own locked requirements, the core's wheel, and nothing else.

The environments are those of `local/setup`, which makes them from that lock file alone, without pip.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.functions import ROOT, running
from tests.nowhere import SETTINGS
from tests.requirements import distributions, locked

#: Of the tests, of the platform, and of other functions.
FOREIGN = ("pytest", "hypothesis", "numpy", "aiohttp", "pika", "pip", "setuptools", "local", "tests")


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The core's wheel, unpacked."""
    folder = tmp_path_factory.mktemp("core")
    # Built from a copy, as setuptools leaves things behind.
    source = folder / "source"
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--wheel-dir", folder, source], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


@pytest.mark.parametrize("function", SETTINGS)
def test_an_environment_holds_what_is_locked_and_nothing_else(function: str) -> None:
    environment = ROOT / ".local/venvs" / function
    (packages,) = environment.glob("lib/python3*/site-packages")
    assert distributions(packages) == locked(function), "out of date: make setup"
    look = f"import importlib.util as util; print([name for name in {FOREIGN} if util.find_spec(name)])"
    done = subprocess.run(
        [environment / "bin/python", "-c", look],
        cwd=ROOT / "functions" / function,
        env={},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("function", SETTINGS)
def test_a_function_starts_with_its_own_requirements_and_the_wheel(function: str, core: Path) -> None:
    path = os.pathsep.join([str(ROOT / ".local/venvs" / function / "bin"), os.defpath])
    settings = {"HOST": "127.0.0.1", **SETTINGS[function], "PATH": path, "PYTHONPATH": str(core)}
    with running(function, settings, ready="/healthz") as started:
        assert httpx.get(f"{started.url}/nowhere", timeout=20).json()["code"] == "not_found"
