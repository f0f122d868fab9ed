"""Uploading recordings."""

from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.integration.api.serving import ROOT, Server
from tests.simulated.system import recording
from tests.system.browser.conftest import Browse, Shoot, Simulated
from tests.system.browser.watched import Watched, no_violations

SAMPLE = ROOT / "src/meet_transcriber/samples/standup.ogg"
PIECE_BYTES = 400_000
BROKEN = "ERR_CONNECTION|ERR_FAILED|ERR_INTERNET|ERR_EMPTY|status of 409"


@pytest.fixture
def service(quick: Simulated) -> Simulated:
    return quick


@pytest.fixture
def watched(service: Simulated, browse: Browse) -> Watched:
    watched = browse(service.url)
    watched.allow(BROKEN)
    return watched


@pytest.fixture
def meeting(tmp_path: Path) -> Path:
    """Two megabytes of noise that takes a simulated engine no time."""
    path = tmp_path / "planning.wav"
    path.write_bytes(recording(60))
    return path


def choose(page: Page, *paths: Path) -> None:
    page.locator("input[type=file]").set_input_files([*paths])


def jobs(server: Server) -> list[dict[str, object]]:
    found: list[dict[str, object]] = httpx.get(f"{server.url}/transcribe").json()["data"]
    return found


class Cut:
    """Lets part of the first chunk through, then breaks every request until `broken` is False."""

    def __init__(self, page: Page, url: str) -> None:
        self.url = url
        self.broken = True
        self.offsets: list[int] = []
        page.route("**/uploads/*", self.handle)

    def handle(self, route: Route) -> None:
        request = route.request
        if request.method == "PATCH" and not self.broken:
            self.offsets.append(int(request.headers["upload-offset"]))
        if not self.broken:
            route.continue_()
            return
        if request.method == "PATCH" and not self.offsets:
            headers = {"Content-Type": "application/partial-upload", "Upload-Offset": "0"}
            part = (request.post_data_buffer or recording(60))[:PIECE_BYTES]
            httpx.patch(request.url, content=part, headers=headers).raise_for_status()
            self.offsets.append(0)
        route.abort("connectionreset")


def test_the_sample_becomes_a_meeting(page: Page, server: Server, shoot: Shoot) -> None:
    expect(page.get_by_role("button", name="Choose files")).to_be_visible()
    no_violations(page)
    choose(page, SAMPLE)
    job = page.get_by_role("listitem").filter(has_text="standup.ogg")
    expect(job.get_by_role("progressbar", name="Progress of")).to_be_visible()
    shoot(page, "working")
    expect(job.get_by_text("Ready")).to_be_visible(timeout=240_000)
    expect(job.get_by_text("4 speakers")).to_be_visible()
    shoot(page, "ready")
    httpx.delete(f"{server.url}/transcribe/{jobs(server)[0]['job_id']}")


def test_an_interrupted_upload_resumes_as_one_job(
    watched: Watched, service: Simulated, meeting: Path, shoot: Shoot
) -> None:
    page = watched.page()
    cut = Cut(page, service.url)
    choose(page, meeting)
    expect(page.get_by_text("Connection lost")).to_be_visible()
    shoot(page, "lost")
    cut.broken = False
    expect(page.get_by_role("link", name="planning.wav")).to_be_visible()
    expect(page.get_by_role("list", name="Uploads")).to_be_hidden()
    assert cut.offsets == [0, PIECE_BYTES]
    assert [job["size_bytes"] for job in jobs(service)] == [meeting.stat().st_size]


def test_an_upload_resumes_after_a_reload_as_one_job(
    watched: Watched, service: Simulated, meeting: Path
) -> None:
    page = watched.page()
    cut = Cut(page, service.url)
    choose(page, meeting)
    expect(page.get_by_text("Connection lost")).to_be_visible()
    page.reload()
    expect(page.get_by_role("list", name="Uploads")).to_contain_text("planning.wav")
    second = watched.page()  # another tab leaves it to the first
    cut.broken = False
    expect(page.get_by_role("link", name="planning.wav")).to_be_visible()
    expect(second.get_by_role("link", name="planning.wav")).to_be_visible()
    expect(second.get_by_role("list", name="Uploads")).to_be_hidden()
    assert cut.offsets == [0, PIECE_BYTES]
    assert len(jobs(service)) == 1


def test_an_upload_can_be_paused_and_resumed(watched: Watched, meeting: Path) -> None:
    page = watched.page()
    cut = Cut(page, watched.url)
    choose(page, meeting)
    expect(page.get_by_text("Connection lost")).to_be_visible()
    page.get_by_role("button", name="Pause the upload of planning.wav").click()
    expect(page.get_by_text("Paused at")).to_be_visible()
    no_violations(page)
    cut.broken = False
    page.get_by_role("button", name="Resume the upload of planning.wav").click()
    expect(page.get_by_role("link", name="planning.wav")).to_be_visible()


def test_a_cancelled_upload_is_deleted(watched: Watched, service: Simulated, meeting: Path) -> None:
    page = watched.page()
    cut = Cut(page, service.url)
    choose(page, meeting)
    expect(page.get_by_text("Connection lost")).to_be_visible()
    cut.broken = False
    with page.expect_response(lambda answer: answer.request.method == "DELETE") as deleted:
        page.get_by_role("button", name="Cancel the upload of planning.wav").click()
    assert deleted.value.status == 204
    page.reload()
    expect(page.get_by_text("No meetings yet")).to_be_visible()
    expect(page.get_by_role("list", name="Uploads")).to_be_hidden()


def test_several_files_use_the_remembered_options(
    watched: Watched, service: Simulated, tmp_path: Path
) -> None:
    page = watched.page()
    page.get_by_text("Options").click()
    page.get_by_label("Language").select_option("de")
    page.get_by_label("Speakers", exact=False).first.fill("2-5")
    page.get_by_label("Vocabulary").fill("Kubernetes, Anna Öz")
    page.reload()
    paths = [tmp_path / f"part {at}.wav" for at in range(5)]
    for path in paths:
        path.write_bytes(recording(1))
    choose(page, *paths)
    for path in paths:
        expect(page.get_by_role("link", name=path.name)).to_be_visible()
    assert len(jobs(service)) == 5
    for job in jobs(service):
        options = job["options"]
        assert isinstance(options, dict)
        assert options["language"] == "de"
        assert (options["min_speakers"], options["max_speakers"]) == (2, 5)
        assert options["hotwords"] == ["Kubernetes", "Anna Öz"]


def test_files_can_be_dropped_anywhere(watched: Watched, tmp_path: Path) -> None:
    page = watched.page()
    data = list(recording(1))
    transfer = page.evaluate_handle(
        """bytes => { const all = new DataTransfer();
        all.items.add(new File([new Uint8Array(bytes)], "dropped.wav")); return all; }""",
        data,
    )
    for name in ("dragover", "drop"):
        page.dispatch_event("body", name, {"dataTransfer": transfer})
    expect(page.get_by_role("link", name="dropped.wav")).to_be_visible()


def test_files_without_audio_are_refused_with_a_reason(watched: Watched, tmp_path: Path) -> None:
    watched.allow("status of 4(15|22)")
    page = watched.page()
    (tmp_path / "notes.txt").write_text("no sound\n" * 50)
    (tmp_path / "empty.wav").touch()
    choose(page, tmp_path / "notes.txt", tmp_path / "empty.wav")
    uploads = page.get_by_role("list", name="Uploads").get_by_role("listitem")
    expect(uploads).to_contain_text(["send an audio or video recording", "The file is empty"])
    for _ in range(2):
        uploads.last.get_by_role("button", name="Cancel").click()
    expect(uploads).to_have_count(0)
    expect(page.get_by_role("button", name="Choose files")).to_be_focused()


def test_invalid_options_prevent_the_upload(watched: Watched) -> None:
    page = watched.page()
    page.get_by_text("Options").click()
    page.get_by_label("Speakers", exact=False).first.fill("9-2")
    choose(page, SAMPLE)
    expect(page.get_by_role("list", name="Uploads")).to_be_hidden()
    assert page.locator("input[name=speakers]:invalid").count() == 1


def test_a_recording_is_fetched_from_a_link(watched: Watched, service: Simulated) -> None:
    service.system.ended(service.system.submit(1))
    page = watched.page()
    page.get_by_role("button", name="From a link").click()
    no_violations(page)
    link = f"{service.url}/transcribe/{jobs(service)[0]['job_id']}/audio"
    page.get_by_role("textbox", name="Link").fill(link)
    page.get_by_role("button", name="Transcribe").click()
    expect(page.get_by_text("1 speaker")).to_have_count(2)
