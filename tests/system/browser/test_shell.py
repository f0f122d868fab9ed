"""What every view has around it."""

import json
from typing import Any

from playwright.sync_api import Page, Route, expect

from tests.integration.api.serving import Server
from tests.system.browser.conftest import Browse, Shoot
from tests.system.browser.watching import no_violations


def theme(page: Page) -> str:
    chosen: str = page.evaluate("document.documentElement.dataset.theme")
    return chosen


class Models:
    """Answers as a service does whose worker fetches its models when it is told to."""

    def __init__(self, page: Page) -> None:
        self.engine = "pocketsphinx en-us"
        self.engines: dict[str, Any] = {
            "draft": True,
            "reasons": ["Words come from the draft engine: the hub was out of reach."],
            "fetchable": ["faster-whisper base"],
            "fetching": None,
        }
        page.route("**/health/ready", self._ready)
        page.route("**/models/fetch", self._fetch)

    def _ready(self, route: Route) -> None:
        workers = [{"state": "ready", "engine": self.engine}]
        body = {"checks": {}, "workers": workers, "engines": self.engines}
        route.fulfill(body=json.dumps(body))

    def _fetch(self, route: Route) -> None:
        assert route.request.method == "POST"
        self.engines["fetching"] = {"bytes": 40_000_000, "total": 100_000_000}
        route.fulfill(status=202, body="{}")

    def arrive(self) -> None:
        """The models are there."""
        self.engine = "faster-whisper base"
        self.engines = {"draft": False, "reasons": [], "fetchable": [], "fetching": None}


def test_the_real_models_are_a_click_away(browse: Browse, server: Server, shoot: Shoot) -> None:
    page = browse(server.url).context.new_page()
    models = Models(page)
    page.goto("/")
    page.get_by_text("Options").click()
    expect(page.get_by_role("option", name="German")).to_be_disabled()
    page.get_by_role("button", name="Fetch the real models").click()
    bar = page.get_by_role("progressbar", name="Models fetched")
    expect(bar).to_have_attribute("aria-valuenow", "40")
    no_violations(page)
    shoot(page, "models")
    expect(page.get_by_text("40.0 MB of 100 MB")).to_be_visible()
    models.arrive()
    expect(page.get_by_text("real models")).to_have_count(0)
    expect(page.get_by_role("option", name="German")).to_be_enabled()


def test_the_theme_is_the_systems_until_another_is_chosen(browse: Browse, server: Server) -> None:
    page = browse(server.url, dark=True).page()
    assert theme(page) == "dark"
    page.get_by_role("button", name="Use light colours").click()
    page.reload()
    expect(page.get_by_role("button", name="Use dark colours")).to_be_visible()
    assert theme(page) == "light"


def test_everything_can_be_reached_with_the_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Choose files")).to_be_focused()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_an_address_that_leads_nowhere_says_so(browse: Browse, server: Server) -> None:
    page = browse(server.url).page("/#/nowhere")
    expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()
    page.get_by_role("link", name="All meetings", exact=True).click()
    expect(page.get_by_role("heading", name="Meetings", level=1)).to_be_visible()
