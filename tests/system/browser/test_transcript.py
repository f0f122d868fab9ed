"""The view of a meeting: player, editor, speakers, export, progress."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from meet_transcriber.core.formats import EXPORTERS
from meet_transcriber.core.transcript import Removed, TranscriptWarning, Turn
from tests.simulated.meetings import keep, long_meeting, spoken, transcript_of
from tests.system.browser.conftest import Browse, Shoot, Simulated
from tests.system.browser.meeting_page import (
    LINES,
    expect_lines,
    heard,
    lines,
    meeting,
    minutes,
    open_meeting,
    saved,
    word,
)
from tests.system.browser.watched import NARROW, SMALLEST, WIDE, no_violations

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    """A service that meetings are put into."""
    service = Simulated(tmp_path_factory.mktemp("shelf"), AUTH_MODE="loopback")
    yield service
    service.end()


@pytest.fixture
def job_id(shelf: Simulated) -> str:
    return keep(shelf.system.service.context, meeting())


@pytest.fixture
def page(shelf: Simulated, browse: Browse, job_id: str) -> Page:
    page = browse(shelf.url).page()
    open_meeting(page, job_id)
    return page


def transcript(shelf: Simulated, job_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(f"{shelf.url}/transcribe/{job_id}").json()["transcript"]
    return answer


def texts(shelf: Simulated, job_id: str) -> list[str]:
    text = httpx.get(f"{shelf.url}/transcribe/{job_id}/download?format=txt").text
    return [line.partition(": ")[2] for line in text.splitlines()]


# -- listening -----------------------------------------------------------------------------


def test_clicking_a_word_seeks_to_it_and_marks_it(page: Page) -> None:
    word(page, "report", 1).click()
    expect(page.locator(".w.spoken")).to_have_text("report")
    assert heard(page)["time"] == pytest.approx(8.0, abs=0.05)


def test_the_marked_word_is_the_one_being_played(page: Page) -> None:
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.locator(".w.spoken")).to_have_text("morning")
    now = heard(page)
    page.get_by_role("button", name="Pause").click()
    assert now["segment"] == 0
    assert now["word"] * 0.5 <= now["time"] + 0.02
    assert now["time"] < (now["word"] + 1) * 0.5 + 0.3  # a busy machine paints late


def test_keys_play_seek_and_change_the_speed(page: Page) -> None:
    word(page, "Thursday", 2).click()
    page.keyboard.press("j")
    assert heard(page)["time"] == pytest.approx(12.0 - 5, abs=0.05)
    page.keyboard.press("l")
    page.keyboard.press("]")
    expect(page.get_by_label("Speed")).to_have_value("1.25")
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.keyboard.press("k")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()


def test_the_waveform_seeks_with_pointer_and_keys(page: Page) -> None:
    slider = page.get_by_role("slider", name="Position in the recording")
    slider.click()
    expect(slider).to_have_attribute("aria-valuenow", "15")
    slider.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuenow", "20")
    slider.press("Home")
    expect(slider).to_have_attribute("aria-valuenow", "0")


def test_a_link_opens_its_moment(page: Page, job_id: str) -> None:
    open_meeting(page, job_id, "?t=15.2")
    expect(page.locator(".w.spoken")).to_have_text("שלום")
    page.evaluate("location.hash = location.hash.replace('15.2', '20')")
    expect(page.locator(".w.spoken")).to_have_text("me")


def test_a_meeting_without_audio_can_be_read(shelf: Simulated, page: Page) -> None:
    context = shelf.system.service.context
    job_id = keep(context, meeting(), sound=False)
    open_meeting(page, job_id)
    expect(page.get_by_text("The recording was not kept")).to_be_visible()
    word(page, "solved", 1).click()
    expect(page.locator(".w.spoken")).to_have_text("solved")


# -- editing -------------------------------------------------------------------------------


def test_edited_text_can_be_undone_and_redone_and_is_saved(
    page: Page, shelf: Simulated, job_id: str
) -> None:
    word(page, "Then", 2).dblclick()
    page.get_by_label("Text of the segment at 0:10").fill(f"We ship on Friday {HOSTILE}")
    page.keyboard.press("Enter")
    assert lines(page)[2] == f"We ship on Friday {HOSTILE}"  # before the server answers
    page.keyboard.press("Control+z")
    expect_lines(page, 2, LINES[2][1])
    page.keyboard.press("Control+y")
    saved(page)
    page.reload()
    expect(page.get_by_text("We ship on Friday")).to_be_visible()
    assert texts(shelf, job_id)[2] == f"We ship on Friday {HOSTILE}"


def test_edited_words_get_the_times_of_the_server(
    page: Page, shelf: Simulated, job_id: str
) -> None:
    word(page, "Good", 0).click()
    page.keyboard.press("e")
    page.get_by_role("textbox", name="Text of the segment at 0:00").fill(
        "Good day and welcome everybody, let us begin with release two"
    )
    page.keyboard.press("Enter")
    saved(page)
    kept = transcript(shelf, job_id)["segments"][0]["words"]
    for place in (1, 3, 9):
        page.locator(".segment").first.locator(".w").nth(place).click()
        assert heard(page)["time"] == pytest.approx(kept[place]["start"], abs=0.01)


def test_typed_text_is_saved_when_the_view_is_left(
    page: Page, shelf: Simulated, job_id: str
) -> None:
    word(page, "Then", 2).dblclick()
    page.get_by_label("Text of the segment at 0:10").fill("We ship on Friday")
    page.get_by_role("link", name="all meetings").click()
    expect(page.get_by_role("heading", name="Meetings", level=1)).to_be_visible()
    page.go_back()
    expect(page.get_by_text("We ship on Friday")).to_be_visible()
    assert texts(shelf, job_id)[2] == "We ship on Friday"


def test_ctrl_enter_edits_the_next_segment(page: Page) -> None:
    word(page, "Good", 0).dblclick()
    page.keyboard.press("Control+Enter")
    expect(page.get_by_label("Text of the segment at 0:04")).to_be_focused()
    page.keyboard.press("Escape")
    assert lines(page) == [text for _, text in LINES]


def test_a_speaker_is_renamed_everywhere_and_markup_stays_text(
    page: Page, shelf: Simulated, job_id: str
) -> None:
    word(page, "printing", 1).click()
    page.keyboard.press("r")
    page.get_by_label("Name of SPEAKER_01").fill(HOSTILE)
    page.keyboard.press("Enter")
    expect(page.locator(".segment .speaker", has_text=HOSTILE)).to_have_count(2)
    saved(page)
    exported = httpx.get(f"{shelf.url}/transcribe/{job_id}/download?format=txt").text
    assert exported.count(f"{HOSTILE}: ") == 2


def test_a_segment_can_be_split_and_merged(page: Page, shelf: Simulated, job_id: str) -> None:
    word(page, "is", 1).click()
    page.keyboard.press("s")
    expect_lines(page, 1, "The printing problem", "is solved and the report is on paper")
    saved(page)
    assert texts(shelf, job_id)[1] == "The printing problem"
    page.keyboard.press("m")
    expect(page.locator(".segment .words")).to_have_count(len(LINES))
    saved(page)
    assert texts(shelf, job_id)[1] == LINES[1][1]


def test_a_number_key_assigns_a_segment_to_a_speaker(
    page: Page, shelf: Simulated, job_id: str
) -> None:
    word(page, "Good", 0).click()
    page.keyboard.press("3")
    expect(page.locator(".segment .speaker").first).to_contain_text("SPEAKER_02")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("n")
    expect(page.locator(".segment .speaker").nth(1)).to_contain_text("SPEAKER_03")
    saved(page)
    kept = transcript(shelf, job_id)["segments"]
    assert [each["speaker"] for each in kept][:2] == ["SPEAKER_02", "SPEAKER_03"]


def test_selected_words_are_reassigned_in_one_step(
    page: Page, shelf: Simulated, job_id: str
) -> None:
    word(page, "solved", 1).click()
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    page.get_by_role("group", name="Selected words").get_by_role(
        "button", name="SPEAKER_00"
    ).click()
    expected = ["The printing problem is", "solved and the report", "is on paper"]
    expect_lines(page, 1, *expected)
    saved(page)
    assert texts(shelf, job_id)[1:4] == expected
    page.keyboard.press("u")
    saved(page)
    assert texts(shelf, job_id)[1] == LINES[1][1]


def test_words_selected_by_touch_can_be_reassigned(page: Page) -> None:
    page.evaluate(  # which sends no event of a pointer
        """() => {
          const words = document.querySelectorAll(".segment:nth-child(2) .w");
          getSelection().setBaseAndExtent(words[3].firstChild, 0, words[4].firstChild, 2);
        }"""
    )
    give = page.get_by_role("group", name="Selected words")
    give.get_by_role("button", name="New speaker").click()
    expect_lines(page, 1, "The printing problem", "is solved", "and the report is on paper")
    saved(page)


def test_a_conflict_loads_the_other_edit_and_keeps_the_typed_text(
    browse: Browse, shelf: Simulated, job_id: str
) -> None:
    watched = browse(shelf.url)
    watched.allow("412")
    page = watched.page()
    open_meeting(page, job_id)
    word(page, "Then", 2).dblclick()
    page.get_by_label("Text of the segment at 0:10").fill("Mine of Thursday")
    url = f"{shelf.url}/transcribe/{job_id}/segments/0"
    httpx.patch(url, json={"text": "Theirs"}).raise_for_status()
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Your text is still in its editor")
    expect(page.get_by_text("Theirs")).to_be_visible()
    expect(page.get_by_label("Text of the segment at 0:10")).to_have_value("Mine of Thursday")
    page.get_by_role("button", name="Save").click()
    saved(page)
    assert texts(shelf, job_id)[2] == "Mine of Thursday"


def test_an_edit_that_is_refused_after_leaving_the_view_is_shown(
    browse: Browse, shelf: Simulated, job_id: str
) -> None:
    watched = browse(shelf.url)
    watched.allow("412")
    page = watched.page()
    open_meeting(page, job_id)
    word(page, "Then", 2).dblclick()
    page.get_by_label("Text of the segment at 0:10").fill("We ship on Friday")
    url = f"{shelf.url}/transcribe/{job_id}/segments/0"
    httpx.patch(url, json={"text": "Theirs"}).raise_for_status()
    page.get_by_role("link", name="all meetings").click()
    expect(page.get_by_role("alert")).to_contain_text("not saved: “We ship on Friday”")


def test_edits_made_offline_are_saved_when_the_server_is_back(
    browse: Browse, shelf: Simulated, job_id: str
) -> None:
    watched = browse(shelf.url)
    watched.allow("ERR_INTERNET_DISCONNECTED")
    page = watched.page()
    open_meeting(page, job_id)
    watched.context.set_offline(True)
    word(page, "Then", 2).dblclick()
    page.get_by_label("Text of the segment at 0:10").fill("We ship on Friday")
    page.keyboard.press("Enter")
    word(page, "is", 1).click()
    page.keyboard.press("s")
    word(page, "Friday", 2).click()
    expect(page.get_by_text("The server cannot be reached.")).to_be_visible()
    expect(page.locator(".save-state")).to_have_text(" · saving…")
    watched.context.set_offline(False)
    saved(page)
    expected = ["The printing problem", "is solved and the report is on paper", "We ship on Friday"]
    expect_lines(page, 1, *expected)
    assert texts(shelf, job_id)[1:4] == expected
    expect(page.locator(".w.chosen")).to_have_text("Friday")


def test_an_open_editor_keeps_its_focus_when_the_answer_arrives(
    page: Page, shelf: Simulated, job_id: str
) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/segments", hold)
    for text in ("We ship on Friday", "We ship"):
        page.locator(".segment .w").nth(20).dblclick()
        page.get_by_label("Text of the segment at 0:10").fill(text)
        if not held:
            page.keyboard.press("Enter")
            expect(page.locator(".save-state")).to_have_text(" · saving…")
    held[0].continue_()
    page.unroute("**/segments")
    saved(page)
    expect(page.get_by_label("Text of the segment at 0:10")).to_be_focused()
    page.keyboard.type(" on Monday")
    page.keyboard.press("Enter")
    expect_lines(page, 2, "We ship on Monday")
    saved(page)
    assert texts(shelf, job_id)[2] == "We ship on Monday"


def test_a_refused_edit_shows_the_reason(browse: Browse, shelf: Simulated, job_id: str) -> None:
    watched = browse(shelf.url)
    watched.allow("422")
    page = watched.page()
    open_meeting(page, job_id)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".save-state")).to_contain_text("nothing to undo")


def test_the_history_lists_edits(page: Page) -> None:
    word(page, "is", 1).click()
    page.keyboard.press("s")
    page.keyboard.press("u")
    saved(page)
    page.keyboard.press("h")
    history = page.get_by_role("dialog", name="Edit history")
    expect(history.get_by_role("listitem")).to_have_count(2)
    expect(history).to_contain_text("(undone)")
    no_violations(page)


# -- finding -------------------------------------------------------------------------------


def test_find_marks_all_matches_and_steps_through_them(page: Page) -> None:
    page.keyboard.press("Control+f")
    page.keyboard.type("THURSDAY")
    expect(page.get_by_text("1 of 2")).to_be_visible()
    expect(page.locator(".w.found")).to_have_count(2)
    page.keyboard.press("Enter")
    expect(page.get_by_text("2 of 2")).to_be_visible()
    no_violations(page)
    page.keyboard.press("Escape")
    expect(page.locator(".w.found")).to_have_count(0)


def test_a_misheard_name_is_replaced_everywhere_and_undone(
    page: Page, shelf: Simulated, job_id: str
) -> None:
    page.get_by_role("button", name="Find", exact=True).click()
    page.keyboard.type("thursday")
    page.get_by_label("Replace with").fill("Friday")
    page.get_by_role("button", name="Replace everywhere").click()
    page.get_by_role("dialog").get_by_role("button", name="Replace").click()
    expect(page.locator(".words", has_text="Friday")).to_have_count(2)
    expect(page.locator(".save-state")).to_have_text(" · Replaced in 2 places.")
    assert "Thursday" not in " ".join(texts(shelf, job_id))
    page.get_by_role("button", name="Undo").click()
    saved(page)
    assert texts(shelf, job_id)[5] == LINES[5][1]


def test_a_speaker_is_merged_into_another(page: Page, shelf: Simulated, job_id: str) -> None:
    page.get_by_role("button", name="Actions for SPEAKER_02", exact=True).click()
    page.get_by_role("menuitem", name="Merge into SPEAKER_00").click()
    expect(page.locator(".segment .speaker", has_text="SPEAKER_00")).to_have_count(4)
    saved(page)
    kept = transcript(shelf, job_id)["segments"]
    assert [each["speaker"][-1] for each in kept] == [*"010010"]
    page.reload()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".segment .speaker", has_text="SPEAKER_02")).to_have_count(2)


def expect_people(page: Page, shelf: Simulated, job_id: str, *labels: str) -> None:
    """The same ones in the list, the heading, the menus and on the server."""
    rows = page.locator(".speaker-row")
    expect(rows).to_have_count(len(labels))
    assert rows.evaluate_all("rows => rows.map((row) => row.dataset.label)") == list(labels)
    expect(page.locator(".speaker-count")).to_have_text(
        f"{len(labels)} speaker{'' if len(labels) == 1 else 's'}"
    )
    page.locator(".segment .speaker").first.click()
    items = page.get_by_role("menuitem").filter(has_text="SPEAKER_").locator("bdi")
    assert items.all_inner_texts() == list(labels)
    page.keyboard.press("Escape")
    assert sorted(transcript(shelf, job_id)["speakers"]) == sorted(labels)


def test_a_speaker_without_words_can_be_named_and_merged(shelf: Simulated, browse: Browse) -> None:
    a, b, c = "SPEAKER_00", "SPEAKER_01", "SPEAKER_02"
    said = spoken((a, "we ship on Thursday"), (b, "fine"), (a, "good"))
    turns = (Turn(0, 2, a), Turn(2, 2.5, b), Turn(2.5, 3, a), Turn(4, 7.5, c))
    job_id = keep(shelf.system.service.context, transcript_of(said, 8.0, turns=turns))
    page = browse(shelf.url).page()
    open_meeting(page, job_id)
    expect_people(page, shelf, job_id, a, b, c)
    expect(page.locator(".speaker-row .speaker-time").nth(2)).to_have_text("0:03 · no words")

    page.get_by_role("button", name="Actions for SPEAKER_01", exact=True).click()
    page.get_by_role("menuitem", name="Merge into SPEAKER_00").click()
    saved(page)
    expect_people(page, shelf, job_id, a, c)
    page.locator(".segment").first.click()
    page.keyboard.press("2")
    expect(page.locator(".save-state")).to_contain_text("There is no speaker 2")

    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".segment .speaker", has_text=b)).to_have_count(1)
    saved(page)
    page.locator(".segment").nth(1).click()
    page.keyboard.press("1")
    saved(page)
    expect_people(page, shelf, job_id, a, c)

    page.locator(".speaker-name", has_text=c).click()
    page.get_by_label(f"Name of {c}").fill("Cleo")
    page.keyboard.press("Enter")
    saved(page)
    assert transcript(shelf, job_id)["names"] == {c: "Cleo"}
    no_violations(page)
    page.get_by_role("button", name="Actions for Cleo", exact=True).click()
    page.get_by_role("menuitem", name="Merge into SPEAKER_00").click()
    saved(page)
    expect_people(page, shelf, job_id, a)


# -- what is told of it --------------------------------------------------------------------


def test_the_screenshot_of_the_readme(browse: Browse, shelf: Simulated, shoot: Shoot) -> None:
    page = browse(shelf.url).page()
    page.set_viewport_size({"width": 1080, "height": 675})
    open_meeting(page, keep(shelf.system.service.context, minutes()))
    word(page, "printing", 1).click()
    expect(page.locator(".w.spoken")).to_have_text("printing")
    expect(page.locator(".segment .speaker").nth(4)).to_contain_text("נועה")
    shoot(page, "transcript")  # docs/images/transcript.png


def test_uncertain_words_removed_passages_and_warnings_are_shown(
    page: Page, shelf: Simulated
) -> None:
    doubtful = meeting(
        coverage=0.964,
        removed=(Removed(20.0, 24.0, "loop", "thank you thank you"),),
        warnings=(TranscriptWarning("speakers_unavailable", "Speakers are unknown."),),
    )
    open_meeting(page, keep(shelf.system.service.context, doubtful))
    expect(page.get_by_text("Speakers are unknown.")).to_be_visible()
    expect(page.get_by_text("96.4 %")).to_be_visible()
    page.get_by_text("1 removed passage").click()
    expect(page.get_by_text("thank you thank you")).to_be_visible()
    expect(page.locator(".segment .w.doubtful")).to_have_count(0)
    page.get_by_label("Mark words below").fill("0.95")
    expect(page.locator(".segment .w.doubtful").first).to_be_visible()


def test_hebrew_and_arabic_run_from_right_to_left(page: Page) -> None:
    directions = page.locator(".segment .words").evaluate_all(
        "all => all.map((each) => getComputedStyle(each).direction)"
    )
    assert directions == ["ltr", "ltr", "ltr", "rtl", "rtl", "ltr"]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [WIDE, NARROW, SMALLEST])
def test_the_editor_is_accessible_in_both_themes_at_every_width(
    browse: Browse, shelf: Simulated, shoot: Shoot, dark: bool, width: int
) -> None:
    context = shelf.system.service.context
    names = {"SPEAKER_00": "Ann Marie", "SPEAKER_01": "Bob"}
    page = browse(shelf.url, dark, width).page()
    open_meeting(page, keep(context, long_meeting(2000, 900.0, 5, names=names)), "?t=31")
    word(page, "", 3).click()
    no_violations(page)
    shoot(page, f"transcript-{'dark' if dark else 'light'}-{width}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Keyboard shortcuts").click()
    no_violations(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Export").click()
    expect(page.get_by_role("menuitem")).to_have_count(len(EXPORTERS) + 2)
    no_violations(page)


def test_the_focus_moves_into_panels_and_menus_and_returns(
    browse: Browse, shelf: Simulated, job_id: str
) -> None:
    page = browse(shelf.url, width=NARROW).page()
    open_meeting(page, job_id)
    details = page.get_by_role("button", name="Details")
    details.click()
    expect(page.get_by_role("complementary", name="About this meeting")).to_be_focused()
    page.keyboard.press("Escape")
    expect(details).to_be_focused()
    page.get_by_role("button", name="More actions").click()
    expect(page.get_by_role("menuitem", name="Run again")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("menu")).to_have_count(0)
    expect(details).to_be_focused()


def test_marks_are_visible_with_forced_colours(page: Page) -> None:
    page.emulate_media(forced_colors="active")
    word(page, "report", 1).click()
    page.keyboard.press("Control+f")
    page.keyboard.type("Thursday")
    expect(page.locator(".w.found").first).to_be_visible()
    grounds = page.evaluate(
        """() => [".w.spoken", ".w.found", ".words"].map(
          (each) => getComputedStyle(document.querySelector(each)).backgroundColor)"""
    )
    assert len(set(grounds)) == len(grounds)


def test_single_keys_can_be_disabled(page: Page) -> None:
    word(page, "is", 1).click()
    page.keyboard.press("?")
    page.get_by_label("Enable single-key shortcuts").uncheck()
    page.keyboard.press("Escape")
    word(page, "solved", 1).click()
    page.keyboard.press("s")
    assert lines(page) == [text for _, text in LINES]
    page.keyboard.press("ArrowDown")
    expect(page.locator(".segment").nth(2)).to_be_focused()


# -- export --------------------------------------------------------------------------------


def test_the_export_menu_lists_every_format(page: Page) -> None:
    page.get_by_role("button", name="Export").click()
    labels = page.get_by_role("menuitem").locator(".menu-label")
    expect(labels).to_have_text(["Copy as text", "Print", *EXPORTERS])
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="srt").click()
    assert download.value.suggested_filename == "planning.srt"
    assert "Good morning" in Path(download.value.path()).read_text(encoding="utf-8")


def test_printing_shows_all_segments_and_nothing_else(page: Page) -> None:
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    expect(page.locator(".paper p")).to_have_count(len(LINES))
    expect(page.locator(".paper")).to_contain_text("SPEAKER_01 0:04")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_hidden()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(page.locator(".paper")).to_have_count(0)


# -- long meetings -------------------------------------------------------------------------


def test_a_long_meeting_renders_only_rows_in_sight(page: Page, shelf: Simulated) -> None:
    long = long_meeting(12_000, 7200.0, 6)
    open_meeting(page, keep(shelf.system.service.context, long), "?t=3600")
    expect(page.locator(".w.spoken")).to_be_visible()
    rows = page.locator(".segment")
    assert rows.count() < 80
    assert rows.first.get_attribute("aria-setsize") == str(len(long.segments))
    scroller = page.get_by_role("region", name="Transcript")
    for share in (0.1, 0.9, 0.4, 1.0):
        scroller.evaluate("(each, share) => { each.scrollTop = share * each.scrollHeight; }", share)
        expect(rows.last).to_be_attached()
        assert rows.count() < 80
    expect(page.locator(f".segment[aria-posinset='{len(long.segments)}']")).to_be_visible()


def test_an_edit_renders_only_the_edited_row(page: Page, shelf: Simulated) -> None:
    open_meeting(page, keep(shelf.system.service.context, long_meeting(4000, 2400.0, 4)), "?t=1200")
    before = page.get_by_role("region", name="Transcript").evaluate("each => each.scrollTop")
    assert before > 0
    page.evaluate("document.querySelectorAll('.segment').forEach((row) => { row.known = true; })")
    page.locator(".w.spoken").dblclick()
    page.keyboard.press("End")
    page.keyboard.type(" indeed")
    page.keyboard.press("Enter")
    expect(page.locator(".words", has_text="indeed")).to_be_visible()
    fresh = page.locator(".segment").evaluate_all("all => all.filter((row) => !row.known).length")
    assert fresh <= 2
    after = page.get_by_role("region", name="Transcript").evaluate("each => each.scrollTop")
    assert after == pytest.approx(before, abs=60)


# -- what is not done ----------------------------------------------------------------------


def test_a_meeting_in_progress_shows_words_and_then_the_transcript(
    browse: Browse, simulated: Callable[..., Simulated]
) -> None:
    service = simulated(SIMULATED_PART_SECONDS="0.7")
    job_id = service.system.submit(6)
    page = browse(service.url).page(f"/#/job/{job_id}")
    expect(page.get_by_role("progressbar", name="Progress")).to_be_visible()
    no_violations(page)
    expect(
        page.get_by_role("region", name="Words so far").get_by_role("listitem").first
    ).to_be_visible()
    expect(page.get_by_role("region", name="Transcript", exact=True)).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("standup.wav")


def test_a_cancelled_meeting_can_be_rerun(
    browse: Browse, simulated: Callable[..., Simulated]
) -> None:
    service = simulated(SIMULATED_PART_SECONDS="5")
    page = browse(service.url).page(f"/#/job/{service.system.submit(6)}")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("This transcription was cancelled.")).to_be_visible()
    no_violations(page)
    page.get_by_role("button", name="Run again").click()
    page.get_by_role("dialog").get_by_role("button", name="Run again").click()
    expect(page.get_by_role("progressbar", name="Progress")).to_be_visible()


def test_an_unknown_meeting_shows_not_found(browse: Browse, shelf: Simulated) -> None:
    watched = browse(shelf.url)
    watched.allow("404")
    page = watched.page("/#/job/nowhere")
    expect(page.get_by_role("heading", name="Meeting not found")).to_be_visible()
    no_violations(page)
