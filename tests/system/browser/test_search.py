"""Searching transcripts."""

import httpx
import pytest
from playwright.sync_api import expect

from tests.system.browser.conftest import Browse, Shoot, Simulated
from tests.system.browser.watched import no_violations

HOSTILE = "<b>we</b> ship on <script>alert(1)</script> Tuesday"


@pytest.fixture
def spoken(quick: Simulated) -> tuple[Simulated, str]:
    """A meeting with markup in a name and in the words."""
    service = quick
    job_id = service.system.submit(2)
    service.system.ended(job_id)
    job = f"{service.url}/transcribe/{job_id}"
    names = {"SPEAKER_00": "<i onclick=alert(2)>Ann</i>"}
    httpx.patch(f"{job}/speakers", json=names).raise_for_status()
    httpx.patch(f"{job}/segments/0", json={"text": HOSTILE}).raise_for_status()
    return service, job_id


def test_results_are_highlighted_and_link_to_their_moment(
    spoken: tuple[Simulated, str], browse: Browse, shoot: Shoot
) -> None:
    service, job_id = spoken
    page = browse(service.url).page()
    field = page.get_by_role("searchbox", name="Search transcripts")
    field.fill("tuesday SHIP")
    field.press("Enter")
    expect(page.locator("mark")).to_have_text(["ship", "Tuesday"])
    no_violations(page)
    shoot(page, "search")
    page.get_by_role("link", name="Go to 0:00").click()
    expect(page).to_have_url(f"{service.url}/#/job/{job_id}?t=0.00")


def test_markup_in_words_and_names_is_shown_as_text(
    spoken: tuple[Simulated, str], browse: Browse
) -> None:
    page = browse(spoken[0].url).page("/#/search?q=<script>")
    expect(page.get_by_text(HOSTILE)).to_be_visible()
    expect(page.get_by_text("<i onclick=alert(2)>Ann</i>")).to_be_visible()
    expect(page.get_by_role("heading", name="Search for")).to_contain_text("<script>")
    assert page.locator("main :is(script, i)").count() == 0


def test_a_search_without_results_suggests_what_to_try(
    spoken: tuple[Simulated, str], browse: Browse
) -> None:
    page = browse(spoken[0].url).page("/#/search?q=wednesday")
    expect(page.get_by_text("No results")).to_be_visible()
    no_violations(page)
