"""What every view has around it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.integration.api.serving import Server
from tests.model_hub import ModelHub
from tests.system.browser.conftest import Browse, Shoot, serve
from tests.system.browser.watching import no_violations


def theme(page: Page) -> str:
    chosen: str = page.evaluate("document.documentElement.dataset.theme")
    return chosen


@pytest.fixture
def drafting(tmp_path: Path, hub: ModelHub) -> Iterator[Server]:
    """A service whose hub was away when it began."""
    server = serve(tmp_path / "server", **hub.environment)
    yield server
    server.end()


def test_the_real_models_are_a_click_away(
    browse: Browse, drafting: Server, hub: ModelHub, shoot: Shoot
) -> None:
    page = browse(drafting.url).page()
    page.get_by_text("Options").click()
    expect(page.get_by_role("option", name="German")).to_be_disabled()
    hub.start()
    page.get_by_role("button", name="Fetch the real models").click()
    expect(page.get_by_role("progressbar", name="Models fetched")).to_be_visible()
    expect(page.get_by_text("MB of 30.9 MB")).to_be_visible()
    no_violations(page)
    shoot(page, "models")
    hub.go_on.set()
    expect(page.get_by_text("real models")).to_have_count(0)
    expect(page.get_by_text("Draft engines")).to_have_count(0)
    expect(page.get_by_role("option", name="German")).to_be_enabled()


def test_the_theme_is_the_systems_until_another_is_chosen(browse: Browse, server: Server) -> None:
    page = browse(server.url, dark=True).page()
    assert theme(page) == "dark"
    page.get_by_role("button", name="Use light colours").click()
    page.reload()
    expect(page.get_by_role("button", name="Use dark colours")).to_be_visible()
    assert theme(page) == "light"


def test_everything_can_be_reached_with_the_keyboard(page: Page) -> None:
    expect(page.get_by_role("heading", name="Meetings", level=1)).to_be_visible()
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
