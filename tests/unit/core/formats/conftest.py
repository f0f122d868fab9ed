"""Meetings to export: one that people would hold, and any that Hypothesis thinks of."""

import pytest
from hypothesis import strategies as st

from meet_transcriber.core.transcript import (
    Removed,
    Segment,
    Transcript,
    TranscriptWarning,
    Turn,
    Word,
)

NASTY = ["-->", "---->", "<b>", "a&b", "&amp;", "=1+1", "+4", "@x", "\t=2", "\x00", "a\nb", "\x85"]
NASTY += [
    "{a/b}",
    ";;",
    "<o,f0,m>",
    "```",
    "[x](y)",
    "#",
    "1.",
    "a" * 99,
    "'",
    '"',
    "\ufffe",
    "\x0b",
]
NASTY += [
    "ミーティングを始めます。では、最初の議題はリリースの日程と検索ページの問題についてです。ご意見は？"
]
NASTY += ["👩‍👩‍👧", "é̂", "שלום", "안녕하세요", "\ud800", "\u2028", "]]>", "</v>", "WEBVTT", "NOTE"]
LABELS = ["SPEAKER_00", "SPEAKER_01", "SPEAKER_02"]


def spoken(speaker: str | None, start: float, text: str, seconds: float = 0.4) -> Segment:
    """A segment of words that follow each other evenly."""
    words = tuple(
        Word(word, start + at * seconds, start + (at + 1) * seconds, 0.9, speaker)
        for at, word in enumerate(text.split())
    )
    return Segment(words, speaker, "en")


@pytest.fixture(scope="session")
def meeting() -> Transcript:
    """Two named people, one unnamed, one unknown; overlap, markup and Japanese."""
    segments = (
        spoken("SPEAKER_00", 1.0006, "Shall we start with the release?"),
        spoken(
            "SPEAKER_01", 4.25, "Yes, two things are left: <printing> & -- the pictures --> both."
        ),
        spoken("SPEAKER_02", 6.0, "=Right."),
        spoken(None, 9.5, "Hello, is anybody there?"),
        spoken("SPEAKER_00", 12.0, "リリースは木曜日です。検索ページの問題は来週に直します。", 6.0),
    )
    return Transcript(
        segments=segments,
        language="en",
        duration=20.0,
        speakers=tuple(LABELS),
        names={"SPEAKER_00": "Ann <Lee>", "SPEAKER_02": "Bo & Co"},
        turns=(
            Turn(1.0, 3.5, "SPEAKER_00"),
            Turn(4.2, 8.7, "SPEAKER_01"),
            Turn(6, 6.5, "SPEAKER_02"),
        ),
        engine="base",
        diarizer="onnx",
        warnings=(TranscriptWarning("ghost_speaker", "One speaker has very few words."),),
        coverage=0.96,
        removed=(Removed(18.0, 19.0, "loop", "the the the"),),
    )


@st.composite
def _transcripts(draw: st.DrawFn) -> Transcript:
    text = st.one_of(st.sampled_from(NASTY), st.text(min_size=1, max_size=12))
    clock = 0.0
    segments = []
    for _ in range(draw(st.integers(0, 5))):
        speaker = draw(st.sampled_from([*LABELS, None]))
        words = []
        for _ in range(draw(st.integers(1, 12))):
            start = clock + draw(st.sampled_from([0.0, 0.0004, 0.2, 1.5]))
            clock = start + draw(st.sampled_from([0.0, 0.05, 0.3, 9.0]))
            words.append(Word(draw(text), start, clock, None, speaker))
        segments.append(Segment(tuple(words), speaker))
        clock = max(0.0, clock - draw(st.sampled_from([0.0, 0.0, 2.0])))
    segments.sort(key=lambda segment: segment.start)
    heard = dict.fromkeys(segment.speaker for segment in segments if segment.speaker)
    names = draw(st.dictionaries(st.sampled_from(LABELS), text, max_size=3))
    end = max((segment.end for segment in segments), default=0.0)
    return Transcript(tuple(segments), duration=end, speakers=tuple(heard), names=names)


@pytest.fixture(scope="session")
def transcripts() -> st.SearchStrategy[Transcript]:
    """Transcripts with text that breaks formats."""
    return _transcripts()
