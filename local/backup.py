"""Copies of a platform: what is in MongoDB, the accounts, and the keys; and a new platform made of one (ADR 0035)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from audiolift import store
from audiolift.backup import BackupError, dump, restore
from local import commands
from local.supervisor import Addresses

#: Logins are not brought back: those that were ended since would be open again.
_WITHOUT_ROWS = ("sessions", "refresh_tokens", "attempts")
_SITE, _ACCOUNTS, _STORES = "site.yaml", "accounts.sql", "mongodb"
#: There while a restore is under way, which may be repeated then.
_BEGUN = "restoring"


def back_up(directory: Path) -> int:
    """Copy all stores and keys to a new directory, while the platform runs."""
    try:
        return _back_up(directory, Addresses.read(commands.HOME))
    except FileNotFoundError:
        return _complain("Audiolift is down. `make up` starts it.")
    except (BackupError, subprocess.CalledProcessError, OSError) as error:
        return _complain(f"There is no backup: {getattr(error, 'stderr', None) or error}")


def bring_back(directory: Path) -> int:
    """Start a new platform with the stores and keys of a backup."""
    home = commands.HOME
    if (home / _SITE).exists() and not (home / _BEGUN).exists():
        return _complain(f"{home} has a platform already. Please move it away, or name another by AUDIOLIFT_STATE.")
    try:
        return _bring_back(directory, home)
    except (BackupError, subprocess.CalledProcessError, OSError) as error:
        return _complain(f"Not all is there: {getattr(error, 'stderr', None) or error}. It can be repeated.")


def _back_up(directory: Path, addresses: Addresses) -> int:
    if directory.exists():
        raise BackupError(f"{directory} is there already. Please name a new directory.")
    part = directory.with_name(f"{directory.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700, parents=True)
    with store.connect(addresses.mongodb_uri) as mongo:
        counts = dump(mongo, part / _STORES)
    # After the jobs: whose job is in the copy has an account in it.
    _dump_accounts(addresses.mysql_url, part / _ACCOUNTS)
    shutil.copy(commands.HOME / _SITE, part / _SITE)
    part.rename(directory)
    print(f"{directory} has {counts['videos/jobs.bson']} jobs, the accounts, and the keys: keep it from others.")
    return 0


def _bring_back(directory: Path, home: Path) -> int:
    if not (directory / _SITE).exists():
        raise BackupError(f"{directory} is no backup")
    home.mkdir(parents=True, exist_ok=True)
    (home / _BEGUN).touch()
    # The keys first: functions read them when they start.
    shutil.copy(directory / _SITE, home / _SITE)
    if code := commands.up():
        return code
    addresses = Addresses.read(home)
    _load_accounts(addresses.mysql_url, directory / _ACCOUNTS)
    with store.connect(addresses.mongodb_uri) as mongo:
        done = restore(mongo, directory / _STORES)
    (home / _BEGUN).unlink()
    print("Jobs: " + ", ".join(f"{count} {what}" for what, count in done.items()))
    return 0


def _dump_accounts(url: str, path: Path) -> None:
    options, environment, database = _client(url)
    without = [f"--ignore-table-data={database}.{table}" for table in _WITHOUT_ROWS]
    command = ["mariadb-dump", *options, "--single-transaction", "--no-tablespaces", *without, database]
    with path.open("wb") as file:
        subprocess.run(command, env=environment, stdout=file, stderr=subprocess.PIPE, text=True, check=True)


def _load_accounts(url: str, path: Path) -> None:
    options, environment, database = _client(url)
    with path.open("rb") as file:
        command = ["mariadb", *options, database]
        subprocess.run(command, env=environment, stdin=file, stderr=subprocess.PIPE, text=True, check=True)


def _client(url: str) -> tuple[list[str], dict[str, str], str]:
    """Options and environment of MariaDB's programs for mysql://user:password@host:port/database; and the database."""
    parts = urlsplit(url)
    place = [f"--host={parts.hostname}", f"--port={parts.port or 3306}", f"--user={unquote(parts.username or '')}"]
    # Not as an option, which everybody on the machine can see.
    secret = {"MYSQL_PWD": unquote(parts.password or "")}
    return ["--no-defaults", "--protocol=tcp", *place], {**os.environ, **secret}, unquote(parts.path.strip("/"))


def _complain(text: str) -> int:
    print(text, file=sys.stderr)
    return 1
