"""Parts and a diarization become one transcript whose speakers agree with each other."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.core.assembly import CHANNELS, assemble
from meet_transcriber.core.formats import export
from meet_transcriber.core.media import PreparedAudio
from meet_transcriber.core.options import Options
from meet_transcriber.core.plan import PartResult, Plan
from meet_transcriber.core.transcript import (
    Diarization,
    Segment,
    Span,
    Transcript,
    TranscriptWarning,
    Turn,
    Word,
)

A, B, C = "SPEAKER_00", "SPEAKER_01", "SPEAKER_02"
SECONDS = 60.0


def spoken(text: str, start: float, step: float = 0.4) -> tuple[Word, ...]:
    return tuple(
        Word(word, start + at * step, start + at * step + step * 0.9)
        for at, word in enumerate(text.split())
    )


def assembled(
    channels: Sequence[Sequence[Word]],
    speech: Sequence[Sequence[Span]],
    diarization: Diarization | None = None,
) -> Transcript:
    """One part for each channel that has words."""
    audio = PreparedAudio(SECONDS, len(channels), (0.0,) * len(channels))
    parts = [
        PartResult(at, at, "engine", (Segment(tuple(words)),))
        for at, words in enumerate(channels)
        if words
    ]
    plan = Plan(audio, tuple(tuple(spans) for spans in speech), ())
    return assemble(plan, parts, diarization or Diarization(), Options())


def texts(transcript: Transcript, speaker: str) -> str:
    return " ".join(word.text for word in transcript.words if word.speaker == speaker)


# -- channels ----------------------------------------------------------------------------------


def test_a_channel_is_one_speaker_while_the_other_talks_on() -> None:
    caller, agent = spoken("ask not what it can do", 0.2), spoken("hello. I did not know. yes", 0.6)
    done = assembled([caller, agent], [[Span(0.2, 2.6)], [Span(0.6, 23.0)]])
    assert texts(done, A) == "ask not what it can do"
    assert texts(done, B) == "hello. I did not know. yes"
    assert done.speakers == (A, B)
    assert {turn.speaker for turn in done.turns} == {A, B}


def test_a_word_outside_all_turns_of_its_channel_stays_with_the_channel() -> None:
    done = assembled([spoken("one two", 1), spoken("three", 30)], [[Span(1, 2)], [Span(40, 41)]])
    assert texts(done, B) == "three"


def test_what_a_diarizer_says_of_channels_is_passed_over_but_for_its_warnings() -> None:
    note = TranscriptWarning("diarization_failed", "It broke.")
    said = Diarization((Turn(0, 60, C),), warnings=(note,), diarizer="other")
    speech = [[Span(1, 2)], [Span(3, 4)]]
    done = assembled([spoken("one", 1), spoken("two", 3)], speech, said)
    assert (done.speakers, done.diarizer, done.warnings) == ((A, B), CHANNELS, (note,))


def test_words_of_channels_are_marked_where_the_other_channel_speaks() -> None:
    done = assembled([spoken("a b c d", 0), spoken("x", 0.9)], [[Span(0, 1.6)], [Span(0.85, 1.3)]])
    assert [(word.text, word.overlap) for word in done.words] == [
        ("a", False), ("b", False), ("c", True), ("d", False), ("x", True),
    ]  # fmt: skip


# -- agreement ---------------------------------------------------------------------------------


def test_a_speaker_of_turns_without_words_is_a_speaker() -> None:
    turns = (Turn(0, 5, A), Turn(8, 9, B))
    done = assembled([spoken("we begin now.", 1)], [[Span(0, 9)]], Diarization(turns))
    assert done.speakers == (A, B)
    assert {word.speaker for word in done.words} == {A}


def test_one_voice_is_one_speaker_everywhere() -> None:
    turns = tuple(Turn(at, at + 3.5, A) for at in range(0, 20, 5))
    done = assembled([spoken("so we go on " * 12, 0.2)], [[Span(0, 20)]], Diarization(turns))
    assert done.speakers == (A,)
    assert {segment.speaker for segment in done.segments} <= {A, None}


TIMES = st.floats(0, SECONDS - 5, allow_nan=False).map(lambda time: round(time, 2))
LENGTHS = st.floats(0, 4, allow_nan=False).map(lambda time: round(time, 2))
WORDS = st.lists(
    st.tuples(
        st.sampled_from(["yes", "so,", "right.", "we"]), TIMES, LENGTHS, st.booleans()
    ),
    max_size=25,
).map(
    lambda rows: sorted(
        (Word(text, at, at + length, estimated=guess) for text, at, length, guess in rows),
        key=lambda word: word.start,
    )
)  # fmt: skip
TURNS = st.lists(st.tuples(TIMES, LENGTHS, st.sampled_from([A, B, C])), max_size=12).map(
    lambda rows: tuple(Turn(at, at + length, speaker) for at, length, speaker in rows)
)
SPANS = st.lists(st.tuples(TIMES, LENGTHS), min_size=1, max_size=6).map(
    lambda rows: [Span(at, at + length) for at, length in sorted(rows)]
)


def expect_agreement(done: Transcript) -> None:
    """Speakers are those of turns and words; formats know no others."""
    heard = {word.speaker for word in done.words if word.speaker}
    known = heard | {turn.speaker for turn in done.turns}
    assert sorted(done.speakers) == sorted(known)
    for segment in done.segments:
        assert {word.speaker for word in segment.words} == {segment.speaker}
    rttm = export(done, "rttm").decode().splitlines()
    assert {line.split()[7] for line in rttm} <= set(done.speakers)


@given(WORDS, TURNS, TURNS)
def test_speakers_are_the_diarizers_and_every_word_is_kept(
    words: list[Word], turns: tuple[Turn, ...], exclusive: tuple[Turn, ...]
) -> None:
    done = assembled([words], [[Span(0, SECONDS)]], Diarization(turns, exclusive))
    kept = [word.text for word in done.words]
    loops = [word for cut in done.removed for word in cut.text.split()]
    assert sorted(kept + loops) == sorted(word.text for word in words)
    assert {word.speaker for word in done.words} <= {
        None, *(turn.speaker for turn in (*turns, *exclusive))
    }  # fmt: skip
    expect_agreement(done)


@given(st.lists(st.tuples(WORDS, SPANS), min_size=2, max_size=4), TURNS)
def test_channels_are_never_mixed(
    channels: list[tuple[list[Word], list[Span]]], turns: tuple[Turn, ...]
) -> None:
    own = [
        [Word(f"{number}{word.text}", word.start, word.end) for word in words]
        for number, (words, _) in enumerate(channels)
    ]
    done = assembled(own, [spans for _, spans in channels], Diarization(turns))
    pairs = {(word.text[0], word.speaker) for word in done.words}
    assert len(pairs) == len({channel for channel, _ in pairs}) == len({who for _, who in pairs})
    assert None not in {speaker for _, speaker in pairs}
    assert len(done.speakers) == len(channels)
    expect_agreement(done)
