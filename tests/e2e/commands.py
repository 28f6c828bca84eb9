"""The command line client as people run it: in processes of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests import keyrings
from tests.platform_process import ROOT


class Cli:
    """The client with places of its own to keep things in.

    Attributes:
        environment: Of each command; it has no keyring.
        program: What a command begins with.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        own = {"XDG_CONFIG_HOME": str(home / "config"), "XDG_STATE_HOME": str(home / "state")}
        own |= {"PYTHON_KEYRING_BACKEND": keyrings.NONE, "TEST_KEYRING": str(home / "keyring")}
        self.environment = {**os.environ, **own, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
        self.program = [sys.executable, "-m", "audiolift.cli"]

    def begin(self, *arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
        """Starts a command."""
        command = [*self.program, *map(str, arguments)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.Popen(command, cwd=self.home, env=self.environment, text=True, **pipes)

    def run(self, *arguments: str | Path, typed: str = "") -> tuple[int, str, str]:
        """Runs a command to its end: its exit code, what it printed and what it complained about."""
        process = self.begin(*arguments)
        printed, complained = process.communicate(typed, timeout=120)
        assert "Traceback" not in complained, complained
        return process.returncode, printed, complained

    def json(self, *arguments: str | Path) -> Any:
        """What a command that goes well prints as JSON."""
        code, printed, complained = self.run(*arguments, "--json")
        assert code == 0, complained
        assert complained == ""
        return json.loads(printed)

    @property
    def account(self) -> Path:
        """The file with the login."""
        return self.home / "config/audiolift/account.json"
