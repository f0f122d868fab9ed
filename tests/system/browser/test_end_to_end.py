"""From upload to export with Whisper base, with and without a key."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.integration.api.serving import ROOT, Server
from tests.integration.hearing import BASE
from tests.system.browser.conftest import Browse, Shoot, serve
from tests.system.browser.meeting_page import heard, saved
from tests.system.browser.test_signing_in import KEY, sign_in
from tests.system.browser.watched import NARROW, WIDE

SAMPLE = ROOT / "src/meet_transcriber/samples/standup.ogg"
LONG_MS = 240_000  # engines take their time on a busy machine


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """The first part of the sample, which is a valid recording."""
    path = tmp_path / "standup.ogg"
    data = SAMPLE.read_bytes()
    path.write_bytes(data[: len(data) // 9])
    return path


@pytest.fixture
def closed(tmp_path: Path) -> Callable[[], Server]:
    return lambda: serve(tmp_path / "closed", AUTH_MODE="required", API_KEYS=KEY, **BASE)


def transcribed(page: Page, clip: Path) -> None:
    """Upload the recording and wait for its transcript."""
    page.locator("input[type=file]").set_input_files(clip)
    page.get_by_role("list", name="Meetings").get_by_role("link", name="standup.ogg").click()
    expect(page.get_by_role("region", name="Transcript", exact=True)).to_be_visible(timeout=LONG_MS)
    expect(page.locator(".segment .w").first).to_be_visible()


def corrected(page: Page) -> None:
    """Play, rename a speaker, edit a text and undo that."""
    word = page.locator(".segment .w").nth(5)
    word.click()
    expect(page.locator(".w.spoken")).to_have_text(word.inner_text())
    start = heard(page)["time"]
    assert start > 0
    page.keyboard.press(" ")
    page.wait_for_function(
        "start => document.querySelector('audio').currentTime > start + 0.3", arg=start
    )
    page.keyboard.press(" ")
    page.locator(".segment .w").first.click()
    page.keyboard.press("r")
    page.get_by_role("dialog").get_by_role("textbox").fill("Ann Marie")
    page.keyboard.press("Enter")
    expect(page.locator(".segment .speaker").first).to_contain_text("Ann Marie")
    before = page.locator(".words").first.inner_text()
    page.locator(".segment .w").first.dblclick()
    page.get_by_role("textbox", name="Text of the segment").fill("Completely other words")
    page.keyboard.press("Enter")
    expect(page.locator(".words").first).to_have_text("Completely other words")
    page.keyboard.press("Control+z")
    expect(page.locator(".words").first).to_have_text(before)
    saved(page)


def finished(page: Page) -> None:
    """Find, export, reload, delete."""
    page.keyboard.press("Control+f")
    page.keyboard.type("the")
    expect(page.locator(".w.found").first).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="docx").click()
    assert Path(download.value.path()).read_bytes().startswith(b"PK")
    page.reload()
    expect(page.locator(".segment .speaker").first).to_contain_text("Ann Marie")
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No meetings yet")).to_be_visible()


def test_a_meeting_from_upload_to_export(
    browse: Browse, server: Server, clip: Path, shoot: Shoot
) -> None:
    page = browse(server.url, width=NARROW, dark=True).page()
    transcribed(page, clip)
    corrected(page)
    shoot(page, "end-to-end")
    finished(page)
    assert httpx.get(f"{server.url}/transcribe").json()["data"] == []


def test_a_meeting_from_upload_to_export_with_a_key(
    browse: Browse, closed: Callable[[], Server], clip: Path
) -> None:
    server = closed()
    try:
        watched = browse(server.url, width=WIDE)
        watched.allow("status of 401")  # which is how the page learns that a key is needed
        page = watched.page()
        sign_in(page)
        transcribed(page, clip)
        corrected(page)
        finished(page)
    finally:
        server.end()
