"""Each image runs within the bounds of its manifest, names the setting that is wrong, and ends as it is told to."""

import json
import os
import re
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pymongo
import pytest

from local.ports import free_port
from tests.functions import DEADLINE_S, running
from tests.images.containers import FUNCTIONS, command, cpus, job_pod, service_pod
from tests.manifests import Document
from tests.nowhere import SETTINGS
from tests.waiting import until

UNITS = {"Mi": 1024**2, "Gi": 1024**3}
#: A setting that each function needs.
NEEDED = {"auth": "MYSQL_URL", "upload": "JWKS_URL", "convert": "K_SINK", "notify": "MAIL_FROM"}
#: Where each function reads a body, and takes none that is not JSON, whoever sends it.
READS = {"auth": "/register", "upload": "/dead-letters", "convert": "/", "notify": "/"}
#: What a process can tell of its own bounds; cgroups of either version.
PROBE = """
import json, os, pathlib

def can_write(folder):
    try:
        pathlib.Path(folder, "x").touch()
    except OSError:
        return False
    return True

def read(*names):
    texts = [pathlib.Path("/sys/fs/cgroup", name) for name in names]
    return " ".join(text.read_text().strip() for text in texts if text.exists())

lines = pathlib.Path("/proc/self/status").read_text().splitlines()
status = dict(line.split(":\\t", 1) for line in lines)
print(json.dumps({
    "user": os.getuid(),
    "capabilities": [status[name] for name in ("CapPrm", "CapEff", "CapBnd")],
    "no_new_privileges": status["NoNewPrivs"],
    "seccomp": status["Seccomp"],
    "writable": [folder for folder in ("/", "/function", "/venv", "/run", "/var/tmp", "/tmp") if can_write(folder)],
    "memory": int(read("memory/memory.limit_in_bytes", "memory.max")),
    "cpu": read("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us", "cpu.max").split(),
}))
"""


def run(arguments: list[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs a container to its end."""
    return subprocess.run(
        arguments, env={"PATH": os.environ["PATH"], **env}, capture_output=True, text=True, timeout=60, check=False
    )


def memory(pod: Document) -> int:
    text = pod["containers"][0]["resources"]["limits"]["memory"]
    return int(text[:-2]) * UNITS[text[-2:]]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_it_is_bound_as_its_manifest_says(function: str) -> None:
    pod = service_pod(function)
    done = run(command(pod, "python", "-c", PROBE), {})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["user"] != 0
    assert {int(bits, 16) for bits in found["capabilities"]} == {0}
    assert found["no_new_privileges"] == "1"
    assert found["seccomp"] == "2"
    assert found["writable"] == ["/tmp"]
    assert found["memory"] == memory(pod)
    quota, period = map(int, found["cpu"])
    assert quota / period == cpus(pod)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_missing_setting_ends_it_by_name(function: str) -> None:
    settings = {name: value for name, value in SETTINGS[function].items() if name != NEEDED[function]}
    done = run(command(service_pod(function)), {"PORT": str(free_port()), "THREADS": "2", **settings})
    assert done.returncode not in (0, 125, 126, 127)
    assert f"{NEEDED[function]} is not set" in done.stdout + done.stderr


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_request_under_way_is_answered_after_sigterm(function: str, clone: Path) -> None:
    settings = {"HOST": "127.0.0.1", **SETTINGS[function]}
    with running(function, settings, ready="/healthz", root=clone) as container:
        address = urlsplit(container.url)
        with socket.create_connection((address.hostname, address.port), timeout=DEADLINE_S) as connection:
            connection.sendall(
                f"POST {READS[function]} HTTP/1.1\r\nHost: upload\r\nContent-Type: application/json\r\n"
                "Content-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n".encode()
            )
            # Sent once the request is being handled.
            assert b" 100 " in connection.recv(4096)
            container.process.terminate()
            # What gunicorn and uvicorn say when the signal has reached them.
            until(lambda: re.search("Handling signal: term|Shutting down", container.log.read_text()), DEADLINE_S)
            connection.sendall(b"none")
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
        assert b" 400 " in answer.splitlines()[0]
        assert b'"code"' in answer
        assert container.process.wait(DEADLINE_S) == 0


def test_the_job_prepares_mongodb(mongod: str) -> None:
    done = run(command(job_pod("prepare-mongodb")), {"MONGODB_URI": mongod})
    assert done.returncode == 0, done.stderr
    assert "the indexes stand" in done.stderr
    mongo: pymongo.MongoClient[dict[str, Any]]
    with pymongo.MongoClient(mongod) as mongo:
        assert "files_id_1_n_1" in mongo["videos"]["fs.chunks"].index_information()
