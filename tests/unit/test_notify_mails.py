"""The mails: what a person reads, and that no file's name can break a header or the markup."""

import email
import email.policy
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import mails
from audiolift import links
from audiolift.errors import CODES, PermanentError

KEYS = {"k1": b"k" * 32}
ID = "6744a1b2c3d4e5f601234567"
#: What breaks careless mails: line ends, markup, encoded words, and signs that turn the direction of text.
NASTY = ["\r\nBcc: eve@example.com\r\n\r\n", "</title><script>", "=?utf-8?q?=0D=0ABcc:_eve@example.com?=", "\u202egpj"]
nasty_names = st.text() | st.lists(st.sampled_from([*NASTY, " ", "ü", "a" * 30, "日本", "_", "?="])).map("".join)


def job(state: str = "converted", name: str = "holiday.mp3", **other: Any) -> dict[str, Any]:
    ended: dict[str, Any] = {"audio": {"name": name, "size": 4_234_567, "duration_s": 185.3}}
    if state == "failed":
        ended = {"error": {"code": "no_audio", "message": CODES["no_audio"].sentence}}
    about = {"_id": ID, "state": state, "email": "ada@example.com", "video": {"name": name}}
    return about | ended | {"expires_at": datetime.now(UTC) + timedelta(days=9)} | other


def received(of: dict[str, Any], *, link_valid_s: int = 604_800) -> EmailMessage:
    """The mail as a mail program parses it."""
    mail = mails.compose(
        of,
        public_url="https://audiolift.example.com",
        mail_from="noreply@example.com",
        link_keys=KEYS,
        link_valid_s=link_valid_s,
    )
    parsed = email.message_from_bytes(bytes(mail), policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def text(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part
    return str(part.get_content())


class Page(HTMLParser):
    """What the HTML part holds: its tags, its links, and the words that are seen."""

    def __init__(self, mail: EmailMessage) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        part = mail.get_body(("html",))
        assert part
        self.source = str(part.get_content())
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def seen(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_the_head_of_a_mail() -> None:
    mail = received(job())
    (author,), (recipient,) = mail["From"].addresses, mail["To"].addresses
    assert (author.display_name, author.addr_spec) == ("Audiolift", "noreply@example.com")
    assert recipient.addr_spec == "ada@example.com"
    assert mail["Subject"] == "holiday.mp3 is ready"
    assert mail["Message-ID"] == f"<{ID}.converted@example.com>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert abs(mail["Date"].datetime - datetime.now(UTC)) < timedelta(minutes=5)
    assert mail.get_content_type() == "multipart/alternative"


def test_both_parts_tell_of_the_audio() -> None:
    mail = received(job())
    for part in (text(mail), Page(mail).seen):
        for fact in ("Your audio is ready", "holiday.mp3", "3 min 05 s", "4.2 MB"):
            assert fact in part


@pytest.mark.parametrize(("content_type", "kind"), [("audio/mpeg", "MP3"), ("application/zip", "zip file")])
def test_a_mail_says_what_there_is_to_download(content_type: str, kind: str) -> None:
    audio = {"name": "holiday", "size": 1000, "duration_s": 5.0, "content_type": content_type}
    mail = received(job(audio=audio))
    assert f"Download the {kind}:" in text(mail)
    assert f"Download the {kind}" in Page(mail).words


def test_both_parts_have_the_same_link_which_opens_the_audio() -> None:
    mail = received(job())
    (link,) = re.findall(r"https://\S+/audio\?\S+", text(mail))
    assert link in Page(mail).links
    parts = urlsplit(link)
    assert (parts.netloc, parts.path) == ("audiolift.example.com", f"/jobs/{ID}/audio")
    links.verify(parts.path, dict(parse_qsl(parts.query)), keys=KEYS)


@pytest.mark.parametrize(("kept_s", "works_s"), [(9 * 86400, 604_800), (3600, 3600)])
def test_a_link_says_until_when_it_works_and_does_not_outlive_its_job(kept_s: int, works_s: int) -> None:
    until = datetime.now(UTC) + timedelta(seconds=works_s)
    mail = received(job(expires_at=datetime.now(UTC) + timedelta(seconds=kept_s)))
    expires = datetime.fromtimestamp(int(re.findall(r"expires=(\d+)", text(mail))[0]), UTC)
    assert abs(expires - until) < timedelta(minutes=5)
    assert mails.moment(expires) in text(mail)
    assert mails.moment(expires) in Page(mail).seen


def test_a_time_without_a_zone_is_utc() -> None:
    naive = (datetime.now(UTC) + timedelta(hours=1)).replace(tzinfo=None)
    expires = int(re.findall(r"expires=(\d+)", text(received(job(expires_at=naive))))[0])
    assert abs(expires - naive.replace(tzinfo=UTC).timestamp()) < 300


def test_a_failure_says_why_and_what_to_do_next() -> None:
    mail = received(job("failed", "holiday.mp4"))
    assert mail["Subject"] == "holiday.mp4 could not be converted"
    assert mail["Message-ID"] == f"<{ID}.failed@example.com>"
    for part in (text(mail), Page(mail).seen):
        for fact in ("could not be converted", "holiday.mp4", "The video has no sound.", "send another video"):
            assert fact in " ".join(part.split())
    assert Page(mail).links == ["https://audiolift.example.com"] * 2


@pytest.mark.parametrize("code", ["conversion_failed", "conversion_timeout", "a_newer_code"])
def test_a_failure_of_ours_says_so_and_names_the_job(code: str) -> None:
    mail = received(job("failed", error={"code": code, "message": "It went wrong."}))
    for part in (text(mail), Page(mail).seen):
        assert "Your video is not at fault" in part
        assert ID in part


def test_nothing_is_loaded_from_elsewhere_and_dark_mail_programs_are_told() -> None:
    for state in ("converted", "failed"):
        page = Page(received(job(state)))
        assert {"img", "link", "script", "iframe"}.isdisjoint(page.tags)
        assert "url(" not in page.source
        assert "prefers-color-scheme: dark" in page.source


@given(nasty_names, st.sampled_from(["converted", "failed"]))
@example("".join(NASTY), "converted")
@example("a" * 4096, "failed")
@example("ü " * 2000 + ".mp4", "converted")
def test_no_name_breaks_a_header_or_the_markup(name: str, state: str) -> None:
    mail, usual = received(job(state, name)), received(job(state))
    assert mail.keys() == usual.keys()
    assert mail["Subject"] == str(usual["Subject"]).replace("holiday.mp3", mails.shown_name(name))
    assert [address.addr_spec for address in mail["To"].addresses] == ["ada@example.com"]
    assert Page(mail).tags == Page(usual).tags
    assert mails.shown_name(name) in Page(mail).seen
    assert mails.shown_name(name) in text(mail)


@given(nasty_names)
def test_a_shown_name_is_one_short_line_of_visible_signs(name: str) -> None:
    shown = mails.shown_name(name)
    assert 1 <= len(shown) <= 80
    assert shown == " ".join(shown.split())
    hidden = {sign for sign in shown if unicodedata.category(sign) in ("Cc", "Cf", "Zl", "Zp")}
    assert hidden <= {"\u200c", "\u200d"}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Größe 日本語 שלום 👩‍👧.mp4", "Größe 日本語 שלום 👩‍👧.mp4"),
        ("holiday\u202e4pm.exe", "holiday4pm.exe"),
        ("two\r\nlines\x00.mp4", "two lines .mp4"),
        ("\u202e\x07 ", "Your file"),
        ("a" * 60 + "b" * 60 + ".mp4", "a" * 50 + "…" + "b" * 25 + ".mp4"),
    ],
)
def test_names_are_shown_as_they_are_but_for_what_deceives(name: str, shown: str) -> None:
    assert mails.shown_name(name) == shown


@pytest.mark.parametrize(
    "address", ["", "ada", "ada@example.com\r\nBcc: eve@example.com", "a@b, c@d", "<ada@example.com>"]
)
def test_an_address_that_is_none_is_refused_for_good(address: str) -> None:
    with pytest.raises(PermanentError, match="mail_refused"):
        received(job(email=address))


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.02, "1 s"),
        (5.3, "5 s"),
        (59.6, "1 min 00 s"),
        (185.3, "3 min 05 s"),
        (3599.6, "1 h 00 min"),
        (36_120, "10 h 02 min"),
    ],
)
def test_a_length_for_people(seconds: float, shown: str) -> None:
    assert mails.duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (417, "417 bytes"),
        (1000, "1 kB"),
        (84_300, "84 kB"),
        (999_600, "1.0 MB"),
        (4_234_567, "4.2 MB"),
        (2_345_678_901, "2345.7 MB"),
    ],
)
def test_a_size_for_people(count: int, shown: str) -> None:
    assert mails.size(count) == shown


def test_a_moment_for_people() -> None:
    assert mails.moment(datetime(2026, 12, 1, 14, 5, tzinfo=UTC)) == "1 December 2026, 14:05 UTC"
