"""Meetings joined from recordings of one person each."""

import random
from importlib.resources import as_file, files
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.meetings.conversation import LEAST_SECONDS, Placed, converse, reference
from benchmarks.meetings.readers import Recipe, write
from benchmarks.meetings.recorded import Piece, Reader, backchannel_of, people_in, reader_of
from benchmarks.meetings.rooms import ROOMS, Seat, impulse_response, render
from meet_transcriber.core.formats.readers import read_transcript
from meet_transcriber.core.transcript import Span, Turn, total_seconds
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Waveform

SECONDS = 30
DRY = Seat(np.ones(1, dtype=np.float32), 0.0)
SILENT = -200.0


def _reader(name: str) -> Reader:
    """Noise of 2 s and silence of 0.5 s in turn; cut in the middle and around the silence."""
    samples = np.random.default_rng(len(name)).standard_normal(SECONDS * SAMPLE_RATE_HZ) * 0.05
    starts = np.arange(0, SECONDS, 2.5)
    for start in starts:
        samples[int((start + 2) * SAMPLE_RATE_HZ) : int((start + 2.5) * SAMPLE_RATE_HZ)] = 0
    speech = tuple(Span(float(start), float(start) + 2) for start in starts)
    cuts = sorted(float(start) + more for start in starts for more in (0.0, 1.0, 2.1))
    return Reader(name, samples.astype(np.float32), speech, tuple(cuts))


READERS = [_reader("a" * length) for length in range(1, 7)]


def _meeting(seed: int, minutes: float = 5.0, voices: int = 4) -> list[Placed]:
    return converse(READERS[:voices], minutes, random.Random(seed))


def _said(turns: tuple[Turn, ...], speaker: str) -> list[Span]:
    return [Span(turn.start, turn.end) for turn in turns if turn.speaker == speaker]


@pytest.fixture(scope="module")
def sample() -> Waveform:
    """The first 20 s of the bundled sample."""
    with as_file(files("meet_transcriber.samples") / "standup.ogg") as path:
        samples, rate = soundfile.read(path, dtype="float32")
    assert rate == SAMPLE_RATE_HZ
    return np.asarray(samples[: 20 * rate], dtype=np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_all_readers_speak_and_never_overlap_themselves(seed: int) -> None:
    turns = reference(_meeting(seed, voices=6))
    for reader in READERS:
        said = _said(turns, reader.name)
        assert total_seconds(said) >= LEAST_SECONDS - 1
        assert all(one.end <= other.start + 0.002 for one, other in pairwise(said))


@pytest.mark.parametrize("seed", range(5))
def test_a_meeting_has_overlap_and_about_the_requested_length(seed: int) -> None:
    meeting = _meeting(seed)
    assert 240 < max(placed.end for placed in meeting) < 420
    pairs = list(pairwise(meeting))
    assert any(other.start < one.end for one, other in pairs)
    assert any(placed.piece.duration <= 1 for placed in meeting)
    assert all(placed.piece.duration <= 20 for placed in meeting)


def test_a_meeting_depends_on_the_seed_only() -> None:
    assert _meeting(3) == _meeting(3)
    assert reference(_meeting(3)) != reference(_meeting(4))


def test_the_reference_is_where_the_sound_is() -> None:
    meeting = _meeting(1, minutes=2)
    seats = {reader.name: DRY for reader in READERS}
    sound = np.concatenate(list(render(meeting, seats, SILENT, np.random.default_rng(0))))
    inside = np.zeros(len(sound), dtype=bool)
    for turn in reference(meeting):
        inside[round(turn.start * SAMPLE_RATE_HZ) : round(turn.end * SAMPLE_RATE_HZ)] = True
    # references are written to the millisecond
    outside = float(np.sum(np.square(sound[~inside])))
    assert outside < 3e-4 * float(np.sum(np.square(sound)))
    assert float(np.sqrt(np.mean(np.square(sound[inside])))) > 0.03


def test_a_piece_has_its_speech_spans() -> None:
    assert Piece(READERS[0], 1.0, 4.0).speech == (Span(0.0, 1.0), Span(1.5, 3.0))


@pytest.mark.parametrize("seed", range(20))
def test_a_backchannel_lasts_up_to_a_second(seed: int) -> None:
    assert 0.29 <= backchannel_of(READERS[0], random.Random(seed)).duration <= 1.01


def test_a_room_keeps_the_energy_and_sounds_at_once() -> None:
    echo = impulse_response(ROOMS["large"], 0.0, np.random.default_rng(0))
    assert np.sum(np.square(echo)) == pytest.approx(1.0, abs=1e-4)
    assert np.argmax(np.abs(echo)) == 0


def test_speech_is_found_where_sound_begins_and_ends(sample: Waveform) -> None:
    quiet = np.zeros(SAMPLE_RATE_HZ, dtype=np.float32)
    reader = reader_of("somebody", np.concatenate([quiet, sample, quiet]))
    assert reader.speech[0].start >= 1.0
    assert reader.speech[-1].end <= 21.0
    assert total_seconds(reader.speech) > 12
    assert len(reader.cuts) > 10


def test_silence_is_not_a_reader() -> None:
    assert reader_of("nobody", np.zeros(SAMPLE_RATE_HZ, dtype=np.float32)).speech == ()


def test_of_a_recording_of_several_people_only_solo_speech_counts(
    sample: Waveform, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "cut.wav", sample, SAMPLE_RATE_HZ)
    lines = [(0, 18, "ann"), (17, 3, "ben")]
    (tmp_path / "cut.rttm").write_text(
        "".join(f"SPEAKER cut 1 {at} {long} <NA> <NA> {who} <NA> <NA>\n" for at, long, who in lines)
    )
    assert [reader.name for reader in people_in(tmp_path)] == ["ann"]


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    out = tmp_path / "meeting.flac"
    truth = write(READERS, Recipe(seed=2, voices=4, minutes=1.5), out)
    found = read_transcript(out.with_suffix(".rttm"))
    assert found.speakers == truth.speakers
    assert [turn.start for turn in found.turns] == [turn.start for turn in truth.turns]
    assert soundfile.info(out).duration == pytest.approx(truth.duration, abs=2.0)


def test_nine_seeds_have_every_room_with_every_noise() -> None:
    assert len({Recipe(seed, 4, 5.0).heard_in for seed in range(9)}) == 9
