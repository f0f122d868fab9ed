"""Recording from the microphone; Chromium's fake one beeps once a second."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.system.browser.conftest import Browse, Shoot, Simulated
from tests.system.browser.watched import Watched, no_violations


@pytest.fixture
def watched(quick: Simulated, browse: Browse) -> Watched:
    return browse(quick.url)


def record(page: Page, seconds: int = 2) -> None:
    page.get_by_role("button", name="Record").click()
    expect(page.locator("output")).to_have_text(f"0:0{seconds}")


def test_a_recording_from_the_microphone_is_transcribed(watched: Watched, shoot: Shoot) -> None:
    page = watched.page()
    record(page)
    expect(page.locator(".level")).to_have_attribute("style", re.compile("--level: .*[1-9]"))
    no_violations(page)
    shoot(page, "recording")
    page.get_by_role("button", name="Stop and transcribe").click()
    expect(page.get_by_role("link", name="Recording 20")).to_be_visible()
    expect(page.get_by_text("1 speaker")).to_be_visible()


def test_a_recording_survives_a_closed_tab(watched: Watched) -> None:
    page = watched.page()
    record(page, seconds=3)
    page.close()
    page = watched.page()
    expect(page.get_by_text("but it was saved.")).to_be_visible()
    page.get_by_role("button", name="Transcribe", exact=True).click()
    expect(page.get_by_text("1 speaker")).to_be_visible()


def test_recording_works_without_browser_storage(watched: Watched) -> None:
    watched.context.add_init_script(
        "Object.defineProperty(window, 'indexedDB', {value: {open() { throw new Error('full'); }}})"
    )
    page = watched.page()
    record(page)
    page.get_by_role("button", name="Stop and transcribe").click()
    expect(page.get_by_text("1 speaker")).to_be_visible()


def test_a_discarded_recording_is_deleted(watched: Watched) -> None:
    page = watched.page()
    record(page)
    page.get_by_role("button", name="Discard").click()
    expect(page.locator("output")).to_be_hidden()
    page.reload()
    expect(page.get_by_text("No meetings yet")).to_be_visible()
    expect(page.get_by_text("but it was saved.")).to_have_count(0)


def test_without_microphone_access_the_page_explains_why(watched: Watched) -> None:
    watched.context.add_init_script(
        "Object.defineProperty(navigator, 'mediaDevices', {value: undefined})"
    )
    page = watched.page()
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_text("only over HTTPS")).to_be_visible()
