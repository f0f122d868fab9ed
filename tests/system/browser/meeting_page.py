"""Meetings and helpers for tests of the transcript view."""

from dataclasses import replace
from typing import Any

from playwright.sync_api import Locator, Page, expect

from meet_transcriber.core.transcript import Transcript, Word
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


MINUTES = (
    ("SPEAKER_00", "Good morning everybody, let us start with the release."),
    (
        "SPEAKER_01",
        "I looked at the printing problem yesterday. It happens with one kind of paper only,",
    ),
    ("SPEAKER_01", "and only in the old version, so I would not wait for that."),
    ("SPEAKER_02", "Good to know! Then I take care of the pictures, and the printing can wait."),
    ("SPEAKER_03", "תודה, אני מסכים."),
    ("SPEAKER_00", "Then we ship on Thursday, and Ben writes the minutes."),
    ("SPEAKER_02", "Who tells the customers?"),
    ("SPEAKER_01", "I do, as soon as the numbers are out."),
    ("SPEAKER_00", "Good. That was quick, see you next week."),
)


def minutes() -> Transcript:
    """A meeting with four named people, uncertain words and overlapping speech."""
    segments = [
        replace(each, words=tuple(map(_marked, each.words)))
        for each in spoken(*MINUTES, word_seconds=0.4)
    ]
    names = {"SPEAKER_00": "Ann Marie", "SPEAKER_01": "Ben", "SPEAKER_02": "Clara"}
    return transcript_of(segments, 34.0, names=names | {"SPEAKER_03": "נועה"}, coverage=0.984)


def _marked(word: Word) -> Word:
    doubt = word.text in {"customers?", "pictures,"}
    return replace(
        word, probability=0.3 if doubt else 0.9, overlap=word.text in {"Good", "to", "know!"}
    )


def open_meeting(page: Page, job_id: str, query: str = "") -> None:
    """Open a meeting and wait for its words."""
    page.goto(f"/#/job/{job_id}{query}")
    expect(page.locator(".segment .w").first).to_be_visible()


def word(page: Page, text: str, segment: int = 0) -> Locator:
    """The first word of this text, in or behind a segment."""
    exact = page.locator(".segment").nth(segment).locator(".w")
    return exact.filter(has_text=text).first


def lines(page: Page) -> list[str]:
    """The texts of the segments."""
    texts: list[str] = page.locator(".segment .words").all_inner_texts()
    return texts


def expect_lines(page: Page, first: int, *texts: str) -> None:
    """Wait until these are the texts of segments, from one on."""
    for at, text in enumerate(texts, first):
        expect(page.locator(".segment .words").nth(at)).to_have_text(text)


def saved(page: Page) -> None:
    """Wait until the server has saved every edit."""
    expect(page.locator(".save-state")).to_have_text(" · saved")


def heard(page: Page) -> dict[str, Any]:
    """The playback position and the marked word at one moment."""
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
