"""No edit computes for long or makes a transcript grow without bound."""

import time
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meet_transcriber.core.edits import (
    LONGEST_SEGMENT,
    LONGEST_TEXT,
    MOST_ADDED,
    Edit,
    Edited,
    EditLog,
    edited,
    with_edits,
)
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.formats import EXPORTERS, export
from meet_transcriber.core.languages import fold
from meet_transcriber.core.transcript import Segment, Transcript, Word

CPU_SECONDS = 0.5
"""For 10,000 characters, of one edit or one export."""

HOSTILE = {
    "kana": "あい" * 5000,
    "shifted kana": "いあう" * 3333,
    "Thai vowels without width": "\u0e38" * 10_000,
    "words": "a " * 5000,
    "one word": "a" * 10_000,
    "two words in turn": "a b " * 2500,
    "marks": "a" + "\u0301" * 9999,
    "joiners": "\u200d" * 10_000,
    "zero width": "\u200b" * 10_000,
    "right to left": "\u202e" * 10_000,
    "punctuation": "." * 10_000,
    "sentences": "a. " * 3333,
    "Chinese": "你好" * 5000,
    "emoji": "👨‍👩‍👧" * 1500,
    "Khmer stacks": "ក្" * 5000,
    "half spaced": ("你" + " ") * 5000,
    "surrogates": "\ud800" * 10_000,
    "markup": "<&>" * 3333,
    "arrows": "--> " * 2500,
    "underscores": "*_`[" * 2500,
    "marks to sort": "a" + "\u0301\u0327" * 4999,
    "half-width marks": "\uff9e" * 10_000,
    "lines": "a\n" * 5000,
    "spaces": "a" + " \u3000\u00a0" * 3332 + "b",
    "addresses": "http://a.b " * 900,
    "almost the same": "a " * 2500 + "b" + " a" * 2499,
}

ALPHABET = [
    "a", "A", "1", ".", "。", "-", "'", "<", "&", "|", "*", " ", "\n", "\u2028", "\x85", "é",
    "\u0301", "\u0327", "\u0591", "あ", "い", "你", "가", "ก", "\u0e38", "\u200b", "\u200d", "👨",
    "🏽", "\u202e", "א", "ß", "İ", "\ud800", "\uff9e", "-->", "NOTE ", "http://",
]  # fmt: skip


@st.composite
def hostile_texts(draw: st.DrawFn, size: int = 10_000) -> str:
    """A short text again and again, perhaps with another in the middle."""
    parts = st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=5).map("".join)
    unit, other = draw(parts), draw(parts)
    half = unit * (size // 2 // len(unit))
    return f"a{half}{other}{half}"[:size]


def meeting(*texts: str, seconds: float = 5.0) -> Edited:
    """A transcript of segments with one word each."""
    segments = [
        Segment((Word(text, at * seconds, (at + 1) * seconds, 0.9, "SPEAKER_00"),), "SPEAKER_00")
        for at, text in enumerate(texts)
    ]
    machine = Transcript(
        tuple(segments), "en", len(texts) * seconds, ("SPEAKER_00",), {"SPEAKER_00": "Ann"}
    )
    return edited(machine, EditLog())


def cpu(call: object, *args: object) -> tuple[float, object]:
    began = time.process_time()
    result = call(*args)  # type: ignore[operator]
    return time.process_time() - began, result


def text_of(state: Edited, segment: int = 0) -> str:
    return state.transcript.segments[segment].text


@pytest.mark.parametrize("after", HOSTILE)
@pytest.mark.parametrize("before", ["kana", "words", "two words in turn", "Chinese"])
def test_any_text_replaces_any_other_in_bounded_time(before: str, after: str) -> None:
    state = with_edits(meeting("hello"), [Edit("text", 0, HOSTILE[before])])
    seconds, changed = cpu(with_edits, state, [Edit("text", 0, HOSTILE[after])])
    assert isinstance(changed, Edited)
    assert text_of(changed) == " ".join(HOSTILE[after].split())
    assert seconds < CPU_SECONDS


@pytest.mark.parametrize("form", EXPORTERS)
@pytest.mark.parametrize("name", HOSTILE)
def test_any_text_is_exported_in_bounded_time(name: str, form: str) -> None:
    state = with_edits(meeting("hello"), [Edit("text", 0, HOSTILE[name])])
    seconds, _ = cpu(export, state.transcript, form)
    assert seconds < CPU_SECONDS


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_subtitles_take_time_in_proportion_to_their_length(form: str) -> None:
    def seconds(size: int) -> float:
        state = with_edits(meeting("hello"), [Edit("text", 0, "\u0e38 " * size)])
        return min(cpu(export, state.transcript, form)[0] for _ in range(3))

    assert seconds(4000) < 10 * seconds(1000)  # it was cubic, 64-fold


@pytest.mark.parametrize("find", ["a", "a a", "a " * 90, "b", "A"])
@pytest.mark.parametrize("text", HOSTILE)
def test_any_replacement_is_made_or_refused_in_bounded_time(find: str, text: str) -> None:
    state = with_edits(meeting("hello", "b"), [Edit("text", 0, "a " * 4000)])
    edit = Edit("replace", text=HOSTILE[text], find=find.strip())

    def replaced() -> None:
        with suppress(InvalidOptions):
            with_edits(state, [edit])

    assert cpu(replaced)[0] < CPU_SECONDS


@pytest.mark.parametrize(
    ("find", "text"),
    [("あい" * 100, "いあう" * 66), ("あい" * 25, "いあう" * 16), ("あい", "い"), ("い" * 3, "あ")],
)
def test_replacements_at_many_places_take_bounded_time(find: str, text: str) -> None:
    state = with_edits(meeting("hello"), [Edit("text", 0, "あい" * 4900 + "いいいあ" * 50)])
    seconds, changed = cpu(with_edits, state, [Edit("replace", text=text, find=find)])
    assert isinstance(changed, Edited)
    assert seconds < CPU_SECONDS


@settings(max_examples=30, deadline=None, derandomize=True)
@given(hostile_texts(), hostile_texts(), st.sampled_from([*EXPORTERS]), st.integers(1, 200))
def test_no_text_makes_an_edit_an_undo_an_export_or_a_search_slow(
    one: str, two: str, form: str, size: int
) -> None:
    state = with_edits(meeting("hello", "b"), [Edit("text", 0, one)])
    steps: list[Callable[[], object]] = [
        lambda: with_edits(state, [Edit("text", 0, two)]),
        lambda: with_edits(state, [Edit("replace", text=two[:size], find=one[:size].strip())]),
        lambda: with_edits(state, [Edit("split", 0, at=1), Edit("merge", 0), Edit("merge", 0)]),
        lambda: with_edits(state, [Edit("undo")]),
        lambda: with_edits(with_edits(state, [Edit("undo")]), [Edit("redo")]),
        lambda: edited(state.machine(), state.log),
        lambda: export(state.transcript, form),
        lambda: fold(state.text),
    ]
    for step in steps:
        with suppress(InvalidOptions):
            assert cpu(step)[0] < CPU_SECONDS


def test_the_names_of_speakers_have_so_many_characters_and_no_more() -> None:
    labels = [f"SPEAKER_{number:02d}" for number in range(51)]
    state = meeting(*["hello"] * 51)
    state = with_edits(state, [Edit("speaker", at, speaker=at_) for at, at_ in enumerate(labels)])
    named = [Edit("name", speaker=label, text="n" * 200) for label in labels]
    assert len(with_edits(state, named[:50]).transcript.names) == 50
    with pytest.raises(InvalidOptions, match="10200 characters; the most is 10000"):
        with_edits(state, named)


def test_replacements_cannot_multiply_words_without_bound() -> None:
    state = with_edits(meeting("hello"), [Edit("text", 0, "a " * 5000)])
    with pytest.raises(InvalidOptions, match="segment would have 205000 characters"):
        with_edits(state, [Edit("replace", text="a " * 20 + "a", find="a")])


def test_a_transcript_grows_by_so_many_characters_and_no_more() -> None:
    state = meeting(*["hello"] * 100)
    grown = [Edit("text", at, "word " * 1900) for at in range(100)]
    with pytest.raises(InvalidOptions, match=f"characters longer; the most is {MOST_ADDED}"):
        with_edits(state, grown)
    fits = with_edits(state, grown[:20])
    assert 0 < fits.added <= MOST_ADDED
    shorter = with_edits(fits, [Edit("text", at, "hello") for at in range(20)])
    assert shorter.added == 0
    assert with_edits(fits, [Edit("undo")]).added == 0


def test_a_replacement_that_grows_many_segments_is_refused_before_it_is_made() -> None:
    state = meeting(*["a"] * 10_000)
    began = time.process_time()
    with pytest.raises(InvalidOptions, match="characters longer"):
        with_edits(state, [Edit("replace", text="b" * 9000, find="a")])
    assert time.process_time() - began < CPU_SECONDS


def test_segments_merge_up_to_a_length() -> None:
    long = "word " * (LONGEST_TEXT // 5)
    state = with_edits(meeting("a", "b", "c"), [Edit("text", at, long) for at in range(3)])
    merged = with_edits(state, [Edit("merge", 0)])
    with pytest.raises(InvalidOptions, match=f"the most is {LONGEST_SEGMENT}"):
        with_edits(merged, [Edit("merge", 0)])


def test_many_words_keep_their_times_around_a_change() -> None:
    words = [f"w{at}" for at in range(1000)]
    state = with_edits(meeting("hello", seconds=1000.0), [Edit("text", 0, " ".join(words))])
    machine = Transcript(state.transcript.segments, "en", 1000.0, ("SPEAKER_00",))
    changed = [*words[:10], "new", *words[10:500], *words[510:900], "other", *words[901:]]
    after = with_edits(edited(machine, EditLog()), [Edit("text", 0, " ".join(changed))])
    times = {word.text: (word.start, word.end) for word in machine.segments[0].words}
    found = after.transcript.segments[0].words
    assert [word.text for word in found] == changed
    for word in found:
        if word.text in times:
            assert (word.start, word.end) == times[word.text]


@given(
    st.lists(st.sampled_from("abcde"), min_size=201, max_size=300),
    st.lists(st.sampled_from("abcde"), min_size=201, max_size=300),
)
def test_long_texts_are_matched_in_order(old: list[str], new: list[str]) -> None:
    before = with_edits(meeting("hello"), [Edit("text", 0, " ".join(old))])
    after = with_edits(before, [Edit("text", 0, " ".join(new))])
    words = after.transcript.segments[0].words
    assert [word.text for word in words] == new
    assert all(one.start <= other.start + 1e-9 for one, other in pairwise(words))
