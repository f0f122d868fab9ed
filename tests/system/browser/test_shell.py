"""Header, notices, theme, keyboard and unknown addresses."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.integration.api.serving import Server
from tests.integration.hearing import TINY
from tests.model_hub import MODEL, ModelHub
from tests.system.browser.conftest import Browse, Shoot, serve
from tests.system.browser.watched import no_violations


def theme(page: Page) -> str:
    chosen: str = page.evaluate("document.documentElement.dataset.theme")
    return chosen


@pytest.fixture
def starved(tmp_path: Path, hub: ModelHub) -> Iterator[Server]:
    """A service without weights that could not reach its model hub at start."""
    server = serve(tmp_path / "server", **hub.environment)
    yield server
    server.end()


@pytest.fixture
def english(tmp_path: Path) -> Iterator[Server]:
    """A service whose model knows English only."""
    server = serve(tmp_path / "server", **TINY)
    yield server
    server.end()


def test_missing_models_show_a_notice_with_a_retry(
    browse: Browse, starved: Server, hub: ModelHub, shoot: Shoot
) -> None:
    page = browse(starved.url).page()
    missing = page.get_by_role("region", name="Not ready")
    expect(missing).to_contain_text("Recordings cannot be transcribed.")
    expect(missing).to_contain_text(MODEL)
    no_violations(page)
    hub.start()
    missing.get_by_role("button", name="Retry now").click()
    expect(page.get_by_role("progressbar", name="Model download")).to_be_visible()
    expect(page.get_by_text("MB of 30.9 MB")).to_be_visible()
    expect(missing).to_have_count(0)
    no_violations(page)
    shoot(page, "models")
    hub.go_on.set()
    expect(page.get_by_text("Downloading models")).to_have_count(0)
    expect(missing).to_have_count(0)


def test_an_english_only_model_disables_other_languages(browse: Browse, english: Server) -> None:
    page = browse(english.url).page()
    page.get_by_text("Options").click()
    expect(page.get_by_role("option", name="German")).to_be_disabled()
    expect(page.get_by_role("option", name="English")).to_be_enabled()


def test_the_default_model_offers_every_language(page: Page) -> None:
    page.get_by_text("Options").click()
    expect(page.get_by_role("option", name="German")).to_be_enabled()


def test_the_theme_follows_the_system_until_one_is_chosen(browse: Browse, server: Server) -> None:
    page = browse(server.url, dark=True).page()
    assert theme(page) == "dark"
    page.get_by_role("button", name="Use light theme").click()
    page.reload()
    expect(page.get_by_role("button", name="Use dark theme")).to_be_visible()
    assert theme(page) == "light"


def test_everything_can_be_reached_with_the_keyboard(page: Page) -> None:
    expect(page.get_by_role("heading", name="Meetings", level=1)).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Choose files")).to_be_focused()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_an_unknown_address_shows_page_not_found(browse: Browse, server: Server) -> None:
    page = browse(server.url).page("/#/nowhere")
    expect(page.get_by_role("heading", name="Page not found")).to_be_visible()
    page.get_by_role("link", name="All meetings", exact=True).click()
    expect(page.get_by_role("heading", name="Meetings", level=1)).to_be_visible()
