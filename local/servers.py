"""The servers of the one-machine platform: real ones, run by the ordinary user (or root) in a directory of their own.

Each function prepares the directory and returns the program. They listen on the loopback address only, and so have no
passwords: whoever may log in to this machine may use them.
"""

import asyncio
import functools
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Awaitable, Callable
from pathlib import Path

from local.processes import Program

_REPOSITORY = Path(__file__).parents[1]
_RABBITMQ_SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
_RABBITMQ_CONF = """\
listeners.tcp.1 = 127.0.0.1:{port}
log.console = true
log.file = false
log.connection.level = warning
raft.wal_max_size_bytes = 67108864
"""
_DATABASE = "auth"


def mongod(directory: Path, port: int) -> Program:
    """A standalone MongoDB from the binary in this interpreter's site-packages; its URI is `mongodb_uri(port)`."""
    binary = Path(sysconfig.get_path("purelib")) / "fiftyone/db/bin/mongod"
    binary.chmod(0o755)
    data = directory / "data"
    data.mkdir(parents=True, exist_ok=True)
    options = ("--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "1", "--quiet")
    # A command that was slow would be in the log with all that it brings, as links and secrets of webhooks.
    silent = ("--slowms", str(2**31 - 1))
    command = (str(binary), "--dbpath", str(data), "--port", str(port), *options, *silent)
    return Program(name="mongod", command=command, directory=directory, ready=listens(port))


def mariadb(directory: Path, port: int) -> Program:
    """MariaDB with an empty database `auth`; its URL is `mysql_url(port)`."""
    # Not /tmp: when it starts, mariadbd removes the temporary tables that it finds there, be they another's.
    scratch = directory / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    environment = {"TMPDIR": str(scratch)}
    # mariadbd refuses to run as root unless told so.
    user = ("--user=root",) if os.geteuid() == 0 else ()
    initial = directory / "init.sql"
    initial.write_text(f"CREATE DATABASE IF NOT EXISTS {_DATABASE} CHARACTER SET utf8mb4;\n")
    if not (directory / "installed").exists():
        _install_mariadb(directory, user, environment)
    command = (
        "/usr/sbin/mariadbd",
        "--no-defaults",
        f"--datadir={directory / 'data'}",
        f"--port={port}",
        "--bind-address=127.0.0.1",
        # Relative to the data directory: the whole path may be longer than a socket's name can be.
        "--socket=server.sock",
        f"--init-file={initial}",
        *user,
    )
    ready = listens(port, greets=True)
    return Program(name="mariadb", command=command, directory=directory, environment=environment, ready=ready)


def _install_mariadb(directory: Path, user: tuple[str, ...], environment: dict[str, str]) -> None:
    shutil.rmtree(directory / "data", ignore_errors=True)
    # Relative, because the script does not quote the path.
    options = ("--no-defaults", "--datadir=./data", "--skip-test-db", "--auth-root-authentication-method=normal")
    command = ("mariadb-install-db", *options, *user)
    own = {**os.environ, **environment}
    done = subprocess.run(command, cwd=directory, env=own, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"mariadb-install-db failed:\n{done.stdout}{done.stderr}")
    (directory / "installed").touch()


def epmd(directory: Path, port: int) -> Program:
    """Erlang's name server, on a port of its own so that RabbitMQ starts none that outlives it."""
    command = ("epmd", "-port", str(port), "-address", "127.0.0.1")
    return Program(name="epmd", command=command, directory=directory, ready=listens(port))


def rabbitmq(directory: Path, port: int, *, distribution_port: int, epmd_port: int) -> Program:
    """RabbitMQ, which needs `epmd` at `epmd_port`; its URL is `rabbitmq_url(port)`."""
    directory.mkdir(parents=True, exist_ok=True)
    configuration = directory / "rabbitmq.conf"
    configuration.write_text(_RABBITMQ_CONF.format(port=port))
    plugins = directory / "enabled_plugins"
    plugins.write_text("[].\n")
    environment = {
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_CRASH_DUMP_SECONDS": "0",
        "RABBITMQ_LOG": "-color",
        "RABBITMQ_NODENAME": "audiolift@localhost",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_CONFIG_FILE": str(configuration),
        "RABBITMQ_CONF_ENV_FILE": str(directory / "rabbitmq-env.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
    }
    ready = listens(port, hello=b"AMQP\x00\x00\x09\x01", greets=True)
    command = (_RABBITMQ_SERVER,)
    return Program(name="rabbitmq", command=command, directory=directory, environment=environment, ready=ready)


def smtp_catcher(directory: Path, port: int) -> Program:
    """An SMTP server that keeps every mail as a file in `directory`/mails and sends none."""
    command = (sys.executable, "-m", "local.smtp_catcher")
    environment = {"PORT": str(port), "MAIL_DIRECTORY": str(directory / "mails"), "PYTHONPATH": str(_REPOSITORY)}
    ready = listens(port, greets=True)
    return Program(name="smtp", command=command, directory=directory, environment=environment, ready=ready)


def mongodb_uri(port: int) -> str:
    """The address of `mongod`."""
    return f"mongodb://127.0.0.1:{port}"


def mysql_url(port: int) -> str:
    """The address of the database `auth` in `mariadb`."""
    return f"mysql://root@127.0.0.1:{port}/{_DATABASE}"


def rabbitmq_url(port: int) -> str:
    """The address of `rabbitmq`, whose one user `guest` exists on the loopback address only."""
    return f"amqp://guest:guest@127.0.0.1:{port}/"


def smtp_url(port: int) -> str:
    """The address of `smtp_catcher`."""
    return f"smtp://127.0.0.1:{port}"


def listens(port: int, *, hello: bytes = b"", greets: bool = False) -> Callable[[], Awaitable[bool]]:
    """A probe that connects to the port, says `hello`, and may wait for a first byte of an answer."""
    return functools.partial(_answers, port, hello, greets)


async def _answers(port: int, hello: bytes, greets: bool) -> bool:
    try:
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(hello)
                return not greets or bool(await reader.read(1))
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
