"""The web page in a real browser: the whole journey, lines that break, sessions that end."""

import json
import re
import time
from pathlib import Path

import yaml
from playwright.sync_api import Browser, Request, Route, expect

from tests.e2e.visitor import LONG_MS, PASSWORD, SLOW, Visitor, percent, visiting
from tests.platform_process import Platform
from tests.token_keys import signed
from tests.tus import line
from tests.videos import Videos
from tests.waiting import until


def test_from_registering_to_deleting(visitor: Visitor, clip: Path, tmp_path: Path) -> None:
    page = visitor.page
    assert visitor.barriers() == []
    visitor.register()
    assert visitor.barriers() == []

    visitor.choose(clip)
    page.get_by_text("More options").click()
    page.get_by_label("End at").fill("0:04")
    page.get_by_label("Channels").select_option("Mono")
    assert visitor.barriers() == []
    page.get_by_role("button", name="Send 1 video").click()

    item = visitor.sees_ready(clip)
    expect(item.get_by_text(re.compile("0:04"))).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text(clip.name)
    item.get_by_role("button", name="Listen").click()
    player = item.locator("audio")
    expect(item.locator(".waveform canvas").first).to_be_visible(timeout=LONG_MS)
    player.evaluate("audio => audio.play()")
    until(lambda: player.evaluate("audio => audio.currentTime") > 0.2)
    assert visitor.barriers() == []

    with page.expect_download() as downloading:
        item.get_by_role("link", name="Download").click()
    assert downloading.value.suggested_filename == f"{clip.stem}.mp3"
    mp3 = tmp_path / "audio.mp3"
    downloading.value.save_as(mp3)

    item.get_by_role("button", name="Copy link").click()
    link = item.get_by_label(re.compile("link works for anyone")).input_value()
    stranger = page.context.browser.new_context() if page.context.browser else None
    assert stranger
    assert stranger.request.get(link).body() == mp3.read_bytes()
    stranger.close()

    item.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    assert visitor.barriers() == []
    dialog.get_by_role("button", name="Keep it").click()
    expect(item).to_be_visible()
    item.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Nothing here yet")).to_be_visible()

    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="I am new here")).to_be_visible()
    assert [cookie["name"] for cookie in page.context.cookies()] == []


def test_an_account_is_looked_at_and_deleted(visitor: Visitor, clip: Path, tmp_path: Path) -> None:
    page = visitor.page
    visitor.register()
    visitor.send(clip)
    visitor.sees_ready(clip)
    page.get_by_role("button", name=f"Account of {visitor.email}").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text(re.compile(r"1\.\d MB of 215 GB"))).to_be_visible()
    expect(dialog.get_by_text("1 minute of sound")).to_be_visible()
    assert visitor.barriers() == []
    page.screenshot(path=tmp_path / "account.png")
    dialog.get_by_role("button", name="Delete the account").click()
    dialog.get_by_label("Password").fill("not the password")
    dialog.get_by_role("button", name="Delete all of it").click()
    expect(dialog.get_by_role("alert")).to_contain_text("is not right")
    assert visitor.barriers() == []
    page.screenshot(path=tmp_path / "leave.png")
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_role("button", name="Delete all of it").click()
    expect(page.get_by_role("button", name="I am new here")).to_be_visible()
    assert page.context.cookies() == []
    page.get_by_label("Mail address").fill(visitor.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("is not right")


def test_all_of_it_by_keyboard(visitor: Visitor, videos: Videos) -> None:
    page, keys = visitor.page, visitor.page.keyboard
    page.on("filechooser", lambda chooser: chooser.set_files(videos["index-last.mp4"]))
    visitor.register()

    def go_to(name: str) -> None:
        """Presses Tab until that has the focus, as its label or its text says."""
        for _ in range(40):
            named = page.evaluate(
                "() => { const at = document.activeElement;"
                " return at.ariaLabel ?? (at.labels?.[0] ?? at).textContent ?? '' }"
            )
            if named.startswith(name):
                return
            keys.press("Tab")
        raise AssertionError(f"Tab does not reach {name}")

    go_to("Choose videos")
    keys.press("Enter")
    # The focus has moved on to what comes next.
    expect(page.get_by_role("button", name="Send 1 video")).to_be_focused()
    keys.press("Enter")
    item = visitor.sees_ready(videos["index-last.mp4"])
    go_to("Listen to")
    keys.press("Enter")
    expect(item.locator("audio")).to_be_focused()
    keys.press("Space")
    until(lambda: item.locator("audio").evaluate("audio => audio.currentTime") > 0.1)
    go_to("Delete")
    keys.press("Enter")
    expect(page.get_by_role("button", name="Keep it")).to_be_focused()
    keys.press("Escape")
    expect(item.get_by_role("button", name="Delete")).to_be_focused()
    keys.press("Enter")
    expect(page.get_by_role("button", name="Keep it")).to_be_focused()
    keys.press("Tab")
    keys.press("Enter")
    expect(page.get_by_role("heading", name="Your sound")).to_be_focused()
    expect(item).to_have_count(0)


def test_an_upload_pauses_and_goes_on_after_a_reload(visitor: Visitor, big: Path, videos: Videos) -> None:
    page = visitor.page
    visitor.register()
    visitor.line(SLOW)
    visitor.send(big)
    item = visitor.item(big)
    until(lambda: percent(item) >= 15)
    item.get_by_role("button", name="Pause").click()
    expect(item.get_by_text(re.compile("^Paused at"))).to_be_visible()
    paused = percent(item)
    item.get_by_role("button", name="Resume").click()
    until(lambda: percent(item) > paused + 10)

    reached = percent(item)
    page.reload()
    expect(item.get_by_text(re.compile("^Stopped at"))).to_be_visible()
    # What was under way to the server counts, but for what the browser had only just handed over.
    assert percent(item) >= reached - 10
    assert visitor.barriers() == []
    again = item.get_by_label(f"Choose {big.name}")
    again.set_input_files(videos["index-last.mp4"])
    expect(item.get_by_role("alert")).to_contain_text("choose the same file")

    visitor.line()
    with page.expect_request(_goes_on):
        again.set_input_files(big)
    visitor.sees_ready(big)
    expect(page.get_by_role("heading", name="On the way")).to_have_count(0)


def test_an_upload_outlives_its_connection(browser: Browser, platform: Platform, big: Path) -> None:
    with line(platform.url, cuts=[4 * 1024 * 1024]) as breaking, visiting(browser, breaking.url) as visitor:
        visitor.register()
        visitor.send(big)
        item = visitor.item(big)
        with visitor.page.expect_request(_goes_on, timeout=LONG_MS):
            expect(item.get_by_text(re.compile("goes on by itself"))).to_be_visible()
        visitor.sees_ready(big)
        assert breaking.cuts == []


def _goes_on(request: Request) -> bool:
    return request.method == "PATCH" and int(request.headers["upload-offset"]) > 0


def test_what_cannot_be_converted_is_told(visitor: Visitor, videos: Videos, clip: Path) -> None:
    visitor.register()
    visitor.send(videos["silent.mp4"], videos["text.mp4"])
    silent, text = visitor.item(videos["silent.mp4"]), visitor.item(videos["text.mp4"])
    expect(silent.get_by_text("The video has no sound.")).to_be_visible(timeout=LONG_MS)
    expect(text.get_by_text("The file is not a video or audio file")).to_be_visible(timeout=LONG_MS)
    expect(silent.get_by_role("button", name="Listen")).to_have_count(0)
    assert visitor.barriers() == []


def test_a_sound_track_is_chosen(visitor: Visitor, videos: Videos) -> None:
    page, video = visitor.page, videos["two-tracks.mp4"]
    visitor.register()
    visitor.choose(video)
    page.get_by_label("Let me choose the sound track").check()
    page.get_by_role("button", name="Send").click()
    item = visitor.item(video)
    german = item.get_by_role("radio", name=re.compile("^German"))
    expect(german).to_be_visible(timeout=LONG_MS)
    assert visitor.barriers() == []
    german.check()
    with page.expect_request("**/convert") as asking:
        item.get_by_role("button", name="Convert").click()
    assert asking.value.post_data_json == {"track": 1}
    visitor.sees_ready(video)


def test_chapters_become_a_zip(visitor: Visitor, videos: Videos) -> None:
    page, video = visitor.page, videos["tagged.mp4"]
    visitor.register()
    visitor.choose(video)
    page.get_by_text("More options").click()
    page.get_by_label("Chapters").select_option("One MP3 for each, as a zip")
    page.get_by_role("button", name="Send").click()
    item = visitor.sees_ready(video)
    expect(item.get_by_role("button", name="Listen")).to_have_count(0)
    with page.expect_download() as downloading:
        item.get_by_role("link", name="Download").click()
    assert downloading.value.suggested_filename.endswith(".zip")


def end_access(visitor: Visitor) -> None:
    """What the browser does when the access cookie is over: it forgets it; and the page knows that it is time."""
    # An address without our script: the page would renew the session before it could be left.
    elsewhere = visitor.context.new_page()
    elsewhere.goto(f"{visitor.url}/.well-known/jwks.json")
    visitor.context.clear_cookies(name="access")
    elsewhere.evaluate("localStorage.session = JSON.stringify({...JSON.parse(localStorage.session), renewAt: 0})")
    elsewhere.close()


def test_a_session_is_renewed_once_for_all_tabs(visitor: Visitor, videos: Videos) -> None:
    visitor.register()
    tabs = [visitor.page, visitor.open()]
    for tab in tabs:
        tab.goto("about:blank")
    end_access(visitor)
    renewals: list[Route] = []
    # Playwright keeps a note on the function, which one that is built in cannot hold.
    visitor.context.route("**/session/refresh", lambda route: renewals.append(route))  # noqa: PLW0108
    for tab in tabs:
        tab.goto(visitor.url)
    for tab in tabs:
        expect(tab.get_by_text("One moment…")).to_be_visible()
    # Only now is the first one answered: all tabs had reason to send one.
    until(lambda: visitor.page.evaluate("true") and renewals)
    renewals[0].continue_()
    for tab in tabs:
        expect(tab.get_by_text("Nothing here yet")).to_be_visible()
    assert len(renewals) == 1
    visitor.send(videos["index-last.mp4"])
    visitor.sees_ready(videos["index-last.mp4"])


def expire(visitor: Visitor, platform: Platform) -> None:
    """Has the access token of a session be over, as the server sees it; the page thinks that it is still good."""
    site = list(yaml.safe_load_all((platform.home / "site.yaml").read_text()))
    (keys,) = [one["stringData"]["keys"] for one in site if one["metadata"]["name"] == "audiolift-tokens"]
    over = signed(json.loads(keys)["keys"][0], email=visitor.email, exp=int(time.time()) - 60)
    visitor.context.add_cookies([{"name": "access", "value": over, "url": visitor.url}])


def test_a_session_ends_in_mid_upload_and_nothing_is_lost(visitor: Visitor, platform: Platform, big: Path) -> None:
    page = visitor.page
    visitor.register()
    visitor.line(SLOW)
    visitor.send(big)
    item = visitor.item(big)
    until(lambda: percent(item) >= 10)
    # Each time it is the next request that is refused.
    item.get_by_role("button", name="Pause").click()
    expire(visitor, platform)
    with page.expect_response("**/session/refresh") as renewed:
        item.get_by_role("button", name="Resume").click()
    assert renewed.value.ok
    reached = percent(item)
    until(lambda: percent(item) > reached)
    item.get_by_role("button", name="Pause").click()
    visitor.context.clear_cookies()
    item.get_by_role("button", name="Resume").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Nothing is lost")).to_be_visible()
    expect(dialog.get_by_label("Mail address")).to_have_value(visitor.email)
    dialog.get_by_label("Password").fill("not my password")
    dialog.get_by_role("button", name="Log in").click()
    expect(dialog.get_by_role("alert")).to_contain_text("is not right")
    assert visitor.barriers() == []
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_role("button", name="Log in").click()
    expect(dialog).to_have_count(0)
    visitor.sees_ready(big)


def test_what_a_script_can_read_is_no_token(visitor: Visitor) -> None:
    visitor.register()
    assert visitor.page.evaluate("document.cookie") == ""
    stored = visitor.page.evaluate("JSON.stringify(localStorage) + JSON.stringify(sessionStorage)")
    held = {cookie["name"]: cookie["value"] for cookie in visitor.context.cookies(visitor.url)}
    assert set(held) == {"access"}, "the refresh cookie is for /session only"
    assert held["access"] not in stored
