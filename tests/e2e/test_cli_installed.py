"""The command line client as `pip install ".[cli]"` leaves it: its command, and its words in bash."""

import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

from tests.e2e.commands import Cli
from tests.e2e.person import Person
from tests.platform_process import ROOT, Platform

# What bash does when Tab is pressed, without a terminal: it calls the function that is registered.
_TAB = """
eval "$(_AUDIOLIFT_COMPLETE=source_bash audiolift)"
registered=$(complete -p audiolift)
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
eval "${registered##* -F }"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the command in a new environment.

    Libraries are those of this environment, so pip finds each that the extra names, or fails: it may look nowhere else.
    """
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    (packages / "ours.pth").write_text(sysconfig.get_path("purelib"))
    # A copy, as setuptools leaves things behind.
    clone = folder / "clone"
    shutil.copytree(ROOT / "src", clone / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, clone)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "install", "--quiet", "--no-index"]
    subprocess.run([*pip, "--no-build-isolation", f"{clone}[cli]"], check=True)
    return folder / "bin"


@pytest.fixture
def installed(scripts: Path, tmp_path: Path) -> Cli:
    """The command, which sees nothing of this clone."""
    made = Cli(tmp_path)
    made.program = [str(scripts / "audiolift")]
    del made.environment["PYTHONPATH"]
    made.environment["PATH"] = f"{scripts}:{made.environment['PATH']}"
    return made


def test_it_is_a_command_that_works(installed: Cli, platform: Platform, person: Person) -> None:
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    code, printed, _ = installed.run("--help")
    assert (code, "dead-letters" in printed) == (0, True)
    assert installed.run("--version")[1].strip() == about["version"]
    login = ("login", "--server", platform.url, "--email", person.email, "--password-stdin")
    assert installed.run(*login, typed=person.password)[0] == 0
    assert "jobs" in installed.json("jobs")


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (("audiolift", "dead"), ["dead-letters"]),
        (("audiolift", "dead-letters", "re"), ["replay"]),
        (("audiolift", "convert", "--norm"), ["--normalize"]),
    ],
)
def test_bash_completes_its_words(installed: Cli, words: tuple[str, ...], completed: list[str]) -> None:
    command = ["bash", "--norc", "-c", _TAB, "bash", *words]
    done = subprocess.run(command, env=installed.environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == completed, done.stderr
