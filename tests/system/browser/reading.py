"""Meetings that are read in a browser, and what the tests of the transcript's view ask of it."""

from typing import Any

from playwright.sync_api import Locator, Page, expect

from meet_transcriber.core.transcript import Transcript
from tests.simulated.meetings import spoken, transcript_of

LINES = (
    ("SPEAKER_00", "Good morning everybody let us start with the release"),
    ("SPEAKER_01", "The printing problem is solved and the report is on paper"),
    ("SPEAKER_00", "Then we ship on Thursday and Ann writes the minutes"),
    ("SPEAKER_02", "שלום לכולם אני מסכים"),
    ("SPEAKER_01", "مرحبا بالجميع في الاجتماع"),
    ("SPEAKER_02", "Fine with me the release goes out on Thursday"),
)


def meeting(**more: Any) -> Transcript:
    """Half a minute of six segments, in three scripts."""
    return transcript_of(spoken(*LINES), 30.0, **more)


def open_meeting(page: Page, job_id: str, query: str = "") -> None:
    """Show a meeting, and wait for its words."""
    page.goto(f"/#/job/{job_id}{query}")
    expect(page.locator(".segment .w").first).to_be_visible()


def word(page: Page, text: str, segment: int = 0) -> Locator:
    """The first word of this text, in or behind a segment."""
    exact = page.locator(".segment").nth(segment).locator(".w")
    return exact.filter(has_text=text).first


def lines(page: Page) -> list[str]:
    """What stands in the segments."""
    texts: list[str] = page.locator(".segment .words").all_inner_texts()
    return texts


def saved(page: Page) -> None:
    """Wait until the server has taken what was changed."""
    expect(page.locator(".save-state")).to_have_text(" · saved")


def heard(page: Page) -> dict[str, Any]:
    """At one moment: what is played and which word is marked for it."""
    found: dict[str, Any] = page.evaluate(
        """() => {
          const span = document.querySelector(".w.spoken");
          return {
            time: document.querySelector("audio").currentTime,
            segment: Number(span?.closest(".segment").getAttribute("aria-posinset")) - 1,
            word: Number(span?.dataset.w),
          };
        }"""
    )
    return found
