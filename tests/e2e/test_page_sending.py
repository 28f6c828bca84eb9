"""What somebody does in the web page before a video is sent, and to end that: a drop, the options, a cancel."""

import re
from pathlib import Path
from typing import Any

import pytest
from mutagen.mp3 import MP3
from playwright.sync_api import Locator, Page, Response, expect

from audiolift.options import BITRATES, SAMPLE_RATES, TAGS
from tests.e2e.visitor import SLOW, Visitor, percent
from tests.tus import VERSION
from tests.videos import Videos
from tests.waiting import until

JPEG = b"\xff\xd8\xff\xe0" + bytes(1000)


def drag(page: Page, kind: str, *paths: Path) -> None:
    """What the browser is told when files are held over the page (`dragOver`), or let go there (`drop`)."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for step in ("dragEnter", kind):
        session.send("Input.dispatchDragEvent", {"type": step, "x": 100, "y": 400, "data": data})
    session.detach()


def test_videos_are_dropped(visitor: Visitor, videos: Videos, clip: Path, tmp_path: Path) -> None:
    page = visitor.page
    visitor.register()
    drag(page, "dragOver", clip)
    expect(page.locator(".drop.over")).to_be_visible()
    drag(page, "drop", clip)
    expect(page.locator(".drop.over")).to_have_count(0)
    expect(page.get_by_role("button", name="Send 1 video")).to_be_focused()

    folder, picture, empty = tmp_path / "Holiday", tmp_path / "cat.png", tmp_path / "empty.mp4"
    folder.mkdir()
    picture.write_bytes(b"\x89PNG")
    empty.touch()
    drag(page, "drop", videos["index-last.mp4"], folder, picture, empty)
    said = page.get_by_role("alert")
    expect(said).to_contain_text("Holiday is a folder. Please open it")
    expect(said).to_contain_text("cat.png is neither a video nor sound.")
    expect(said).to_contain_text("empty.mp4 is empty.")
    assert visitor.barriers() == []

    page.get_by_role("button", name=f"Remove {clip.name}").click()
    page.get_by_role("button", name="Send 1 video").click()
    visitor.sees_ready(videos["index-last.mp4"])


def values(choice: Locator) -> list[str]:
    return [option.get_attribute("value") or "" for option in choice.locator("option").all()]


def wrong(page: Page, label: str, sentence: str) -> None:
    """Sends what cannot be sent: it is said at that field, which has the focus."""
    page.get_by_role("button", name="Send").click()
    field = page.get_by_label(label, exact=True)
    expect(field).to_be_focused()
    expect(field).to_have_accessible_description(re.compile(sentence))


def test_options_are_checked_and_become_the_mp3(visitor: Visitor, videos: Videos, tmp_path: Path) -> None:
    page, video = visitor.page, videos["tagged.mp4"]
    visitor.register()
    visitor.choose(video)
    page.get_by_text("More options").click()
    rates = page.get_by_label("Bit rate")
    assert sorted(int(rate) for rate in values(rates) if rate.isdigit()) == sorted(BITRATES)
    assert sorted(map(int, values(page.get_by_label("Sample rate"))[1:])) == sorted(SAMPLE_RATES)
    assert set(TAGS) <= set(page.locator("form [name]").evaluate_all("all => all.map(({ name }) => name)"))

    page.get_by_label("Start at").fill("1")
    page.get_by_label("End at").fill("0:75")
    # Also where it is out of sight.
    page.get_by_text("More options").click()
    wrong(page, "End at", "Please write a time like")
    page.get_by_label("End at").fill("0:01")
    wrong(page, "End at", "after the start")
    page.get_by_label("End at").fill("0:05")
    # The rest only the server finds wrong.
    page.get_by_label("Comment").fill("in two\tcolumns")
    wrong(page, "Comment", "control characters")
    page.get_by_label("Comment").fill("")
    page.get_by_label("Cover").select_option("A picture of mine")
    wrong(page, "Picture", "select a file")
    cover = tmp_path / "cover.jpg"
    cover.write_text("Not what its name says.")
    page.get_by_label("Picture").set_input_files(cover)
    wrong(page, "Picture", "neither a JPEG nor a PNG")
    assert visitor.barriers() == []

    cover.write_bytes(JPEG)
    page.get_by_label("Picture").set_input_files(cover)
    rates.select_option("96 kb/s")
    page.get_by_label("Sample rate").select_option("22.05 kHz")
    page.get_by_label("Loudness").select_option("Podcast (-16 LUFS)")
    page.get_by_label("Fade out (seconds)").fill("1.5")
    page.get_by_label("Artist", exact=True).fill("Ada")
    page.get_by_label("Number in the album").fill("3/12")
    page.get_by_role("button", name="Send").click()
    item = visitor.sees_ready(video)
    expect(item.get_by_text(re.compile(r"0:04 .* → -1\d\.\d LUFS"))).to_be_visible()
    with page.expect_download() as downloading:
        item.get_by_role("link", name="Download").click()
    mp3: Any = MP3(downloading.value.path())  # type: ignore[no-untyped-call]  # mutagen's own
    assert (mp3.info.bitrate, mp3.info.sample_rate) == (96_000, 22_050)
    assert mp3.info.length == pytest.approx(4, abs=0.1)
    tags = mp3.tags
    assert (str(tags["TPE1"]), str(tags["TRCK"]), str(tags["TALB"])) == ("Ada", "3/12", "An Album")
    assert tags.getall("APIC")[0].data == JPEG


def test_an_upload_that_is_cancelled_leaves_nothing(visitor: Visitor, big: Path) -> None:
    page = visitor.page
    visitor.register()
    visitor.line(SLOW)
    with page.expect_response(created) as creation:
        visitor.send(big)
    item = visitor.item(big)
    until(lambda: percent(item) >= 5)
    with page.expect_response(lambda answer: answer.request.method == "DELETE") as ended:
        item.get_by_role("button", name="Cancel").click()
    assert ended.value.status == 204
    expect(item).to_have_count(0)
    upload = f"{visitor.url}{creation.value.headers['location']}"
    assert page.request.head(upload, headers=VERSION).status == 410
    page.reload()
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    expect(page.get_by_role("heading", name="On the way")).to_have_count(0)
    assert "tus::" not in page.evaluate("JSON.stringify(localStorage)")


def created(answer: Response) -> bool:
    return answer.request.method == "POST" and answer.status == 201 and "/uploads/" in answer.url
