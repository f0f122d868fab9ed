"""The adapter on the real library, with small random weights."""

import logging
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from meet_transcriber.core.errors import EngineUnavailable, JobCancelled
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Diarization, Span
from meet_transcriber.engines.pyannote.diarizer import PyannoteDiarizer
from meet_transcriber.ports.engines import AudioSource, Progress
from tests.deploy.pyannote import tiny_pipelines

BOTH = pytest.mark.parametrize("kind", ["like-3.1", "like-community-1"])
Run = Callable[..., Diarization]


def ignore(share: float) -> None:
    """Ignores progress."""


@pytest.fixture(scope="session")
def run(pipelines: Path, sound: AudioSource) -> Run:
    """Diarize the sound with one of the pipelines, each loaded once."""

    @cache
    def load(kind: str) -> PyannoteDiarizer:
        return PyannoteDiarizer(str(pipelines / kind), device="cpu")

    def diarize(kind: str, progress: Progress = ignore, **hints: int) -> Diarization:
        speech = [Span(0.0, sound.duration)]
        return load(kind).diarize(sound, speech, Options(**hints), progress)  # type: ignore[arg-type]

    return diarize


@BOTH
def test_turns_lie_inside_the_recording_and_are_labelled_in_order(
    run: Run, sound: AudioSource, kind: str
) -> None:
    turns = run(kind, num_speakers=3).turns
    labels = list(dict.fromkeys(turn.speaker for turn in turns))
    assert labels == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_02"]
    assert [turn.start for turn in turns] == sorted(turn.start for turn in turns)
    assert all(0 <= turn.start < turn.end <= sound.duration for turn in turns)


@BOTH
def test_exclusive_turns_never_overlap(run: Run, kind: str) -> None:
    found = run(kind, num_speakers=3)
    assert any(one.end > two.start for one, two in pairwise(found.turns))
    assert found.exclusive
    assert all(one.end <= two.start + 1e-6 for one, two in pairwise(found.exclusive))
    assert {turn.speaker for turn in found.exclusive} <= {turn.speaker for turn in found.turns}


@BOTH
@pytest.mark.parametrize("speakers", [2, 3])
def test_the_requested_number_of_speakers_is_found(run: Run, kind: str, speakers: int) -> None:
    for hints in ({"num_speakers": speakers}, {"min_speakers": speakers, "max_speakers": speakers}):
        found = run(kind, **hints)
        assert len({turn.speaker for turn in found.turns}) == speakers
        assert found.warnings == ()


@BOTH
def test_the_same_sound_gives_the_same_turns(run: Run, kind: str) -> None:
    assert run(kind) == run(kind)


@BOTH
def test_progress_rises_through_every_step_to_one(run: Run, kind: str) -> None:
    shares: list[float] = []
    run(kind, shares.append)
    assert shares == sorted(shares)
    assert shares[0] < 0.1
    assert shares[-1] == 1.0
    assert any(0.1 < share < 0.4 for share in shares)
    assert any(0.5 < share < 0.9 for share in shares)


@BOTH
@pytest.mark.parametrize("reached", [0.0, 0.3, 0.7])
def test_cancelling_ends_the_work_at_any_step(run: Run, kind: str, reached: float) -> None:
    def cancel(share: float) -> None:
        if share >= reached:
            raise JobCancelled("The job was cancelled.")

    with pytest.raises(JobCancelled):
        run(kind, cancel)


@BOTH
def test_short_memory_halves_the_batch_and_does_not_change_results(run: Run, kind: str) -> None:
    short = iter([True, True])

    def run_out(share: float) -> None:
        if next(short, False):
            raise torch.OutOfMemoryError(f"CUDA out of memory at {share}")

    found = run(kind, run_out, num_speakers=2)
    assert [warning.code for warning in found.warnings] == ["batch_reduced"]
    assert "to 2 windows" in found.warnings[0].message
    assert len(found.turns) == len(run(kind, num_speakers=2).turns)


def test_without_speech_nothing_runs(pipelines: Path, sound: AudioSource) -> None:
    diarizer = PyannoteDiarizer(str(pipelines / "like-3.1"), device="cpu")
    assert diarizer.diarize(sound, [], Options(), ignore) == Diarization()


def test_the_guides_placeholder_token_is_ignored_and_logged(
    pipelines: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        diarizer = PyannoteDiarizer(
            str(pipelines / "like-3.1"), token="hf_your_token_here", device="cpu"
        )
    assert diarizer.name == "pyannote like-3.1"
    assert "placeholder_token_ignored" in caplog.text


def _cached(cache: Path, repository: str) -> Path:
    """An empty snapshot in the layout of the hub's cache."""
    entry = cache / f"models--{repository.replace('/', '--')}"
    (entry / "refs").mkdir(parents=True)
    (entry / "refs/main").write_text("0" * 40)
    snapshot = entry / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    return snapshot


def _cache_3_1(cache: Path) -> str:
    """Put 3.1 and its two models into a hub's cache."""
    names = ("pyannote/segmentation-3.0", "pyannote/wespeaker-voxceleb-resnet34-LM")
    tiny_pipelines.save(tiny_pipelines.segmentation_model(), _cached(cache, names[0]))
    tiny_pipelines.save(tiny_pipelines.embedding_model(), _cached(cache, names[1]))
    model = "pyannote/speaker-diarization-3.1"
    tiny_pipelines.like_3_1(_cached(cache, model), *names)
    return model


def test_version_3_1_loads_from_the_hubs_cache_without_any_plda(
    tmp_path: Path, sound: AudioSource
) -> None:
    model = _cache_3_1(tmp_path)
    diarizer = PyannoteDiarizer(model, cache_dir=tmp_path, device="cpu")
    assert diarizer.name == f"pyannote {model}"
    assert diarizer.diarize(sound, [Span(0.0, 8.0)], Options(), ignore).turns


def test_community_1_loads_from_the_hubs_cache(tmp_path: Path) -> None:
    model = "pyannote/speaker-diarization-community-1"
    tiny_pipelines.like_community_1(_cached(tmp_path, model))
    assert PyannoteDiarizer(model, cache_dir=tmp_path, device="cpu").name == f"pyannote {model}"


@pytest.mark.parametrize("on_disk", ["3.1", "community-1"])
def test_the_default_that_is_on_disk_is_used(tmp_path: Path, on_disk: str) -> None:
    model = f"pyannote/speaker-diarization-{on_disk}"
    if on_disk == "3.1":
        _cache_3_1(tmp_path)
    else:
        tiny_pipelines.like_community_1(_cached(tmp_path, model))
    assert PyannoteDiarizer(cache_dir=tmp_path, device="cpu").name == f"pyannote {model}"


def test_community_1_comes_before_3_1(tmp_path: Path) -> None:
    model = "pyannote/speaker-diarization-community-1"
    _cache_3_1(tmp_path)
    tiny_pipelines.like_community_1(_cached(tmp_path, model))
    assert PyannoteDiarizer(cache_dir=tmp_path, device="cpu").name == f"pyannote {model}"


def test_missing_weights_are_reported_with_the_command(tmp_path: Path) -> None:
    for model, pulled in ((None, "community-1"), ("pyannote/speaker-diarization-3.1", "3.1")):
        with pytest.raises(EngineUnavailable) as caught:
            PyannoteDiarizer(model, cache_dir=tmp_path)
        assert f"models pull pyannote/speaker-diarization-{pulled}" in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_missing_gpu_is_reported(pipelines: Path) -> None:
    with pytest.raises(EngineUnavailable, match="no CUDA device"):
        PyannoteDiarizer(str(pipelines / "like-3.1"), device="cuda")
