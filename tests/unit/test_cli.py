"""The command line client without a server: what it reads, prints and keeps."""

import json
import threading
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from audiolift.cli import client, converting, fetching, main, output
from audiolift.cli.failures import LOGGED_OUT, REFUSED, USAGE, Failure
from audiolift.cli.sending import Memory
from audiolift.options import NAMES


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place that the client may keep something in."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def test_spans_of_time() -> None:
    assert [main.seconds(span) for span in ("90s", "45m", "12h", "7d")] == [90, 2700, 43200, 604800]
    for wrong in ("7", "d", "-1d", "1.5h", "7 d", ""):
        with pytest.raises(Failure) as failed:
            main.seconds(wrong)
        assert failed.value.exit_code == USAGE


def test_sizes_and_lengths_for_people() -> None:
    assert [output.length(value) for value in (None, 5.4, 62, 3723)] == ["?", "0:05", "1:02", "1:02:03"]
    assert [output.size(value) for value in (0, 999, 1_300_000, 53_687_091_200)] == [
        "0 B",
        "999 B",
        "1.3 MB",
        "53.7 GB",
    ]
    assert [output.size(value) for value in (999_999, 1_000_000)] == ["1000.0 kB", "1.0 MB"]


def test_a_name_cannot_move_the_cursor() -> None:
    assert output.printable("a\x1b[2Jé\nb") == "a\N{REPLACEMENT CHARACTER}[2Jé\N{REPLACEMENT CHARACTER}b"


def test_each_option_of_the_api_is_one_of_convert() -> None:
    shown = CliRunner().invoke(main.app, ["convert", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    assert [name for name in NAMES if f"--{name.replace('_', '-')} " not in shown] == []


@pytest.mark.parametrize(
    "server", ["audio.example.com", "ftp://example.com", "https://", "https://a b", "https://x/?a"]
)
def test_an_address_that_is_none_is_refused(server: str) -> None:
    result = CliRunner().invoke(
        main.app, ["login", "--server", server, "--email", "a@b.c", "--password-stdin"], input="p"
    )
    assert isinstance(result.exception, Failure)
    assert result.exception.exit_code == USAGE


def test_a_job_is_remembered_for_the_same_file_and_options(folder: Path) -> None:
    video = folder / "film.mp4"
    video.write_bytes(b"one")

    def memory(server: str = "http://s", email: str = "e", **asked: str) -> Memory:
        return Memory(server, email, video, asked)

    memory(vbr="2", track="1").keep("job")
    assert memory(track="1", vbr="2").job == "job"
    assert [memory().job, memory(email="f", vbr="2", track="1").job, memory("http://t", vbr="2", track="1").job] == [
        None
    ] * 3
    video.write_bytes(b"other")
    assert memory(vbr="2", track="1").job is None


def test_a_refusal_is_the_servers_sentence() -> None:
    problem = {"detail": "It is not right.", "code": "wrong"}
    with pytest.raises(Failure, match=r"It is not right\.") as failed:
        client.ok(httpx.Response(422, json=problem))
    assert (failed.value.exit_code, failed.value.code) == (REFUSED, "wrong")
    with pytest.raises(Failure) as failed:
        client.ok(httpx.Response(401, json=problem))
    assert failed.value.exit_code == LOGGED_OUT
    with pytest.raises(Failure, match="404"):
        client.ok(httpx.Response(404, text="<html>"))
    with pytest.raises(httpx.TransportError):
        client.ok(httpx.Response(503, text="later"))
    for status, code in ((408, "too_slow"), (429, "too_many_at_once")):
        with pytest.raises(httpx.TransportError, match="It passes"):
            client.ok(httpx.Response(status, json={"detail": "It passes.", "code": code}))
    with pytest.raises(Failure):
        client.ok(httpx.Response(429, json={"detail": "Tomorrow.", "code": "quota_minutes"}))


def test_patience_ends_unless_something_advances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAUSE_S", 0)
    monkeypatch.setattr(client, "PATIENCE_S", -1)
    tries: list[int] = []

    def attempt() -> None:
        tries.append(1)
        raise httpx.ConnectError("refused")

    with pytest.raises(httpx.ConnectError):
        client.patiently(attempt)
    assert len(tries) == 1
    monkeypatch.setattr(client, "PATIENCE_S", 60)
    answers = iter([httpx.ConnectError("refused"), httpx.ReadTimeout("late")])

    def later() -> str:
        if (error := next(answers, None)) is not None:
            raise error
        return "done"

    assert client.patiently(later) == "done"


def test_options_are_checked_before_anything_is_sent(folder: Path) -> None:
    video = folder / "film.mp4"
    video.write_bytes(b"one")
    result = CliRunner().invoke(main.app, ["convert", str(video), "--vbr", "12"])
    assert isinstance(result.exception, Failure)
    assert result.exception.exit_code == USAGE
    assert "vbr" in str(result.exception)


def test_a_download_that_stopped_goes_on(folder: Path) -> None:
    sound = bytes(range(256)) * 10
    asked: list[str | None] = []
    told: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("Range"))
        start = int((asked[-1] or "bytes=0-")[6:-1])
        return httpx.Response(206 if start else 200, stream=httpx.ByteStream(sound[start:]))

    job = {"id": "1" * 24, "state": "converted", "error": None, "audio": {"id": "a.1", "size": len(sound)}}
    target = folder / "film.mp3"
    (folder / ".film.mp3.a.1.part").write_bytes(sound[:1000])
    with httpx.Client(transport=httpx.MockTransport(answer), base_url="http://server") as http:
        fetching.fetch(http, job, target, told.append)
    assert (target.read_bytes(), asked, told[-1]) == (sound, ["bytes=1000-"], len(sound))
    assert [path.name for path in folder.iterdir()] == ["film.mp3"]


def test_things_are_acted_on_side_by_side_and_come_in_their_order() -> None:
    both = threading.Barrier(2, timeout=20)

    def act(number: int) -> None:
        if number < 2:
            both.wait()

    assert list(converting.side_by_side(act, [0, 1, 2, 3], 2)) == [0, 1, 2, 3]
    assert list(converting.side_by_side(act, [], 2)) == []


def test_what_an_act_raises_comes_after_what_went_well() -> None:
    things = converting.side_by_side(lambda number: 1 / number, [2, 1, 0], 1)
    assert [next(things), next(things)] == [2, 1]
    with pytest.raises(ZeroDivisionError):
        next(things)


def test_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.put({"name": "ä\nb"})
    printed = capsys.readouterr().out
    assert (printed.count("\n"), json.loads(printed)) == (1, {"name": "ä\nb"})
