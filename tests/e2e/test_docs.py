"""The API's document as people read it, in a real browser."""

from playwright.sync_api import Browser, expect

from tests.api_document import operations
from tests.e2e.visitor import Visitor
from tests.platform_process import Platform

SCROLLED = "document.documentElement.scrollWidth"


def test_all_of_it_can_be_read_on_a_phone_in_the_dark_and_on_a_desk(browser: Browser, platform: Platform) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 800}, color_scheme="dark")
    visitor = Visitor(context, f"{platform.url}/")
    page = visitor.page
    page.get_by_role("link", name="the API").click()
    expect(page.get_by_role("heading", name="The API", level=1)).to_be_visible()
    shown = page.get_by_role("article").evaluate_all("articles => articles.map(article => article.id)")
    assert {operation["operationId"] for _, _, operation in operations()} < set(shown)
    lost = page.locator('a[href^="#"]').evaluate_all(
        "links => links.map(link => link.hash.slice(1)).filter(id => !document.getElementById(id))"
    )
    assert lost == []
    page.get_by_role("link", name="Send a video in one request").click()
    expect(page.locator("#sendVideo")).to_be_in_viewport()
    assert visitor.barriers() == []
    # Nothing needs to be moved sideways.
    assert page.evaluate(SCROLLED) == 360
    page.set_viewport_size({"width": 1280, "height": 900})
    assert page.evaluate(SCROLLED) == 1280
    assert visitor.complaints == []
    context.close()
