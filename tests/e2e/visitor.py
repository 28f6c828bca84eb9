"""Someone who uses the web page, in a real browser."""

import contextlib
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, CDPSession, ConsoleMessage, Locator, Page, expect

PASSWORD = "correct horse battery"
AXE = Path(__file__).parents[2] / "web/node_modules/axe-core/axe.min.js"
#: A line that makes an upload of some MB take some seconds, in bytes per second.
SLOW = 2 * 1024 * 1024
#: How long the page may take for anything else, in ms: on a busy machine Playwright's 5 s are not enough.
SHORT_MS = 20_000
#: How long a conversion may take on a busy machine, in ms.
LONG_MS = 60_000


class Visitor:
    """A person at the page; notes what its Content-Security-Policy has blocked and what has failed in it."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.url = url
        self.email = f"{uuid.uuid4().hex[:12]}@example.com"
        self.complaints: list[str] = []
        self._line: CDPSession | None = None
        self.page = self.open()

    def open(self) -> Page:
        """Opens the page in a new tab."""
        page = self.context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(self.url)
        return page

    def register(self) -> None:
        """Creates an account, which logs in."""
        self.page.get_by_role("button", name="I am new here").click()
        self.page.get_by_label("Mail address").fill(self.email)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Create account").click()
        expect(self.page.get_by_text("Nothing here yet")).to_be_visible()

    def choose(self, *videos: Path) -> None:
        """Chooses files."""
        self.page.get_by_label(re.compile("^Choose (more )?videos")).set_input_files(videos)

    def send(self, *videos: Path) -> None:
        """Chooses files and sends them."""
        self.choose(*videos)
        self.page.get_by_role("button", name=re.compile("^Send ")).click()

    def item(self, video: Path) -> Locator:
        """What the page says of a video."""
        return self.page.get_by_role("listitem").filter(has=self.page.get_by_role("heading", name=video.name))

    def sees_ready(self, video: Path) -> Locator:
        """Waits until a video is converted."""
        item = self.item(video)
        expect(item.get_by_text(re.compile("^Ready"))).to_be_visible(timeout=LONG_MS)
        return item

    def line(self, upload: int = -1) -> None:
        """Makes the line carry that many bytes per second to the server; -1 for as many as it can."""
        self._line = self._line or self.context.new_cdp_session(self.page)
        conditions = {"offline": False, "latency": 0, "uploadThroughput": upload, "downloadThroughput": -1}
        self._line.send("Network.emulateNetworkConditions", conditions)

    def barriers(self) -> list[dict[str, Any]]:
        """What axe finds serious or critical on the page as it is now."""
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("axe.run({resultTypes: ['violations']})")
        return [
            {"rule": one["id"], "at": [node["html"] for node in one["nodes"]]}
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]

    def _heard(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text or "Content-Security-Policy" in message.text:
            self.complaints.append(message.text)


@contextlib.contextmanager
def visiting(browser: Browser, url: str) -> Iterator[Visitor]:
    """Somebody new, on a phone's width."""
    context = browser.new_context(viewport={"width": 360, "height": 800}, accept_downloads=True, locale="en-GB")
    context.set_default_timeout(SHORT_MS)
    someone = Visitor(context, url)
    yield someone
    context.close()
    assert someone.complaints == [], "\n".join(someone.complaints)


def percent(item: Locator) -> int:
    """How much of an upload has been sent, as the page says."""
    found = re.search(r"(\d+) %", item.inner_text())
    return int(found[1]) if found else 0
