"""The list of meetings."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import httpx
import pytest
from playwright.sync_api import expect

from meet_transcriber.core.jobs import Failure
from meet_transcriber.core.transcript import TranscriptWarning
from tests.simulated.meetings import keep, long_meeting
from tests.simulated.system import recording
from tests.system.browser.conftest import Browse, Shoot, Simulated, emptied
from tests.system.browser.watched import NARROW, WIDE, no_violations

HOSTILE = "<img src=x onerror=alert(1)><b>Budget.wav"


@pytest.fixture(scope="module")
def _slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    service = Simulated(tmp_path_factory.mktemp("slow"), SIMULATED_PART_SECONDS="2")
    yield service
    service.end()


@pytest.fixture
def slow(_slow: Simulated) -> Simulated:
    """Engines that take two seconds for a part, and no job yet."""
    return emptied(_slow)


def submit(service: Simulated, name: str, seconds: int = 2) -> str:
    files = {"file": (name, recording(seconds))}
    answer = httpx.post(f"{service.url}/transcribe", files=files)
    job_id: str = answer.raise_for_status().json()["job_id"]
    return job_id


def test_an_empty_list_explains_how_to_add_recordings(
    quick: Simulated, browse: Browse, shoot: Shoot
) -> None:
    page = browse(quick.url).page()
    expect(page.get_by_text("No meetings yet")).to_be_visible()
    no_violations(page)
    shoot(page, "empty")


@pytest.fixture
def busy(simulated: Callable[..., Simulated]) -> Simulated:
    """Meetings in every state but failed."""
    service = simulated(SIMULATED_PART_SECONDS="0.2")
    for name in (
        "Interview with Dana.wav",
        "\u05d9\u05e9\u05d9\u05d1\u05ea \u05e6\u05d5\u05d5\u05ea.wav",
    ):
        service.system.ended(submit(service, name))
    cancelled = submit(service, "Wrong file.wav", 300)
    httpx.post(f"{service.url}/transcribe/{cancelled}/cancel").raise_for_status()
    submit(service, "Planning the spring release.wav", 900)
    submit(service, "Retrospective.wav", 600)
    return service


@pytest.mark.parametrize(("dark", "width"), [(False, WIDE), (True, NARROW)])
def test_states_are_distinguishable_in_both_themes_and_widths(
    busy: Simulated, browse: Browse, shoot: Shoot, dark: bool, width: int
) -> None:
    page = browse(busy.url, dark, width).page()
    expect(page.get_by_role("list", name="Meetings").get_by_text("Ready")).to_have_count(2)
    expect(page.get_by_text("about").first).to_be_visible()
    shoot(page, f"jobs-{'dark' if dark else 'light'}-{width}")
    page.get_by_text("Options").click()
    no_violations(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_progress_shows_in_two_tabs_and_after_a_reload(slow: Simulated, browse: Browse) -> None:
    watched = browse(slow.url)
    tabs = [watched.page(), watched.page()]
    job_id = slow.system.submit(4)
    for page in tabs:
        expect(page.get_by_role("progressbar")).not_to_have_attribute("aria-valuenow", "0")
    tabs[0].reload()
    expect(tabs[0].get_by_role("progressbar")).to_be_visible()
    slow.system.ended(job_id)
    for page in tabs:
        expect(page.get_by_role("progressbar")).to_have_count(0)
        expect(page.get_by_text("1 speaker")).to_be_visible()


def test_a_failed_job_shows_its_error_and_a_ready_one_its_warnings(
    quick: Simulated, browse: Browse, shoot: Shoot
) -> None:
    doubt = TranscriptWarning("low_coverage", "Half of the speech has no words.")
    keep(
        quick.system.service.context,
        long_meeting(30, 20.0, 2, warnings=(doubt,)),
        sound=False,
    )
    broken = Failure("unreadable_audio", "The recording breaks off after 3 s; send it again whole.")
    job_id = quick.system.ended(submit(quick, "notes.wav")).id
    quick.system.service.context.jobs.update(
        job_id, lambda job: replace(job, state="failed", error=broken)
    )
    page = browse(quick.url).page()
    row = page.get_by_role("listitem").filter(has_text="notes.wav")
    expect(row.get_by_text(broken.message)).to_be_visible()
    done = page.get_by_role("listitem").filter(has_text="planning.wav")
    done.get_by_text("1 warning").click()
    expect(page.get_by_text(doubt.message)).to_be_visible()
    no_violations(page)
    shoot(page, "failed")


def test_a_job_can_be_cancelled_rerun_and_deleted(
    slow: Simulated, browse: Browse, shoot: Shoot
) -> None:
    slow.system.submit(30)
    page = browse(slow.url).page()
    page.get_by_role("button", name="Cancel standup.wav").click()
    job = page.get_by_role("listitem").filter(has_text="standup.wav")
    expect(job.get_by_text("Cancelled")).to_be_visible()
    job.get_by_role("button", name="Run again").click()
    no_violations(page)
    shoot(page, "rerun")
    page.get_by_role("dialog").get_by_role("button", name="Run again").click()
    expect(job.get_by_text("run 2")).to_be_visible()
    expect(job.get_by_role("link")).to_be_focused()  # its button is gone
    job.get_by_role("button", name="Delete").click()
    page.keyboard.press("Escape")
    expect(job).to_be_visible()
    job.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No meetings yet")).to_be_visible()


@pytest.mark.parametrize("task", ["Words only", "Speakers only", "Assign words to speakers"])
def test_a_single_task_can_be_rerun(quick: Simulated, browse: Browse, task: str) -> None:
    quick.system.ended(quick.system.submit(2))
    page = browse(quick.url).page()
    page.get_by_role("button", name="Run again").click()
    page.get_by_role("radio", name=task).check()
    page.get_by_role("dialog").get_by_role("button", name="Run again").click()
    expect(page.get_by_text("run 2")).to_be_visible()
    expect(page.get_by_text("1 speaker")).to_be_visible()


def test_filters_are_kept_in_the_address(quick: Simulated, browse: Browse) -> None:
    for name in ("planning.wav", "retro.wav"):
        quick.system.ended(submit(quick, name))
    page = browse(quick.url).page()
    expect(page.get_by_role("link", name="planning.wav")).to_be_visible()
    page.get_by_label("Filter by name").fill("RETRO")
    expect(page.get_by_role("link", name="planning.wav")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("link", name="retro.wav")).to_be_visible()
    expect(page.get_by_role("link", name="planning.wav")).to_have_count(0)
    page.get_by_role("radio", name="Failed").check()
    expect(page.get_by_text("No meetings match these filters")).to_be_visible()


def test_show_more_loads_older_meetings(quick: Simulated, browse: Browse) -> None:
    for _ in range(31):
        quick.system.submit(1)
    page = browse(quick.url).page()
    rows = page.get_by_role("list", name="Meetings").get_by_role("listitem")
    expect(rows).to_have_count(30)
    page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(31)
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()


def test_a_refused_link_shows_the_reason(quick: Simulated, browse: Browse) -> None:
    url = "http://169.254.169.254/none.wav"
    refused = httpx.post(f"{quick.url}/transcribe", json={"url": url})
    watched = browse(quick.url)
    watched.allow("status of 422")
    page = watched.page()
    page.get_by_role("button", name="From a link").click()
    page.get_by_role("textbox", name="Link").fill(url)
    page.get_by_role("button", name="Transcribe").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_have_text(refused.json()["detail"])


def test_an_unreachable_server_shows_a_notice_until_it_is_back(
    quick: Simulated, browse: Browse, shoot: Shoot
) -> None:
    watched = browse(quick.url)
    watched.allow("ERR_INTERNET_DISCONNECTED|ERR_FAILED|status of 5")
    page = watched.page()
    expect(page.get_by_text("No meetings yet")).to_be_visible()
    watched.context.set_offline(True)
    page.get_by_label("Filter by name").fill("x")
    expect(page.get_by_text("The server cannot be reached.").first).to_be_visible()
    no_violations(page)
    shoot(page, "offline")
    watched.context.set_offline(False)
    expect(page.get_by_text("No meetings match these filters")).to_be_visible()
    expect(page.get_by_text("The server cannot be reached.")).to_have_count(0)


def test_markup_in_a_name_is_shown_as_text(quick: Simulated, browse: Browse) -> None:
    quick.system.ended(submit(quick, HOSTILE))
    page = browse(quick.url).page()
    expect(page.get_by_role("link", name="<img src=x onerror=alert(1)>")).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator("img[src=x], script:not([src])").count() == 0
