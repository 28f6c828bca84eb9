"""What the Makefile's targets do with the platform of this clone."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from local import follow, status, wiring
from local.processes import MARKER, locked, sweep
from local.supervisor import Addresses, manifests

ROOT = Path(__file__).resolve().parents[1]
#: Ports, data and logs. Tests name another directory, to have a platform of their own.
HOME = Path(os.environ.get("AUDIOLIFT_STATE") or ROOT / ".local").resolve()
#: Held by the supervisor as long as it lives.
LOCK = HOME / "supervisor.lock"
PID = HOME / "supervisor.pid"
#: What the supervisor says last to who started it.
READY = "Ready."
# Longer than all that stops one after another, 30 s each: eventing, replicas, servers.
_STOP_S = 100.0
# How long another command's start, or the end before it, is waited for.
_OTHER_S = 120.0


def is_up() -> bool:
    """Whether a supervisor lives, be it ready, starting or stopping."""
    return locked(LOCK)


def up() -> int:
    """Start the platform in the background; returns once it is ready."""
    deadline = time.monotonic() + _OTHER_S
    while is_up():
        if addresses := _addresses():
            print("Audiolift is up already.")
            print_addresses(addresses)
            return 0
        if time.monotonic() > deadline:
            print(f"Audiolift has not come up within {_OTHER_S:.0f} s; see {HOME / 'logs'}", file=sys.stderr)
            return 1
        time.sleep(0.1)
    return _start()


def _start() -> int:
    HOME.mkdir(parents=True, exist_ok=True)
    output = HOME / "supervisor.out"
    reading, writing = os.pipe()
    with output.open("wb") as file:
        supervisor = subprocess.Popen(
            (sys.executable, "-m", "local", "supervise", str(writing)),
            cwd=ROOT,
            env={**os.environ, MARKER: str(HOME)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            pass_fds=(writing,),
            start_new_session=True,
        )
    os.close(writing)
    line = ""
    with os.fdopen(reading) as reports:
        for line in reports:
            print(line, end="", flush=True)
    if line.strip() == READY and (addresses := _addresses()):
        print_addresses(addresses)
        return 0
    code = supervisor.wait()
    if is_up():
        # Another one came first.
        return up()
    print(output.read_text(), end="", file=sys.stderr)
    return code or 1


def _addresses() -> Addresses | None:
    """Those of the platform, once it is ready."""
    try:
        return Addresses.read(HOME)
    except FileNotFoundError:
        return None


def down() -> int:
    """End the platform and whatever it may have left."""
    if was_up := is_up():
        print("Stopping.", flush=True)
        asked = False
        deadline = time.monotonic() + _STOP_S
        while is_up() and time.monotonic() < deadline:
            asked = asked or _ask_to_end()
            time.sleep(0.1)
    left = sweep(HOME)
    shutil.rmtree(HOME / "scratch", ignore_errors=True)
    if left and not was_up:
        print(f"An earlier run had left {left} processes.")
    print("Audiolift is down.")
    return 0


def _ask_to_end() -> bool:
    """Whether the supervisor could be told; it has no file yet when it has just begun, and none when it has ended."""
    try:
        os.kill(int(PID.read_text()), signal.SIGTERM)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return False
    return True


def show_status() -> int:
    """Show services with their replicas, processes, waiting events and jobs."""
    if not is_up():
        print("Audiolift is down. `make up` starts it.")
        return 1
    if not (addresses := _addresses()):
        print("Audiolift is starting or stopping.")
        return 1
    found = status.ask(addresses.control_url)
    triggers = wiring.trigger_specs(manifests(ROOT, HOME), json.loads((HOME / "ports.json").read_text()))
    print_addresses(addresses)
    print(status.table("Services", found["services"]))
    print(status.table("Processes (pid)", found["processes"]))
    print(status.table("Events in queues, without those under way", status.depths(addresses.rabbitmq_url, triggers)))
    print(status.table("Jobs", status.jobs(addresses.mongodb_uri)))
    return 0


def show_logs() -> int:
    """Follow all logs until Ctrl-C."""
    with contextlib.suppress(KeyboardInterrupt):
        follow.follow(HOME / "logs")
    return 0


def show_traces() -> int:
    """Receive spans and show each trace as a tree, until Ctrl-C."""
    from local import traces  # noqa: PLC0415  # protobuf is slow to import

    try:
        traces.show()
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        print(f"Spans cannot be received on port {traces.PORT}: {error.strerror}", file=sys.stderr)
        return 1


def print_addresses(addresses: Addresses) -> None:
    """Tells a person where to go."""
    print(f"  API    {addresses.public_url}")
    print(f"  mails  {addresses.public_url}/mail")
    print(f"  logs   {HOME / 'logs'}", flush=True)
