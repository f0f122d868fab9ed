"""Random sequences of edits: nothing is lost, and everything can be undone."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from meet_transcriber.core.edits import Edit, Edited, EditLog, edited, with_edits
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.formats import EXPORTERS, export
from meet_transcriber.core.formats.readers import read_json, read_stm
from meet_transcriber.core.transcript import Segment, Transcript, Turn, Word

LABELS = st.sampled_from(["SPEAKER_00", "SPEAKER_01", "SPEAKER_02", "SPEAKER_07", None])
TEXTS = st.sampled_from(
    ["ship it", "用 Jon 吧", "no", "a b c d e f g h", "<b> --> & *", "fine, Jon"]
)
PLACES = st.integers(0, 5)
EDITS = st.one_of(
    st.builds(Edit, st.just("text"), PLACES, TEXTS),
    st.builds(Edit, st.just("speaker"), PLACES, speaker=LABELS),
    st.builds(Edit, st.just("split"), PLACES, at=PLACES),
    st.builds(Edit, st.just("merge"), PLACES),
    st.builds(
        Edit, st.just("replace"), find=st.sampled_from(["jon", "ship", "we ship"]), text=TEXTS
    ),
    st.builds(Edit, st.just("reassign"), source=LABELS, speaker=LABELS),
    st.builds(Edit, st.just("name"), speaker=LABELS, text=st.sampled_from(["Ann", "Bob", ""])),
)
STEPS = st.lists(
    st.one_of(
        st.lists(EDITS, min_size=1, max_size=3),
        st.sampled_from([[Edit("undo")], [Edit("redo")]]),
    ),
    max_size=12,
)  # fmt: skip


def segment(text: str, start: float, speaker: str | None, step: float = 1.0) -> Segment:
    """Words of 1.5 seconds each, so that they run into each other as decoders have them."""
    words = tuple(
        Word(word, start + at * step, start + at * step + 1.5, 0.9, speaker)
        for at, word in enumerate(text.split())
    )
    return Segment(words, speaker, "en")


MEETING = Transcript(
    segments=(
        segment("we ship on tuesday says Jon", 0.0, "SPEAKER_00"),
        segment("fine by me", 2.0, "SPEAKER_01"),  # at the same time, as channels have it
        segment("会 议 Jon", 10.0, None, step=0.5),
    ),
    duration=20.0,
    speakers=("SPEAKER_00", "SPEAKER_01"),
    turns=(Turn(0.0, 6.5, "SPEAKER_00"), Turn(2.0, 5.5, "SPEAKER_01")),
)


def made(steps: Sequence[Sequence[Edit]], meeting: Transcript = MEETING) -> Edited:
    """What comes of those steps that fit; the others are refused and change nothing."""
    state = edited(meeting, EditLog())
    for step in steps:
        try:
            state = with_edits(state, step)
        except InvalidOptions:
            continue
    return state


@given(STEPS)
def test_undoing_everything_restores_the_recognized_words(steps: list[list[Edit]]) -> None:
    state = made(steps)
    log = state.log
    for _ in log.steps()[0]:
        state = with_edits(state, [Edit("undo")])
    assert state.transcript == MEETING
    for _ in log.steps()[0]:
        state = with_edits(state, [Edit("redo")])
    assert state.transcript == edited(MEETING, log).transcript
    assert state.log.edits[: len(log.edits)] == log.edits


@given(STEPS)
def test_words_stay_in_order_and_inside_the_recording(steps: list[list[Edit]]) -> None:
    transcript = made(steps).transcript
    for each in transcript.segments:
        starts = [word.start for word in each.words]
        assert starts == sorted(starts)
        assert all(0.0 <= word.start <= word.end <= MEETING.duration for word in each.words)
        assert {word.speaker for word in each.words} == {each.speaker}
    expect_agreement(transcript)


def expect_agreement(transcript: Transcript) -> None:
    """Whoever has words or turns is a speaker, and so is who stands in RTTM."""
    heard = {word.speaker for word in transcript.words if word.speaker}
    in_turns = {turn.speaker for turn in transcript.turns}
    assert sorted(transcript.speakers) == sorted(heard | in_turns)
    rttm = export(transcript, "rttm").decode().splitlines()
    names = {transcript.name_of(label) for label in transcript.speakers}
    assert {line.split()[7] for line in rttm} == names


SPEAKING = ["SPEAKER_00", "SPEAKER_01", "SPEAKER_02", "SPEAKER_03"]
TURNS = st.lists(
    st.builds(
        lambda start, speaker: Turn(start, start + 2.0, speaker),
        st.floats(0.0, 18.0),
        st.sampled_from(SPEAKING),
    ),
    max_size=6,
).map(lambda turns: tuple(sorted(turns, key=lambda turn: turn.start)))


def diarized(turns: tuple[Turn, ...]) -> Transcript:
    """The meeting with other turns: some have turns only, some have words only."""
    heard = ["SPEAKER_00", "SPEAKER_01"]
    speakers = dict.fromkeys([*heard, *(turn.speaker for turn in turns)])
    return replace(MEETING, turns=turns, speakers=tuple(speakers))


@given(TURNS, STEPS)
def test_speakers_are_those_of_words_and_turns(
    turns: tuple[Turn, ...], steps: list[list[Edit]]
) -> None:
    meeting = diarized(turns)
    expect_agreement(meeting)
    state = made(steps, meeting)
    expect_agreement(state.transcript)
    assert state == edited(meeting, state.log)
    assert state.text == state.transcript.text


@given(TURNS, STEPS, EDITS)
def test_a_speaker_without_words_stays_until_reassigned(
    turns: tuple[Turn, ...], steps: list[list[Edit]], last: Edit
) -> None:
    state = made(steps, diarized(turns))
    before = state.transcript
    silent = set(before.speakers) - {each.speaker for each in before.segments}
    try:
        after = with_edits(state, [last]).transcript
    except InvalidOptions:
        return
    given_away = {last.source} if last.kind == "reassign" else set()
    assert silent - given_away <= set(after.speakers)
    for label in silent - given_away - {last.speaker}:
        assert [turn for turn in after.turns if turn.speaker == label] == [
            turn for turn in before.turns if turn.speaker == label
        ]


@settings(max_examples=40)
@given(STEPS)
def test_every_format_contains_the_edits(steps: list[list[Edit]]) -> None:
    transcript = made(steps).transcript
    written = {form: export(transcript, form) for form in EXPORTERS}
    assert read_json(written["json"].decode()).segments == transcript.segments
    spoken = [each.text for each in read_stm(written["stm"].decode()).segments]
    assert sorted(spoken) == sorted(each.text for each in transcript.segments)
    people = ", ".join(transcript.name_of(label) or "" for label in transcript.speakers)
    assert (f"Speakers: {people}\n" in written["md"].decode()) == bool(transcript.speakers)
    expect_agreement(transcript)
