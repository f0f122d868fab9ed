"""The tasks of one recording, with simulated engines and real files."""

import random
from pathlib import Path

import pytest

from meet_transcriber.core.errors import DiarizationFailed, JobCancelled
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Span, Transcript, TranscriptWarning
from meet_transcriber.pipeline import Chosen, FolderCheckpoints, Pipeline, StageProgress, run
from meet_transcriber.ports.engines import AudioSource, Progress
from meet_transcriber.stores.disk import DiskMediaStore
from tests.unit.core.timeline_meetings import PEOPLE, meeting, noted
from tests.unit.fakes import FakeDecoder, FakeDiarizer, FakeRecognizer, FakeVad


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    path = tmp_path / "tape.bin"
    path.write_bytes(b"tape")
    return path


def pipeline(folder: Path, channels: int = 1) -> Pipeline:
    store = DiskMediaStore(folder)
    return Pipeline(
        store, FolderCheckpoints(store, "job"), Options(), FakeDecoder(channels), FakeVad()
    )


def test_every_word_gets_its_speaker_and_its_place_in_the_recording(tape: Path) -> None:
    done = run(pipeline(tape.parent), tape, Chosen(FakeRecognizer()), Chosen(FakeDiarizer()))
    assert [word.start for word in done.words] == [float(at) for at in range(0, 590, 10)]
    assert done.speakers == ("SPEAKER_00", "SPEAKER_01")
    assert [word.speaker for word in done.words[:2]] == ["SPEAKER_00", "SPEAKER_01"]


def test_a_finished_part_is_never_recognized_again(tape: Path) -> None:
    recognizer = FakeRecognizer()
    first = run(pipeline(tape.parent), tape, Chosen(recognizer), Chosen(FakeDiarizer()))
    asked = recognizer.parts
    assert run(pipeline(tape.parent), tape, Chosen(recognizer), Chosen(FakeDiarizer())) == first
    assert recognizer.parts == asked > 1


def test_parts_in_any_order_give_the_same_transcript(tape: Path) -> None:
    job = pipeline(tape.parent)
    with tape.open("rb") as file:
        plan = job.prepare(file)
    diarization = job.diarize(plan, Chosen(FakeDiarizer()))
    backwards = [
        job.recognize(plan, part.index, Chosen(FakeRecognizer())) for part in reversed(plan.parts)
    ]
    one = job.attribute(plan, backwards, diarization)
    assert one == job.attribute(plan, backwards[::-1], diarization)


def test_a_failed_diarization_keeps_the_words(tape: Path) -> None:
    done = run(
        pipeline(tape.parent),
        tape,
        Chosen(FakeRecognizer()),
        Chosen(FakeDiarizer(DiarizationFailed("no GPU."))),
    )
    assert len(done.words) == 59
    assert {word.speaker for word in done.words} == {None}
    assert "diarization_failed" in {warning.code for warning in done.warnings}


def test_each_of_two_channels_is_one_speaker(tape: Path) -> None:
    done = run(pipeline(tape.parent, channels=2), tape, Chosen(FakeRecognizer()), None)
    assert done.speakers == ("SPEAKER_00", "SPEAKER_01")
    assert done.diarizer == "channels"
    assert len(done.words) == 118
    assert all(word.overlap for word in done.words)


class ByTurns:
    """A SpeechDetector that hears somebody else on each channel, hardly ever both."""

    turns = meeting(random.Random(1), 590.0, 2)

    def detect(self, audio: AudioSource, channel: int, progress: Progress) -> tuple[Span, ...]:
        label = f"SPEAKER_{channel:02d}"
        return tuple(Span(each.start, each.end) for each in self.turns if each.speaker == label)


def test_channels_get_the_names_of_a_timeline_and_keep_their_words(tape: Path) -> None:
    done: list[Transcript] = []
    for timeline in (None, noted(ByTurns.turns, -300.0)):
        store = DiskMediaStore(tape.parent / f"objects{len(done)}")
        two = Pipeline(store, FolderCheckpoints(store, "job"), Options(), FakeDecoder(2), ByTurns())
        done.append(run(two, tape, Chosen(FakeRecognizer()), None, timeline=timeline))
    without, named = done
    assert sorted(named.names.values()) == sorted(PEOPLE[:2])
    assert named.names["SPEAKER_00"] == PEOPLE[int(ByTurns.turns[0].speaker[-1])]
    assert (named.words, named.turns) == (without.words, without.turns)


def test_progress_only_rises_and_reaches_the_end(tape: Path) -> None:
    heard: list[float] = []
    tell = StageProgress(lambda _stage, share: heard.append(share))
    run(pipeline(tape.parent), tape, Chosen(FakeRecognizer()), Chosen(FakeDiarizer()), tell)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0


def test_a_cancelled_run_keeps_the_parts_that_were_done(tape: Path) -> None:
    def cancel(stage: str, share: float) -> None:
        if share > 0.6:
            raise JobCancelled("Cancelled.")

    recognizer = FakeRecognizer()
    with pytest.raises(JobCancelled):
        run(
            pipeline(tape.parent),
            tape,
            Chosen(recognizer),
            Chosen(FakeDiarizer()),
            StageProgress(cancel),
        )
    before = recognizer.parts
    done = run(pipeline(tape.parent), tape, Chosen(recognizer), Chosen(FakeDiarizer()))
    assert len(done.words) == 59
    assert recognizer.parts < 2 * before + 2


def test_what_fell_back_before_is_told_once(tape: Path) -> None:
    note = TranscriptWarning("speakers_unavailable", "No models.")
    done = run(
        pipeline(tape.parent),
        tape,
        Chosen(FakeRecognizer(), (note,)),
        Chosen(FakeDiarizer(), (note,)),
    )
    assert done.warnings.count(note) == 1


def test_what_was_removed_is_listed_in_time_order(tape: Path) -> None:
    done = run(pipeline(tape.parent), tape, Chosen(FakeRecognizer()), Chosen(FakeDiarizer()))
    starts = [cut.start for cut in done.removed]
    assert starts == sorted(starts)
    assert len(starts) > 1
