"""The platform comes up, stays up, and goes down without a trace, also when it is killed."""

import os
import signal
import subprocess
from pathlib import Path

import httpx
import yaml

from tests.platform_process import ROOT, Platform
from tests.waiting import until


def test_up_twice_is_harmless(platform: Platform) -> None:
    before = platform.status()["processes"]
    assert "up already" in platform.command("up")
    assert platform.status()["processes"] == before


def test_every_process_has_a_log(platform: Platform) -> None:
    logs = {path.stem for path in (platform.home / "logs").glob("*.log")}
    assert logs >= {"platform", *platform.status()["processes"]}
    assert {"mongod", "mariadb", "rabbitmq", "smtp", "ingress", "trigger-convert", "ping-sweep"} <= logs


def test_secrets_are_for_their_owner_only(platform: Platform) -> None:
    for name in ("site.yaml", "addresses.json"):
        assert (platform.home / name).stat().st_mode & 0o077 == 0


def test_nobody_but_this_machine_can_connect(platform: Platform) -> None:
    sockets = platform.listening()
    assert len(sockets) > 10
    assert {address for _, address, _ in sockets} <= {"127.0.0.1", "::1"}, sockets


def test_no_proxy_is_asked(platform: Platform) -> None:
    nowhere = {"http_proxy": "http://127.0.0.1:1", "no_proxy": ""}
    done = platform.run("status", platform.environment | nowhere)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_dies_is_started_again(platform: Platform) -> None:
    before = platform.pid("trigger-convert")
    assert before
    os.kill(before, signal.SIGKILL)
    until(lambda: platform.pid("trigger-convert") not in (None, before))
    assert "trigger-convert ended with status -9" in platform.log("platform")


def test_hosts_and_paths_lead_to_their_functions(platform: Platform) -> None:
    port = httpx.URL(platform.url).port
    for host, path, status in [
        ("localhost", "/.well-known/jwks.json", 200),
        ("auth.localhost", "/.well-known/jwks.json", 200),
        ("upload.localhost", "/.well-known/jwks.json", 404),
        ("localhost", "/jobs", 401),
        ("upload.localhost", "/jobs", 401),
        ("localhost", "/sweep", 404),
        ("upload.audiolift.svc.cluster.local", "/sweep", 404),
    ]:
        answer = httpx.request(
            "POST" if path == "/sweep" else "GET",
            f"http://127.0.0.1:{port}{path}",
            headers={"Host": host},
            timeout=60,
        )
        assert (host, path, answer.status_code) == (host, path, status)


def test_status_shows_services_queues_and_jobs(platform: Platform) -> None:
    shown = platform.command("status")
    for words in ("convert  ", "max scale", "rabbitmq", "trigger.default.convert ", "Jobs"):
        assert words in shown


def test_killed_then_run_in_the_foreground_then_interrupted_leaves_nothing(home: Path) -> None:
    killed = Platform(home / "platform-killed")
    killed.command("up")
    secrets = _secrets(killed)
    ports = (killed.home / "ports.json").read_text()
    os.kill(int((killed.home / "supervisor.pid").read_text()), signal.SIGKILL)
    until(lambda: len(killed.left()) > 5)
    with subprocess.Popen(
        killed.arguments("run"), cwd=ROOT, env=killed.environment, stdout=subprocess.PIPE, text=True
    ) as foreground:
        assert foreground.stdout
        lines = iter(foreground.stdout.readline, "")
        said = [next(lines)]
        while "Ctrl-C" not in said[-1]:
            said.append(next(lines))
        assert "that an earlier run had left" in said[0]
        assert _secrets(killed) == secrets
        assert (killed.home / "ports.json").read_text() == ports
        foreground.send_signal(signal.SIGINT)
        assert foreground.wait(60) == 0
    until(lambda: not killed.left())


def test_two_starts_at_once_bring_up_one_platform(home: Path) -> None:
    twice = Platform(home / "platform-twice")
    twice.home.mkdir()
    (twice.home / "addresses.json").write_text("of a run that was killed")
    (twice.home / "supervisor.pid").write_text("of a run that was killed")
    starts = [twice.begin("up") for _ in range(2)]
    until((twice.home / "site.yaml").exists)
    supervisor = int((twice.home / "supervisor.pid").read_text())
    os.kill(supervisor, signal.SIGSTOP)
    during = twice.run("status", twice.environment)
    os.kill(supervisor, signal.SIGCONT)
    assert (during.returncode, during.stdout) == (1, "Audiolift is starting or stopping.\n")
    said = [start.communicate(timeout=180)[0] for start in starts]
    assert [start.returncode for start in starts] == [0, 0], said
    assert sum("up already" in text for text in said) == 1
    assert all(twice.url in text for text in said)
    twice.command("down")
    assert not twice.left()
    assert not (twice.home / "addresses.json").exists()
    assert not (twice.home / "supervisor.pid").exists()
    assert "Audiolift is down" in twice.run("status", twice.environment).stdout


def test_a_start_can_be_ended(home: Path) -> None:
    early = Platform(home / "platform-early")
    start = early.begin("up")
    until((early.home / "logs/mariadb.log").exists)
    early.command("down")
    start.communicate(timeout=60)
    assert start.returncode != 0
    assert not early.left()


def _secrets(platform: Platform) -> list[object]:
    objects = yaml.safe_load_all((platform.home / "site.yaml").read_text())
    return [one for one in objects if one["metadata"]["name"] in ("audiolift-tokens", "audiolift-links")]


def test_a_platform_that_cannot_start_says_why_and_leaves_nothing(home: Path) -> None:
    broken = Platform(home / "platform-broken")
    nowhere = {**broken.environment, "RABBITMQ_URL": "amqp://guest:guest@127.0.0.1:1/"}
    nowhere |= {"MONGODB_URI": "mongodb://127.0.0.1:1", "MYSQL_URL": "mysql://root@127.0.0.1:1/auth"}
    done = broken.run("up", nowhere)
    assert done.returncode == 1
    assert "RabbitMQ does not take the queues of the Broker default" in done.stderr
    assert "mongod is up" not in done.stdout
    malformed = broken.run("up", nowhere | {"RABBITMQ_URL": "rabbit"})
    assert malformed.returncode == 1
    assert malformed.stderr == "RABBITMQ_URL: its value is not like amqp://user:password@host:port/\n"
    until(lambda: not broken.left())
