"""What commands have in common of what people give them."""

import re
import sys
from typing import Annotated

import typer

from audiolift.cli.failures import USAGE, Failure

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
PasswordFromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


def address(server: str) -> str:
    """The address of a server without its last slash.

    Raises:
        Failure: It is none.
    """
    if not re.fullmatch(r"https?://[^\s/?#@:]+(:\d{1,5})?", found := server.rstrip("/")):
        raise Failure(USAGE, f"{server} is no address of a server; please write it like https://audio.example.com.")
    return found


def line() -> str:
    """The next line of standard input."""
    return sys.stdin.readline().rstrip("\r\n")


def password(from_stdin: bool, *, confirmed: bool = False) -> str:
    """The password of an account.

    Raises:
        Failure: There is no terminal to ask for it on.
    """
    return line() if from_stdin else secret("Password", option="--password-stdin", confirmed=confirmed)


def secret(what: str, *, option: str, confirmed: bool = False) -> str:
    """Asks for a secret, without showing it.

    Args:
        what: Its name.
        option: What to give in the place of a terminal.
        confirmed: Whether it is asked for twice.

    Raises:
        Failure: There is no terminal.
    """
    if not sys.stdin.isatty():
        raise Failure(USAGE, f"There is no terminal to ask for the {what.lower()} on; please give {option}.")
    return str(typer.prompt(what, hide_input=True, confirmation_prompt=confirmed, err=True))


def confirm(question: str) -> None:
    """Goes on if the answer is yes.

    Raises:
        Failure: There is no terminal.
    """
    if not sys.stdin.isatty():
        raise Failure(USAGE, "There is no terminal to ask on; please give --yes.")
    typer.confirm(question, abort=True, err=True)
