"""The pyannote adapter with a fake engine."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml

from meet_transcriber.core.assembly import assemble
from meet_transcriber.core.errors import DiarizationFailed, EngineUnavailable, JobCancelled
from meet_transcriber.core.media import PreparedAudio
from meet_transcriber.core.options import Options
from meet_transcriber.core.plan import Plan
from meet_transcriber.core.transcript import Diarization, Span, Turn
from meet_transcriber.engines.pyannote.diarizer import PyannoteDiarizer
from meet_transcriber.engines.pyannote.loader import Hook, OutOfMemory, import_library
from meet_transcriber.ports.engines import Progress, Waveform

Hints = Mapping[str, int]
NONE: Hints = {}


class Stretch(NamedTuple):
    start: float
    end: float


class Annotation:
    """What pyannote.audio 3 returns."""

    def __init__(self, *tracks: tuple[float, float, str]) -> None:
        self.tracks = tracks

    def itertracks(self, yield_label: bool) -> Iterator[tuple[Stretch, str, str]]:
        assert yield_label
        yield from ((Stretch(start, end), "_", label) for start, end, label in self.tracks)


@dataclass
class DiarizeOutput:
    """What pyannote.audio 4 returns."""

    speaker_diarization: Annotation
    exclusive_speaker_diarization: Annotation


@dataclass
class FakeEngine:
    """A pipeline that runs its steps, or out of memory above a batch size."""

    output: object = field(default_factory=Annotation)
    device: str = "cuda"
    fits: Mapping[str, int] = field(default_factory=lambda: {"cuda": 99, "cpu": 99})
    error: Exception | None = None
    runs: list[tuple[str, int, Mapping[str, int]]] = field(default_factory=list)

    @property
    def batch(self) -> int:
        return 32 if self.device == "cuda" else 8

    def move(self, device: str) -> None:
        self.device = device

    def run(self, audio: Waveform, batch: int, hook: Hook, hints: Mapping[str, int]) -> object:
        self.runs.append((self.device, batch, hints))
        for completed in (0, 4, 12):
            hook("segmentation", total=10, completed=completed)
        if batch > self.fits[self.device]:
            raise OutOfMemory
        if self.error:
            raise self.error
        hook("speaker_counting", audio)
        hook("embeddings", total=2, completed=2)
        hook("a step that a later version adds")
        hook("discrete_diarization", audio)
        return self.output


class Silence:
    """Ten seconds of silence."""

    duration = 10.0
    channels = 1

    def read(self, start: float, end: float, channel: int = 0) -> Waveform:
        assert (start, end, channel) == (0.0, 10.0, 0)
        return np.zeros(160_000, np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pipeline's folder; the fake engine does not read its files."""
    params = {"segmentation": "seg.bin", "embedding": "emb.bin"}
    name = "pyannote.audio.pipelines.SpeakerDiarization"
    config = {"pipeline": {"name": name, "params": params}, "params": {}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    for weights in params.values():
        (tmp_path / weights).touch()
    return tmp_path


def ignore(share: float) -> None:
    """Ignores progress."""


def diarize(
    engine: FakeEngine, folder: Path, progress: Progress = ignore, hints: Hints = NONE
) -> Diarization:
    diarizer = PyannoteDiarizer(str(folder), load=lambda _recipe, _device: engine)
    options = Options(**hints)  # type: ignore[arg-type]
    return diarizer.diarize(Silence(), [Span(1.0, 2.0)], options, progress)


# -- turns -----------------------------------------------------------------------------------


def test_labels_follow_the_order_of_first_speech(folder: Path) -> None:
    engine = FakeEngine(Annotation((4, 5, "SPEAKER_00"), (1, 2, "SPEAKER_07"), (2, 3, "B")))
    assert [turn.speaker for turn in diarize(engine, folder).turns] == [
        "SPEAKER_00", "SPEAKER_01", "SPEAKER_02",
    ]  # fmt: skip


def test_version_3_has_no_exclusive_turns(folder: Path) -> None:
    found = diarize(FakeEngine(Annotation((1, 2, "A"))), folder)
    assert found == Diarization((Turn(1.0, 2.0, "SPEAKER_00"),))


def test_exclusive_turns_of_version_4_share_the_labels(folder: Path) -> None:
    every, single = Annotation((1, 3, "B"), (2, 4, "A")), Annotation((3, 4, "A"), (1, 3, "B"))
    found = diarize(FakeEngine(DiarizeOutput(every, single)), folder)
    assert found.exclusive == (Turn(1.0, 3.0, "SPEAKER_00"), Turn(3.0, 4.0, "SPEAKER_01"))


def test_turns_end_with_the_recording(folder: Path) -> None:
    engine = FakeEngine(Annotation((-0.1, 1, "A"), (9, 10.4, "A"), (10.2, 10.4, "A")))
    assert [(turn.start, turn.end) for turn in diarize(engine, folder).turns] == [(0, 1), (9, 10)]


def test_without_speech_the_engine_does_not_run(folder: Path) -> None:
    engine = FakeEngine()
    diarizer = PyannoteDiarizer(str(folder), load=lambda _recipe, _device: engine)
    assert diarizer.diarize(Silence(), [], Options(), ignore) == Diarization()
    assert engine.runs == []


# -- hints -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "passed"),
    [
        ({}, {}),
        ({"min_speakers": 2}, {"min_speakers": 2}),
        ({"min_speakers": 2, "max_speakers": 4}, {"min_speakers": 2, "max_speakers": 4}),
        ({"num_speakers": 3, "max_speakers": 4}, {"num_speakers": 3}),
    ],
)
def test_hints_are_passed_by_name(
    folder: Path, asked: dict[str, int], passed: dict[str, int]
) -> None:
    engine = FakeEngine()
    diarize(engine, folder, hints=asked)
    assert engine.runs[0][2] == passed


@pytest.mark.parametrize(
    ("asked", "warned"),
    [
        ({}, False),
        ({"num_speakers": 2}, False),
        ({"max_speakers": 2}, False),
        ({"num_speakers": 3}, True),
        ({"min_speakers": 3}, True),
        ({"max_speakers": 1}, True),
    ],
)
def test_a_count_that_differs_from_the_hints_is_reported_once(
    folder: Path, asked: dict[str, int], warned: bool
) -> None:
    engine = FakeEngine(Annotation((1, 2, "A"), (2, 3, "B")))
    found = diarize(engine, folder, hints=asked)
    plan = Plan(PreparedAudio(5.0, 1, (0.0,)), ((Span(0.0, 5.0),),), ())
    done = assemble(plan, [], found, Options(**asked))  # type: ignore[arg-type]
    codes = [each.code for each in done.warnings if "speakers" in each.code]
    assert codes == (["speakers_differ"] if warned else [])


# -- progress and failure --------------------------------------------------------------------


def test_progress_never_decreases_even_after_a_restart(folder: Path) -> None:
    shares: list[float] = []
    diarize(FakeEngine(fits={"cuda": 8, "cpu": 8}), folder, shares.append)
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_cancelling_passes_through(folder: Path) -> None:
    def cancel(share: float) -> None:
        raise JobCancelled(f"cancelled at {share}")

    with pytest.raises(JobCancelled):
        diarize(FakeEngine(), folder, cancel)


@pytest.mark.parametrize("error", [RuntimeError("CUDA error"), ValueError("odd"), KeyError("x")])
def test_errors_of_the_library_become_diarization_failed(folder: Path, error: Exception) -> None:
    with pytest.raises(DiarizationFailed, match=type(error).__name__) as caught:
        diarize(FakeEngine(error=error), folder)
    assert caught.value.__cause__ is error


def test_short_memory_halves_the_batch_until_it_fits(folder: Path) -> None:
    engine = FakeEngine(fits={"cuda": 8, "cpu": 0})
    found = diarize(engine, folder)
    assert [run[:2] for run in engine.runs] == [("cuda", 32), ("cuda", 16), ("cuda", 8)]
    assert [warning.code for warning in found.warnings] == ["batch_reduced"]
    assert "8 windows" in found.warnings[0].message


def test_a_full_gpu_falls_back_to_the_cpu_for_one_recording(folder: Path) -> None:
    engine = FakeEngine(fits={"cuda": 0, "cpu": 99})
    found = diarize(engine, folder)
    assert [run[:2] for run in engine.runs][-2:] == [("cuda", 4), ("cpu", 8)]
    assert [warning.code for warning in found.warnings] == ["batch_reduced", "moved_to_cpu"]
    assert engine.device == "cuda"


def test_too_little_memory_on_all_devices_is_an_error(folder: Path) -> None:
    engine = FakeEngine(fits={"cuda": 0, "cpu": 0})
    with pytest.raises(DiarizationFailed, match="more memory"):
        diarize(engine, folder)
    assert engine.runs[-1][:2] == ("cpu", 1)
    assert engine.device == "cuda"


# -- the library -----------------------------------------------------------------------------


def test_a_missing_library_is_reported_with_the_command() -> None:
    with pytest.raises(EngineUnavailable) as caught:
        import_library("no_such_library")
    assert 'pip install "meet-transcriber[pyannote]"' in str(caught.value)


def test_the_name_contains_the_model_and_no_path(folder: Path) -> None:
    engine = FakeEngine()
    diarizer = PyannoteDiarizer(str(folder), load=lambda _recipe, _device: engine)
    assert diarizer.name == f"pyannote {folder.name}"
