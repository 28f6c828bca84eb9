"""The command line client as people run it: in processes of its own, on real terminals, against the whole platform."""

import contextlib
import fcntl
import io
import json
import os
import pty
import shutil
import signal
import termios
import zipfile
from pathlib import Path
from typing import Any

import httpx
from mutagen.id3 import ID3

from tests.e2e.commands import Cli
from tests.e2e.person import Person
from tests.e2e.test_options import JPEG
from tests.platform_process import Platform
from tests.videos import Videos
from tests.waiting import until

#: An upload of this many bytes takes long enough to be interrupted.
LARGE = 400 << 20


def test_two_videos_of_which_one_cannot_be_converted(cli: Cli, videos: Videos, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all" * 100)
    good = videos["index-last.mp4"]
    code, printed, complained = cli.run("convert", broken, good, "-o", "music", "--title", "Eins", "--json")
    first, second = (json.loads(line) for line in printed.splitlines())
    assert (code, complained) == (4, "")
    assert (first["file"], first["state"], first["path"]) == (str(broken), "failed", None)
    assert first["error"]["code"]
    assert (second["state"], second["path"], second["error"]) == ("converted", "music/index-last.mp3", None)
    assert [path.name for path in (tmp_path / "music").iterdir()] == ["index-last.mp3"]
    # It is not overwritten unasked.
    assert cli.run("convert", good, "-o", "music")[0] == 2
    assert cli.run("convert", good, "-o", "music", "--skip") == (0, "", "")


def test_two_videos_side_by_side_on_a_terminal_with_a_cover_and_chapters(
    cli: Cli, videos: Videos, tmp_path: Path
) -> None:
    (tmp_path / "cover.jpg").write_bytes(JPEG)
    wanted = ("--cover", "cover.jpg", "--chapters", "split", "--jobs", "2", "-o", "out")
    cli.environment |= {"TERM": "xterm", "COLUMNS": "120"}
    ours, theirs = pty.openpty()
    process = cli.begin("convert", videos["tagged.mkv"], videos["index-last.mp4"], *wanted, stderr=theirs)
    os.close(theirs)
    drawn = _all_of(ours).decode()
    assert (process.stdout.read() if process.stdout else "") == "out/tagged.zip\nout/index-last.zip\n"
    assert process.wait(30) == 0
    for doing in ("Sending", "Converting"):
        assert f"{doing} tagged.mkv" in drawn
        assert f"{doing} index-last.mp4" in drawn
    with zipfile.ZipFile(tmp_path / "out/tagged.zip") as archive:
        assert archive.namelist() == ["01 One.mp3", "02 Two.mp3"]
        tags: Any = ID3(io.BytesIO(archive.read("02 Two.mp3")))  # type: ignore[no-untyped-call]  # mutagen's own
        assert tags.getall("APIC")[0].data == JPEG


def test_an_upload_goes_on_after_ctrl_c_and_a_killed_server(
    cli: Cli, videos: Videos, person: Person, platform: Platform, tmp_path: Path
) -> None:
    large = tmp_path / "large.mp4"
    shutil.copy(videos["index-last.mp4"], large)
    with large.open("ab") as file:  # A `free` box (ISO/IEC 14496-12, 8.1.2), which players pass over.
        file.write(LARGE.to_bytes(4, "big") + b"free")
        file.truncate(file.tell() + LARGE - 8)
    size = large.stat().st_size
    process = cli.begin("convert", large)
    job = until(lambda: _remembered(tmp_path)) or ""
    until(lambda: _offset(person, job) > 0)
    process.send_signal(signal.SIGINT)
    _, complained = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "same command again" in complained
    assert "Traceback" not in complained
    stood = _offset(person, job)
    assert 0 < stood < size
    process = cli.begin("convert", large, "--json")
    until(lambda: _offset(person, job) > stood)
    upload = platform.pid("upload-0")
    assert upload is not None
    os.kill(upload, signal.SIGKILL)
    printed, complained = process.communicate(timeout=120)
    assert (process.returncode, complained) == (0, "")
    assert json.loads(printed)["job"] == job
    assert person.job(job)["video"]["size"] == size
    assert (tmp_path / "large.mp3").stat().st_size == person.job(job)["audio"]["size"]
    assert _remembered(tmp_path) is None


def test_a_job_that_was_sent_is_followed_and_not_sent_again(cli: Cli, videos: Videos, person: Person) -> None:
    before = len(cli.json("jobs")["jobs"])
    sent = cli.json("convert", videos["index-last.mp4"], "--no-wait", "--vbr", "5")
    assert cli.json("convert", videos["index-last.mp4"], "--vbr", "5")["job"] == sent["job"]
    assert len(cli.json("jobs")["jobs"]) == before + 1
    assert person.job(sent["job"])["options"] == {"vbr": 5}


def test_the_tracks_of_a_video_that_is_converted_then(cli: Cli, videos: Videos, person: Person) -> None:
    seen = cli.json("tracks", videos["two-tracks.mp4"])
    assert [track["index"] for track in seen["tracks"]] == [0, 1]
    assert cli.run("tracks", seen["job"])[1].startswith("track")
    code, printed, _ = cli.run("convert", videos["two-tracks.mp4"], "--track", "2", "--json")
    assert (code, json.loads(printed)["error"]["code"]) == (4, "option_invalid")
    made = cli.json("convert", videos["two-tracks.mp4"], "--track", "1")
    assert made["job"] == seen["job"]
    assert person.job(made["job"])["options"] == {"track": 1}


def test_watch_download_link_and_delete(cli: Cli, videos: Videos, person: Person, tmp_path: Path) -> None:
    job = person.send(videos["index-last.mp4"])
    code, printed, _ = cli.run("watch", job, "--json")
    assert code == 0
    assert json.loads(printed.splitlines()[-1])["state"] in ("converted", "notified")
    sound = person.audio(job)
    # What is there already is not asked for again: a byte that differs stays.
    part = tmp_path / f".mine.mp3.{person.job(job)['audio']['id']}.part"
    part.write_bytes(b"#" + sound[1:5000])
    assert cli.json("download", job, "-o", "mine.mp3") == {"job": job, "path": "mine.mp3"}
    long = "ü" * 125 + ".mp3"
    assert cli.json("download", job, "-o", long)["path"] == long
    assert (tmp_path / "mine.mp3").read_bytes() == b"#" + sound[1:]
    assert cli.run("download", job, "-o", "mine.mp3")[0] == 1
    url = cli.json("link", job, "--expires", "1h")["url"]
    assert httpx.get(url).content == sound
    assert cli.run("delete", job)[0] == 2
    assert cli.json("delete", job, "--yes") == {"deleted": [job]}
    assert cli.run("download", job)[0] == 1
    assert job not in cli.run("jobs")[1]


def test_a_new_access_token_when_the_old_one_ends(cli: Cli) -> None:
    old = json.loads(cli.account.read_text())
    cli.account.write_text(json.dumps(old | {"access_token": "ended", "expires_at": 0}))
    # Both at once: a refresh token that is used twice would end the login.
    both = [cli.begin("jobs", "--json") for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert json.loads(cli.account.read_text())["refresh_token"] != old["refresh_token"]
    assert cli.run("logout")[0] == 0
    code, printed, complained = cli.run("jobs")
    assert (code, printed) == (3, "")
    assert "audiolift login" in complained


def test_a_password_that_is_typed(cli: Cli, platform: Platform, person: Person) -> None:
    cli.account.unlink()
    ours, theirs = pty.openpty()

    def own_terminal() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    ends: dict[str, Any] = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "preexec_fn": own_terminal}
    process = cli.begin("login", "--server", platform.url, "--email", person.email, **ends)
    os.close(theirs)
    shown = b""
    while b"Password" not in shown:
        shown += os.read(ours, 1000)
    until(lambda: not termios.tcgetattr(ours)[3] & termios.ECHO)
    os.write(ours, person.password.encode() + b"\n")
    while b"logged in" not in shown:
        shown += os.read(ours, 1000)
    assert process.wait(30) == 0
    assert person.password.encode() not in shown
    assert json.loads(cli.account.read_text())["email"] == person.email
    assert cli.account.stat().st_mode & 0o077 == 0
    os.close(ours)


def test_outcomes_have_exit_codes(cli: Cli, platform: Platform, person: Person) -> None:
    assert cli.run("watch", "0" * 24)[0] == 1
    assert cli.run("watch", "nonsense")[0] == 2
    assert cli.run("convert", "missing.mp4")[0] == 2
    wrong = ("login", "--server", platform.url, "--email", person.email, "--password-stdin")
    assert cli.run(*wrong, typed="wrong")[0] == 3
    away = ("login", "--server", "http://127.0.0.1:1", "--email", person.email, "--password-stdin")
    assert cli.run(*away, typed="any")[0] == 5
    nowhere = ("login", "--server", "http://127.0.0.1:port", "--email", person.email, "--password-stdin")
    assert cli.run(*nowhere, typed="any")[0] == 2
    assert cli.run("jobs")[0] == 0


def _all_of(terminal: int) -> bytes:
    """What is written to a terminal until its other end is closed."""
    written = b""
    with contextlib.suppress(OSError), os.fdopen(terminal, "rb", buffering=0) as read:
        while True:
            written += read.read(65536)
    return written


def _remembered(home: Path) -> str | None:
    kept = [path for path in home.glob("state/audiolift/*") if not path.suffix]
    return kept[0].read_text() if kept else None


def _offset(person: Person, job: str) -> int:
    answer = person.http.head(f"/uploads/{job}", headers={"Tus-Resumable": "1.0.0"})
    return int(answer.headers["Upload-Offset"])
