"""Remembering voices and suggesting names."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from meet_transcriber.service import SubmissionRequest
from tests.simulated.people import ALMOST_ANN, ANN, BOB, meeting
from tests.system.browser.conftest import Browse, Simulated
from tests.system.browser.meeting_page import open_meeting, saved
from tests.system.browser.watched import no_violations

TICK = "Remember this voice"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    folder: Path = tmp_path_factory.mktemp("voices")
    service = Simulated(folder, AUTH_MODE="loopback", VOICE_PROFILES="on", SIMULATED_VOICES="tones")
    yield service
    service.end()


def met(shelf: Simulated, *turns: tuple[int, int]) -> str:
    """The id of a finished meeting."""
    upload = shelf.system.service.submissions.start_upload("standup.wav")
    upload.write(meeting(*turns))
    return shelf.system.ended(upload.finish(SubmissionRequest()).id).id


def names(shelf: Simulated, job_id: str) -> dict[str, str]:
    found: dict[str, str] = httpx.get(f"{shelf.url}/transcribe/{job_id}").json()["names"]
    return found


def rename(page: Page, label: str, name: str) -> None:
    page.locator(".speakers").get_by_role("button", name=f"{label}", exact=True).click()
    page.get_by_label(f"Name of {label}").fill(name)


def test_a_remembered_voice_is_suggested_later(shelf: Simulated, browse: Browse) -> None:
    page = browse(shelf.url).page()
    open_meeting(page, met(shelf, (ANN, 4), (BOB, 4)))
    rename(page, "SPEAKER_00", "Ann")
    no_violations(page)
    page.get_by_label(TICK).check()
    page.keyboard.press("Enter")
    expect(page.locator(".save-state")).to_have_text(" · Ann’s voice was saved.")
    rename(page, "SPEAKER_01", "Bob")
    page.keyboard.press("Enter")  # without a tick
    saved(page)
    people = httpx.get(f"{shelf.url}/voices").json()["data"]
    assert [person["name"] for person in people] == ["Ann"]

    for answer, found in (("No", {}), ("Yes", {"SPEAKER_00": "Ann"})):
        job_id = met(shelf, (ALMOST_ANN, 4))
        page = browse(shelf.url).page()
        open_meeting(page, job_id)
        expect(page.locator(".speaker-perhaps")).to_contain_text("Is this Ann?")
        no_violations(page)
        page.get_by_role("button", name=f"{answer}: SPEAKER_00").click()
        expect(page.locator(".speaker-perhaps")).to_have_count(0)
        if found:
            saved(page)
        assert names(shelf, job_id) == found


def test_without_voice_profiles_there_is_no_checkbox(quick: Simulated, browse: Browse) -> None:
    job_id = quick.system.ended(quick.system.submit(seconds=2)).id
    page = browse(quick.url).page()
    open_meeting(page, job_id)
    rename(page, "SPEAKER_00", "Ann")
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.get_by_label(TICK)).not_to_be_visible()


def test_the_checkbox_appears_in_a_dialog_opened_before_the_voices_are_known(
    shelf: Simulated, browse: Browse
) -> None:
    page = browse(shelf.url).page()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/speakers", hold)
    open_meeting(page, met(shelf, (ANN, 4), (BOB, 4)))
    rename(page, "SPEAKER_01", "Bob")
    expect(page.get_by_label(TICK)).not_to_be_visible()
    for route in held:
        route.continue_()
    expect(page.get_by_label(TICK)).to_be_visible()
