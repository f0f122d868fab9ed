"""Signing in where the server asks for a key."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.system.browser.conftest import Browse, Shoot, Simulated, emptied
from tests.system.browser.watched import Watched, no_violations

KEY = "a-key-that-is-long-enough-for-anybody"
READING = "one-more-key-that-may-read-and-no-more"


@pytest.fixture(scope="module")
def _closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    keys = f"ann:{KEY}:submit+read+admin:,ben:{READING}:read:"
    folder = tmp_path_factory.mktemp("closed")
    service = Simulated(folder, AUTH_MODE="required", API_KEYS=keys, SIMULATED_PART_SECONDS="0.3")
    yield service
    service.end()


@pytest.fixture
def closed(_closed: Simulated) -> Simulated:
    """A service that asks for a key, and no job yet."""
    return emptied(_closed, KEY)


@pytest.fixture
def watched(closed: Simulated, browse: Browse) -> Watched:
    watched = browse(closed.url)
    watched.allow("status of 401")  # which is how the page learns that a key is needed
    return watched


def sign_in(page: Page, key: str = KEY) -> None:
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()


def test_a_wrong_key_shows_an_error_and_a_valid_one_signs_in(
    watched: Watched, shoot: Shoot
) -> None:
    page = watched.page()
    no_violations(page)
    sign_in(page, "wrong")
    expect(page.get_by_role("alert")).to_contain_text("key")
    shoot(page, "sign-in")
    sign_in(page)
    expect(page.get_by_role("heading", name="Meetings", level=1)).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Meetings", level=1)).to_be_visible()


def test_scripts_cannot_read_the_key_or_the_session(watched: Watched) -> None:
    page = watched.page()
    sign_in(page)
    expect(page.get_by_role("heading", name="Meetings", level=1)).to_be_visible()
    seen = page.evaluate("document.cookie + JSON.stringify([{...localStorage}, location.href])")
    assert KEY not in seen
    assert "mt_session" not in seen


def test_a_read_only_key_sees_no_editing_buttons(watched: Watched, closed: Simulated) -> None:
    page = watched.page()
    sign_in(page, READING)
    expect(page.get_by_text("Your key is read-only")).to_be_visible()
    closed.system.ended(closed.system.submit(1))
    expect(page.get_by_role("link", name="standup.wav")).to_be_visible()
    expect(page.get_by_role("main").get_by_role("button")).to_have_count(0)


def test_progress_is_live_after_signing_in(watched: Watched, closed: Simulated) -> None:
    page = watched.page()
    sign_in(page)
    expect(page.get_by_text("No meetings yet")).to_be_visible()
    closed.system.submit(4)
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.get_by_text("Ready", exact=True).last).to_be_visible()
    page.get_by_role("button", name="Delete standup.wav").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No meetings yet")).to_be_visible()


def test_the_history_names_the_key(watched: Watched, closed: Simulated, shoot: Shoot) -> None:
    job = closed.system.ended(closed.system.submit(1))
    change = f"{closed.url}/transcribe/{job.id}/segments/0"
    bearer = {"Authorization": f"Bearer {KEY}"}
    httpx.patch(change, json={"text": "Good morning."}, headers=bearer).raise_for_status()
    page = watched.page(f"/#/job/{job.id}")
    sign_in(page)
    expect(page.get_by_text("morning.")).to_be_visible()
    page.get_by_role("button", name="Edit history").click()
    history = page.get_by_role("dialog", name="Edit history")
    expect(history.get_by_role("listitem")).to_contain_text(", ann")
    shoot(page, "history")


def test_signing_in_again_returns_to_the_same_view(watched: Watched) -> None:
    page = watched.page("/#/search?q=printer")
    sign_in(page)
    expect(page.get_by_role("heading", name="Search for")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    sign_in(page)
    expect(page.get_by_role("heading", name="Search for")).to_be_visible()


def end_session(watched: Watched) -> None:
    """As when its time is over."""
    cookie = {each["name"]: each["value"] for each in watched.context.cookies()}["mt_session"]
    with httpx.Client(base_url=watched.url, cookies={"mt_session": cookie}) as other:
        token = other.get("/session").json()["csrf_token"]
        assert other.delete("/session", headers={"X-CSRF-Token": token}).status_code == 204


def test_text_typed_when_the_session_expires_is_saved_after_signing_in(
    watched: Watched, closed: Simulated
) -> None:
    job = closed.system.ended(closed.system.submit(1))
    page = watched.page(f"/#/job/{job.id}")
    sign_in(page)
    page.locator(".segment .w").first.dblclick()
    page.get_by_role("textbox", name="Text of the segment").fill("Words of a long day")
    end_session(watched)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Your session has expired")).to_be_visible()
    sign_in(page)
    expect(page.get_by_text("Words of a long day")).to_be_visible()
    assert closed.system.words(job.id) == ["Words", "of", "a", "long", "day"]


def test_an_expired_session_asks_to_sign_in_again(watched: Watched) -> None:
    page = watched.page("/#/?show=failed")
    sign_in(page)
    expect(page.get_by_text("No meetings match these filters")).to_be_visible()
    end_session(watched)
    expect(page.get_by_text("Your session has expired")).to_be_visible()
    sign_in(page)
    expect(page.get_by_role("radio", name="Failed")).to_be_checked()
