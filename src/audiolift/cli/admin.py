"""The commands of whoever runs the service, and holds its admin key."""

import json
import os
from typing import Annotated, Any
from urllib.parse import quote

import httpx
import typer

from audiolift.cli import account, client, inputs, os_keyring, output
from audiolift.cli.failures import Failure
from audiolift.cli.inputs import AsJson

dead_letters = typer.Typer(no_args_is_help=True, help="Events that were given up (for the operator).")
users = typer.Typer(no_args_is_help=True, help="Accounts of others (for the operator).")

Server = Annotated[
    str | None,
    typer.Option(envvar="AUDIOLIFT_SERVER", help="Address of the platform; that of your login where it is left out."),
]
KeyFromStdin = Annotated[
    bool,
    typer.Option(
        "--admin-key-stdin",
        help="Read the admin key from standard input; else it is AUDIOLIFT_ADMIN_KEY, in the keyring, or asked for.",
    ),
]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="As `audiolift dead-letters list` shows them.")]
Email = Annotated[str, typer.Argument(help="Address of the account.")]


@dead_letters.command("list")
def list_letters(
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many, the newest first.")] = 20,
    before: Annotated[str | None, typer.Option(help="Only those older than this one.")] = None,
    server: Server = None,
    key_stdin: KeyFromStdin = False,
    as_json: AsJson = False,
) -> None:
    """List events that were given up."""
    asked = {"limit": limit} | ({"before": before} if before else {})
    with _operator(server, key_stdin) as http:
        found = client.ok(http.get("/admin/dead-letters", params=asked)).json()
    if as_json:
        output.put(found)
        return
    columns = ("id", "type", "job", "answered", "count", "last")
    output.table(columns, [_row(letter) for letter in found["dead_letters"]])


@dead_letters.command("show")
def show_letter(
    letter: Annotated[str, typer.Argument(metavar="ID")],
    server: Server = None,
    key_stdin: KeyFromStdin = False,
    as_json: AsJson = False,
) -> None:
    """Show an event that was given up, with all that is known of it."""
    with _operator(server, key_stdin) as http:
        found = client.ok(http.get(_path(letter))).json()
    if as_json:
        output.put(found)
        return
    for line in json.dumps(found, indent=2, ensure_ascii=False).splitlines():
        output.say(line)


@dead_letters.command("replay")
def replay_letters(
    letters: Ids, server: Server = None, key_stdin: KeyFromStdin = False, as_json: AsJson = False
) -> None:
    """Send events again. Those are gone then from the list; what fails again comes back."""
    with _operator(server, key_stdin) as http:
        for letter in letters:
            client.ok(http.post(f"{_path(letter)}/replay"))
            if not as_json:
                output.say(f"{letter} is sent again.")
    if as_json:
        output.put({"replayed": letters})


@dead_letters.command("drop")
def drop_letters(
    letters: Ids,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    server: Server = None,
    key_stdin: KeyFromStdin = False,
    as_json: AsJson = False,
) -> None:
    """Forget events for good."""
    if not yes:
        inputs.confirm(f"Forget {len(letters)} {'event' if len(letters) == 1 else 'events'} for good?")
    with _operator(server, key_stdin) as http:
        for letter in letters:
            client.ok(http.delete(_path(letter)))
    output.put({"dropped": letters}) if as_json else output.say("Dropped.")


@users.command("add")
def add_user(
    email: Email,
    password_stdin: inputs.PasswordFromStdin = False,
    server: Server = None,
    key_stdin: KeyFromStdin = False,
    as_json: AsJson = False,
) -> None:
    """Make an account. With both secrets on standard input, the admin key is the first line."""
    with _operator(server, key_stdin) as http:
        wanted = {"email": email, "password": inputs.password(password_stdin, confirmed=True)}
        made = client.ok(http.post("/admin/users", json=wanted)).json()
    output.put(made) if as_json else output.say(f"{made['email']} has an account.")


@users.command("disable")
def disable_user(email: Email, server: Server = None, key_stdin: KeyFromStdin = False, as_json: AsJson = False) -> None:
    """Let nobody log in to an account, and end its logins within minutes."""
    _change(email, "disable", server, key_stdin, as_json)


@users.command("enable")
def enable_user(email: Email, server: Server = None, key_stdin: KeyFromStdin = False, as_json: AsJson = False) -> None:
    """Let people log in to an account again."""
    _change(email, "enable", server, key_stdin, as_json)


@users.command("delete")
def delete_user(
    email: Email,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    server: Server = None,
    key_stdin: KeyFromStdin = False,
    as_json: AsJson = False,
) -> None:
    """Delete an account with all that belongs to it, for good."""
    if not yes:
        inputs.confirm(f"Delete the account {email} and all that belongs to it, for good?")
    with _operator(server, key_stdin) as http:
        client.ok(http.delete(f"/admin/users/{quote(email, safe='')}"))
    output.put({"deleted": email}) if as_json else output.say(f"The account {email} is deleted.")


def _change(email: str, what: str, server: str | None, key_stdin: bool, as_json: bool) -> None:
    with _operator(server, key_stdin) as http:
        user = client.ok(http.post(f"/admin/users/{quote(email, safe='')}/{what}")).json()
    output.put(user) if as_json else output.say(f"{user['email']} is {what}d.")


def _operator(server: str | None, key_stdin: bool) -> httpx.Client:
    address = inputs.address(server or _own_server())
    return client.operator(address, inputs.line() if key_stdin else _key(address))


def _own_server() -> str:
    try:
        return account.load().server
    except Failure as failure:
        raise Failure(failure.exit_code, "Please name the platform with --server, or log in to it.") from None


def _key(server: str) -> str:
    known = os.environ.get("AUDIOLIFT_ADMIN_KEY") or os_keyring.read("audiolift-admin", server)
    return known or inputs.secret("Admin key", option="--admin-key-stdin")


def _path(letter: str) -> str:
    return f"/admin/dead-letters/{quote(letter, safe='')}"


def _row(letter: dict[str, Any]) -> tuple[str, ...]:
    kind = letter["type"].removeprefix("dev.audiolift.").removesuffix(".v1")
    last = letter["last_at"][:16].replace("T", " ")
    return letter["id"], kind, letter["job"] or "", letter["error_code"] or "", str(letter["count"]), last
