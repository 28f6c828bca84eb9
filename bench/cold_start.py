"""From process start to the first answer, each function beside functions-framework's hello world, in the same run.

    PYTHONPATH=src:functions/convert .venv/bin/python -m bench.cold_start [--rounds N]

Each runs in its own environment, `.local/venvs/<function>`, as it does under `make up`. The first answer is /healthz,
so that no store counts. Hello world is started the same way: gunicorn for sync, uvicorn for aio. Prints medians and
ratios.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from local.ports import free_port
from tests.nowhere import SETTINGS

ROOT = Path(__file__).parents[1]
HELLO = {
    "auth": "import functions_framework\n@functions_framework.http\ndef auth(request): return 'hello'\n",
    "upload": "import functions_framework.aio as ff\n@ff.http\nasync def upload(request): return 'hello'\n",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        for name, settings in SETTINGS.items():
            like = "upload" if name == "upload" else "auth"
            hello = Path(folder) / like
            hello.mkdir(exist_ok=True)
            (hello / "main.py").write_text(HELLO[like])
            start = ROOT / "functions" / like / "start"
            times = [
                (
                    first_answer(hello, start, like, {}),
                    first_answer(ROOT / "functions" / name, Path("start"), name, settings),
                )
                for _ in range(rounds)
            ]
            base, ours = (statistics.median(column) for column in zip(*times, strict=True))
            print(f"{name:8} {ours:.3f} s   hello world {base:.3f} s   ratio {ours / base:.2f}   (goal 1.50)")


def first_answer(directory: Path, start: Path, environment: str, settings: Mapping[str, str]) -> float:
    """Seconds until the function that `start` runs in this directory answers."""
    port = free_port()
    venv = ROOT / ".local/venvs" / environment / "bin"
    began = time.monotonic()
    process = subprocess.Popen(
        [directory / start],
        cwd=directory,
        env={
            "PATH": f"{venv}{os.pathsep}{os.defpath}",
            "PYTHONPATH": str(ROOT / "src"),
            "PORT": str(port),
            "HOST": "127.0.0.1",
            "THREADS": "4",
            **settings,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            if process.poll() is not None:
                raise SystemExit(f"{directory} ended with status {process.returncode}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=30):
                    return time.monotonic() - began
            except urllib.error.URLError:
                time.sleep(0.002)
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
