"""The commands of `audiolift`."""

import contextlib
import re
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from audiolift import options as wishes
from audiolift.cli import account, admin, client, converting, inputs, output
from audiolift.cli.failures import INTERRUPTED, NOT_CONVERTED, REFUSED, UNREACHABLE, USAGE, Failure
from audiolift.cli.inputs import AsJson, PasswordFromStdin
from audiolift.errors import PermanentError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Send large videos, get their audio back as MP3.",
    epilog="Exit codes: 0 done, 1 refused, 2 wrong usage, 3 not logged in, 4 a video was not converted,"
    " 5 the server is out of reach, 130 interrupted.",
)
app.add_typer(admin.dead_letters, name="dead-letters")
app.add_typer(admin.users, name="users")

Job = Annotated[str, typer.Argument(help="The id of a job, as `audiolift jobs` shows it.")]
Server = Annotated[str, typer.Option(envvar="AUDIOLIFT_SERVER", prompt="Server", help="Address of the platform.")]
Email = Annotated[str, typer.Option(prompt="Email", help="Address of the account.")]
Wish = str | None
_SPAN = re.compile(r"(\d{1,7})([smhd])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_JOB_ID = re.compile(r"[0-9a-f]{24}")


def run() -> None:
    """The console script: each failure is one sentence and an exit code."""
    try:
        app()
    except Failure as failure:
        output.complain(str(failure))
        sys.exit(failure.exit_code)
    except httpx.TransportError as error:
        output.complain(f"The server is out of reach: {error or type(error).__name__}.")
        sys.exit(UNREACHABLE)
    except httpx.HTTPStatusError as error:
        output.complain(f"The server answered {error.response.status_code}. Please try again.")
        sys.exit(UNREACHABLE)
    except OSError as error:
        output.complain(f"{error.filename or 'The output'} cannot be used: {error.strerror}.")
        sys.exit(REFUSED)


def _version(wanted: bool) -> None:
    if wanted:
        output.say(version("audiolift"))
        raise typer.Exit


@app.callback()
def _main(
    shown: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    pass


@app.command()
def register(server: Server, email: Email, password_stdin: PasswordFromStdin = False, as_json: AsJson = False) -> None:
    """Make an account, and log in to it."""
    password = inputs.password(password_stdin, confirmed=True)
    with client.anonymous(inputs.address(server)) as http:
        client.ok(http.post("/register", json={"email": email, "password": password}))
    _log_in(server, email, password, as_json)


@app.command()
def login(server: Server, email: Email, password_stdin: PasswordFromStdin = False, as_json: AsJson = False) -> None:
    """Log in. The login is kept in your keyring, or else in a file that only you can read.

    Example: audiolift login --server https://audio.example.com --email ada@example.com
    """
    _log_in(server, email, inputs.password(password_stdin), as_json)


@app.command()
def logout(as_json: AsJson = False) -> None:
    """End the login."""
    login = account.load()
    account.forget()
    with client.anonymous(login.server) as http:
        client.ok(http.post("/logout", json={"refresh_token": login.refresh_token}))
    output.put({"email": login.email}) if as_json else output.say(f"{login.email} is logged out.")


@app.command()
def me(as_json: AsJson = False) -> None:
    """Show who you are, what you may take and what you take of it."""
    with client.logged_in() as http:
        found = client.ok(http.get("/me")).json()
    if as_json:
        output.put(found)
        return
    used, limits = found["used"], found["limits"]
    output.say(f"{found['email']} ({found['id']})")
    counted = (
        ("videos and audio", "storage_bytes", output.size),
        ("jobs at once", "jobs", str),
        ("minutes of sound in 24 hours", "minutes", str),
    )
    output.table(("", "used", "of"), [(title, show(used[name]), show(limits[name])) for title, name, show in counted])


@app.command("delete-account")
def delete_account(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    password_stdin: PasswordFromStdin = False,
    as_json: AsJson = False,
) -> None:
    """Delete your account with all videos, MP3s, links and webhooks, for good."""
    login = account.load()
    if not yes:
        inputs.confirm(f"Delete the account {login.email} at {login.server} and all that belongs to it, for good?")
    with client.anonymous(login.server) as http:
        client.ok(http.delete("/account", auth=(login.email, inputs.password(password_stdin))))
    account.forget()
    output.put({"deleted": login.email}) if as_json else output.say(f"The account {login.email} is deleted.")


@app.command()
def convert(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, readable=True, help="Videos.")],
    folder: Annotated[Path, typer.Option("--output", "-o", help="Folder for the MP3s.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Overwrite MP3s that exist.")] = False,
    skip: Annotated[bool, typer.Option("--skip", help="Leave out videos whose MP3 exists.")] = False,
    at_once: Annotated[int, typer.Option("--jobs", "-j", min=1, max=32, help="How many videos side by side.")] = 2,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Only send the videos.")] = False,
    as_json: AsJson = False,
    quality: Annotated[Wish, typer.Option(help="voice, standard or high.")] = None,
    bitrate: Annotated[Wish, typer.Option(help="Constant bit rate in kb/s, like 192.")] = None,
    vbr: Annotated[Wish, typer.Option(help="Variable bit rate, from 0 (best) to 9 (smallest).")] = None,
    sample_rate: Annotated[Wish, typer.Option(help="Hz, like 44100.")] = None,
    channels: Annotated[Wish, typer.Option(help="1 or 2.")] = None,
    track: Annotated[Wish, typer.Option(help="Sound track, by number (from 0) or language.")] = None,
    start: Annotated[Wish, typer.Option(help="Where to begin: 90.5 or 1:30.")] = None,
    end: Annotated[Wish, typer.Option(help="Where to end.")] = None,
    normalize: Annotated[Wish, typer.Option(help="true (-23 LUFS), false, or -31 to -9 (LUFS).")] = None,
    fade_in: Annotated[Wish, typer.Option(help="Seconds.")] = None,
    fade_out: Annotated[Wish, typer.Option(help="Seconds.")] = None,
    tags: Annotated[Wish, typer.Option(help="keep or none: those of the video.")] = None,
    cover: Annotated[Wish, typer.Option(help="keep, none, or a picture (JPEG or PNG).")] = None,
    chapters: Annotated[Wish, typer.Option(help="keep, none, or split: a zip with one MP3 each.")] = None,
    title: Annotated[Wish, typer.Option(help="Tag; an empty text removes it.")] = None,
    artist: Annotated[Wish, typer.Option(help="Tag.")] = None,
    album: Annotated[Wish, typer.Option(help="Tag.")] = None,
    album_artist: Annotated[Wish, typer.Option(help="Tag.")] = None,
    date: Annotated[Wish, typer.Option(help="Tag: 2026 or 2026-11-24.")] = None,
    genre: Annotated[Wish, typer.Option(help="Tag.")] = None,
    comment: Annotated[Wish, typer.Option(help="Tag.")] = None,
    track_number: Annotated[Wish, typer.Option(help="Tag: 3 or 3/12.")] = None,
) -> None:
    """Convert videos to MP3s on your disk. Run again after a break, it goes on where it stopped.

    Examples: audiolift convert film.mkv -o music --track de --normalize -16

    audiolift convert *.mp4 --quality voice --skip
    """
    asked = {name: context.params[name] for name in wishes.NAMES if context.params[name] is not None}
    _check(asked)
    pieces = converting.plan(files, folder, asked)
    if not no_wait:
        pieces = _free(pieces, force=force, skip=skip)
    with _interruptible("Run the same command again to go on where it stopped."), client.logged_in() as http:
        converting.send_all(http, pieces, asked, at_once=at_once)
        ended = iter(pieces) if no_wait else converting.fetch_all(http, pieces, at_once=at_once)
        failed = [piece for piece in ended if not _tell(piece, "sent" if no_wait else "converted", as_json)]
    if failed:
        raise typer.Exit(NOT_CONVERTED)


@app.command()
def jobs(
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many, the newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List your jobs."""
    with client.logged_in() as http:
        found = client.ok(http.get("/jobs", params={"limit": limit})).json()
    if as_json:
        output.put(found)
        return
    output.table(("id", "state", "%", "video", "size", "created"), [_row(job) for job in found["jobs"]])


@app.command()
def watch(job: Job, as_json: AsJson = False) -> None:
    """Follow a job until it has ended. With --json one line for each event."""
    with _interruptible("The job goes on."), client.logged_in() as http:
        for event in client.progress(http, _id(job)):
            output.put(event) if as_json else output.say(f"{event['state']} {event.get('percent') or 0:.0f} %")
    if event["state"] == "failed":
        raise Failure(NOT_CONVERTED, event["error"]["message"], event["error"]["code"])


@app.command()
def download(
    job: Job,
    target: Annotated[Path | None, typer.Option("--output", "-o", help="File or folder.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Download the MP3 of a job. Run again after a break, it goes on where it stopped."""
    with _interruptible("Run the same command again to go on where it stopped."), client.logged_in() as http:
        found = _job(http, job)
        path = _target(target, found)
        if path.exists() and not force:
            raise Failure(REFUSED, f"{path} exists. Please give --force to overwrite it.")
        converting.download(http, found, path)
    output.put({"job": job, "path": str(path)}) if as_json else output.say(str(path))


@app.command()
def delete(
    ids: Annotated[list[str], typer.Argument(metavar="JOB...", help="Ids of jobs.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete jobs with their videos and MP3s, and end all links to them."""
    if not yes:
        inputs.confirm(f"Delete {len(ids)} {'job' if len(ids) == 1 else 'jobs'} and all that belongs to them?")
    with client.logged_in() as http:
        for job in ids:
            client.ok(http.delete(f"/jobs/{_id(job)}"))
    output.put({"deleted": ids}) if as_json else output.say("Deleted.")


@app.command()
def link(
    job: Job,
    expires: Annotated[str, typer.Option(help="How long it is good for: 90s, 45m, 12h, 7d.")] = "7d",
    as_json: AsJson = False,
) -> None:
    """Make a link to a job's MP3 that needs no login."""
    with client.logged_in() as http:
        made = client.ok(http.post(f"/jobs/{_id(job)}/links", json={"expires_s": seconds(expires)})).json()
    output.put(made) if as_json else output.say(made["url"])


@app.command()
def tracks(
    what: Annotated[str, typer.Argument(metavar="FILE|JOB", help="A video, which is sent, or the id of a job.")],
    as_json: AsJson = False,
) -> None:
    """Show the sound tracks of a video. What was sent for that is not sent again by `convert`."""
    with _interruptible("Run the same command again to go on where it stopped."), client.logged_in() as http:
        found = converting.look(http, Path(what)) if Path(what).is_file() else _job(http, what)
    media = found["media"]
    if media is None:
        raise Failure(REFUSED, "Nothing is known about the video yet. Please try again in a moment.")
    if as_json:
        output.put({"job": found["id"], **media})
        return
    columns = ("track", "language", "codec", "channels", "title")
    output.table(columns, [_track(track) for track in media["tracks"]])


def seconds(span: str) -> int:
    """A span of time as people write it, in seconds.

    Raises:
        Failure: It is none.
    """
    match = _SPAN.fullmatch(span)
    if match is None:
        raise Failure(USAGE, f"{span} is no span of time; please write it like 90s, 45m, 12h or 7d.")
    return int(match[1]) * _UNIT_S[match[2]]


def _log_in(server: str, email: str, password: str, as_json: bool) -> None:
    address = inputs.address(server)
    with client.anonymous(address) as http:
        answer = client.ok(http.post("/login", auth=(email, password))).json()
    account.save(account.Account.from_login(address, email, answer))
    output.put({"server": address, "email": email}) if as_json else output.say(f"{email} is logged in at {address}.")


def _check(asked: dict[str, str]) -> None:
    cover = asked.get("cover")
    try:
        wishes.parse(asked | ({"cover": "keep"} if cover and Path(cover).is_file() else {}))
    except PermanentError as error:
        raise Failure(USAGE, error.sentence, error.code) from error


def _free(pieces: list[converting.Piece], *, force: bool, skip: bool) -> list[converting.Piece]:
    targets = [piece.target for piece in pieces]
    if twice := next((target for target in targets if targets.count(target) > 1), None):
        raise Failure(USAGE, f"Two of the videos would become {twice}. Please convert them into different folders.")
    taken = [piece for piece in pieces if piece.target.exists()]
    if taken and not force and not skip:
        raise Failure(USAGE, f"{taken[0].target} exists. Please give --force to overwrite it or --skip to leave it.")
    return [piece for piece in pieces if not (skip and piece in taken)]


def _tell(piece: converting.Piece, state: str, as_json: bool) -> bool:
    if as_json:
        output.put(piece.result("failed" if piece.failure else state))
    elif piece.failure:
        output.complain(f"{piece.video}: {piece.failure}")
    else:
        output.say(str(piece.target if state == "converted" else piece.job))
    return piece.failure is None


@contextlib.contextmanager
def _interruptible(what_now: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise Failure(INTERRUPTED, f"Interrupted. {what_now}") from None


def _id(job: str) -> str:
    if not _JOB_ID.fullmatch(job):
        raise Failure(USAGE, f"{job} is no id of a job; `audiolift jobs` shows them.")
    return job


def _job(http: httpx.Client, job: str) -> dict[str, Any]:
    return dict(client.ok(http.get(f"/jobs/{_id(job)}")).json())


def _target(target: Path | None, job: dict[str, Any]) -> Path:
    name = Path((job["audio"] or {}).get("name") or f"{job['id']}.mp3").name
    if target is None:
        return Path(name)
    return target / name if target.is_dir() else target


def _row(job: dict[str, Any]) -> tuple[str, ...]:
    error = f": {job['error']['code']}" if job["error"] else ""
    done = f"{job['progress']['percent'] or 0:.0f}"
    created = job["created_at"][:16].replace("T", " ")
    video = job["video"]
    return job["id"], job["state"] + error, done, video["name"], output.size(video["size"] or 0), created


def _track(track: dict[str, Any]) -> tuple[str, ...]:
    wanted = ("index", "language", "codec", "channels", "title")
    return tuple("" if track[name] is None else str(track[name]) for name in wanted)
