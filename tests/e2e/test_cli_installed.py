"""The command line client as `pip install ".[cli]"` leaves it: its command, and its words in bash."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.e2e.commands import Cli
from tests.e2e.person import Person
from tests.platform_process import ROOT, Platform

# What bash does when Tab is pressed, without a terminal.
_PRESSED = """
eval "$(_AUDIOLIFT_COMPLETE=source_bash audiolift)"
complete -p audiolift >&2
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
function_of() { complete -p audiolift | sed 's/.* -F \\([^ ]*\\) .*/\\1/'; }
$(function_of) audiolift "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
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
    # A clone of its own, as setuptools leaves things behind.
    subprocess.run(["git", "clone", "--quiet", "--depth=1", f"file://{ROOT}", folder / "clone"], check=True)
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "install", "--quiet", "--no-index"]
    subprocess.run([*pip, "--no-build-isolation", f"{folder / 'clone'}[cli]"], check=True)
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
    code, printed, _ = installed.run("--help")
    assert (code, "dead-letters" in printed) == (0, True)
    assert installed.run("--version")[1] == "0.1.0\n"
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
    command = ["bash", "--norc", "-c", _PRESSED, "bash", *words]
    done = subprocess.run(command, env=installed.environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == completed, done.stderr
