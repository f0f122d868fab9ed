"""The pyannote adapter without pyannote: what it asks, what it makes of the answers."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml
from huggingface_hub import errors

from meet_transcriber.core.errors import DiarizationFailed, EngineUnavailable, JobCancelled
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Diarization, Span, Turn
from meet_transcriber.engines.pyannote import PyannoteDiarizer
from meet_transcriber.engines.pyannote.recipe import Recipe
from meet_transcriber.engines.pyannote.runtime import Hook, OutOfMemory, import_library
from meet_transcriber.engines.pyannote.weights import (
    GateClosed,
    HubFiles,
    find_recipe,
    usable_token,
)
from meet_transcriber.ports import Progress, Waveform

THREE_ONE = "pyannote/speaker-diarization-3.1"
COMMUNITY = "pyannote/speaker-diarization-community-1"

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
    """Ten seconds of nothing."""

    duration = 10.0
    channels = 1

    def read(self, start: float, end: float, channel: int = 0) -> Waveform:
        assert (start, end, channel) == (0.0, 10.0, 0)
        return np.zeros(160_000, np.float32)


@dataclass
class FakeFiles:
    """A hub's files in a folder; notes what is asked for."""

    folder: Path
    closed: Sequence[str] = ()
    asked: list[str] = field(default_factory=list)

    def get(self, repository: str, name: str, revision: str | None = None) -> Path:
        self.asked.append(f"{repository}:{name}" + (f"@{revision}" if revision else ""))
        if repository in self.closed:
            raise GateClosed(repository)
        return self.folder / repository.rpartition("/")[2] / name


def write_config(folder: Path, **params: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    name = "pyannote.audio.pipelines.SpeakerDiarization"
    config = {"pipeline": {"name": name, "params": params}, "params": {"segmentation": {}}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture
def hub(tmp_path: Path) -> FakeFiles:
    """A hub with the two pipelines users know."""
    write_config(
        tmp_path / "speaker-diarization-3.1",
        clustering="AgglomerativeClustering",
        segmentation="pyannote/segmentation-3.0",
        embedding="pyannote/wespeaker-voxceleb-resnet34-LM@main",
    )
    write_config(
        tmp_path / "speaker-diarization-community-1",
        clustering="VBxClustering",
        segmentation="$model/segmentation",
        embedding="$model/embedding",
        plda="$model/plda",
    )
    return FakeFiles(tmp_path)


def ignore(share: float) -> None:
    """A Progress that nobody watches."""


def diarize(
    engine: FakeEngine, files: FakeFiles, progress: Progress = ignore, hints: Hints = NONE
) -> Diarization:
    diarizer = PyannoteDiarizer(THREE_ONE, files=files, load=lambda _recipe, _device: engine)
    options = Options(**hints)  # type: ignore[arg-type]
    return diarizer.diarize(Silence(), [Span(1.0, 2.0)], options, progress)


# -- turns -----------------------------------------------------------------------------------


def test_labels_follow_the_order_of_first_speech(hub: FakeFiles) -> None:
    engine = FakeEngine(Annotation((4, 5, "SPEAKER_00"), (1, 2, "SPEAKER_07"), (2, 3, "B")))
    assert [turn.speaker for turn in diarize(engine, hub).turns] == [
        "SPEAKER_00", "SPEAKER_01", "SPEAKER_02",
    ]  # fmt: skip


def test_version_3_has_no_exclusive_turns(hub: FakeFiles) -> None:
    found = diarize(FakeEngine(Annotation((1, 2, "A"))), hub)
    assert found == Diarization((Turn(1.0, 2.0, "SPEAKER_00"),))


def test_exclusive_turns_of_version_4_share_the_labels(hub: FakeFiles) -> None:
    every, single = Annotation((1, 3, "B"), (2, 4, "A")), Annotation((3, 4, "A"), (1, 3, "B"))
    found = diarize(FakeEngine(DiarizeOutput(every, single)), hub)
    assert found.exclusive == (Turn(1.0, 3.0, "SPEAKER_00"), Turn(3.0, 4.0, "SPEAKER_01"))


def test_turns_end_with_the_recording(hub: FakeFiles) -> None:
    engine = FakeEngine(Annotation((-0.1, 1, "A"), (9, 10.4, "A"), (10.2, 10.4, "A")))
    assert [(turn.start, turn.end) for turn in diarize(engine, hub).turns] == [(0, 1), (9, 10)]


def test_no_speech_asks_nothing_of_the_engine(hub: FakeFiles) -> None:
    engine = FakeEngine()
    diarizer = PyannoteDiarizer(THREE_ONE, files=hub, load=lambda _recipe, _device: engine)
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
    hub: FakeFiles, asked: dict[str, int], passed: dict[str, int]
) -> None:
    engine = FakeEngine()
    diarize(engine, hub, hints=asked)
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
def test_a_count_that_differs_from_the_hints_is_said(
    hub: FakeFiles, asked: dict[str, int], warned: bool
) -> None:
    engine = FakeEngine(Annotation((1, 2, "A"), (2, 3, "B")))
    codes = [warning.code for warning in diarize(engine, hub, hints=asked).warnings]
    assert codes == (["speakers_requested_found"] if warned else [])


# -- progress and failure --------------------------------------------------------------------


def test_progress_only_rises_even_when_the_work_starts_over(hub: FakeFiles) -> None:
    shares: list[float] = []
    diarize(FakeEngine(fits={"cuda": 8, "cpu": 8}), hub, shares.append)
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_cancelling_passes_through(hub: FakeFiles) -> None:
    def cancel(share: float) -> None:
        raise JobCancelled(f"cancelled at {share}")

    with pytest.raises(JobCancelled):
        diarize(FakeEngine(), hub, cancel)


@pytest.mark.parametrize("error", [RuntimeError("CUDA error"), ValueError("odd"), KeyError("x")])
def test_what_the_library_raises_becomes_our_error_with_its_cause(
    hub: FakeFiles, error: Exception
) -> None:
    with pytest.raises(DiarizationFailed, match=type(error).__name__) as caught:
        diarize(FakeEngine(error=error), hub)
    assert caught.value.__cause__ is error


def test_short_memory_halves_the_batch_until_it_fits(hub: FakeFiles) -> None:
    engine = FakeEngine(fits={"cuda": 8, "cpu": 0})
    found = diarize(engine, hub)
    assert [run[:2] for run in engine.runs] == [("cuda", 32), ("cuda", 16), ("cuda", 8)]
    assert [warning.code for warning in found.warnings] == ["batch_reduced"]
    assert "8 windows" in found.warnings[0].message


def test_a_gpu_without_room_hands_over_to_the_processor_and_takes_the_next(hub: FakeFiles) -> None:
    engine = FakeEngine(fits={"cuda": 0, "cpu": 99})
    found = diarize(engine, hub)
    assert [run[:2] for run in engine.runs][-2:] == [("cuda", 4), ("cpu", 8)]
    assert [warning.code for warning in found.warnings] == ["batch_reduced", "moved_to_cpu"]
    assert engine.device == "cuda"


def test_memory_that_suffices_nowhere_is_a_failure_in_words(hub: FakeFiles) -> None:
    engine = FakeEngine(fits={"cuda": 0, "cpu": 0})
    with pytest.raises(DiarizationFailed, match="more memory"):
        diarize(engine, hub)
    assert engine.runs[-1][:2] == ("cpu", 1)
    assert engine.device == "cuda"


# -- tokens and weights ----------------------------------------------------------------------


@pytest.mark.parametrize("token", ["hf_your_token_here", "hf_your_token", " hf_your_token_here\n"])
def test_the_guides_placeholder_is_no_token(token: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert usable_token(token) is None
    assert "placeholder" in caplog.text


@pytest.mark.parametrize(
    ("token", "used"), [(None, None), ("", None), (" hf_real\n", "hf_real"), ("hf_real", "hf_real")]
)
def test_a_token_is_used_as_it_is_and_never_logged(
    token: str | None, used: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    assert usable_token(token) == used
    assert caplog.text == ""
    assert "hf_real" not in repr(HubFiles(token))


def test_version_3_1_asks_for_no_plda(hub: FakeFiles) -> None:
    recipe = find_recipe(THREE_ONE, hub, has_token=False)
    assert hub.asked == [
        f"{THREE_ONE}:config.yaml",
        "pyannote/segmentation-3.0:pytorch_model.bin",
        "pyannote/wespeaker-voxceleb-resnet34-LM:pytorch_model.bin@main",
    ]
    assert recipe.plda == ()
    assert recipe.clustering == "AgglomerativeClustering"


def test_community_1_takes_everything_from_one_repository(hub: FakeFiles) -> None:
    recipe = find_recipe(f"{COMMUNITY}@v2", hub, has_token=False)
    assert {asked.partition(":")[0] for asked in hub.asked} == {COMMUNITY}
    assert all(asked.endswith("@v2") for asked in hub.asked)
    assert [path.name for path in recipe.plda] == ["xvec_transform.npz", "plda.npz"]


def test_models_are_found_beside_the_config_by_relative_and_absolute_paths(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "wespeaker.bin"
    for path in (elsewhere, tmp_path / "p" / "models" / "pytorch_model.bin"):
        path.parent.mkdir(parents=True)
        path.touch()
    folder = write_config(tmp_path / "p", segmentation="models", embedding=str(elsewhere))
    nothing = FakeFiles(tmp_path)
    for model in (folder, folder / "config.yaml"):
        recipe = find_recipe(str(model), nothing, has_token=False)
        assert recipe == Recipe(
            folder / "models/pytorch_model.bin", elsewhere, parameters={"segmentation": {}}
        )
    assert nothing.asked == []


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"segmentation": "models/seg.bin", "embedding": "a/b"}, "'models/seg.bin' is not there"),
        ({"embedding": "a/b"}, "names no segmentation model"),
        ({"segmentation": "$model/gone", "embedding": "a/b"}, "lacks gone/pytorch_model.bin"),
    ],
)
def test_a_folder_that_lacks_something_says_what(
    tmp_path: Path, params: dict[str, str], words: str
) -> None:
    folder = write_config(tmp_path / "p", **params)
    with pytest.raises(EngineUnavailable, match=words):
        find_recipe(str(folder), FakeFiles(tmp_path), has_token=False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ("- a list", "describes no pyannote pipeline"),
        ("pipeline: {name: a.VoiceActivityDetection}", "VoiceActivityDetection"),
        ("pipeline: {name: a.SpeakerDiarization}", "has no params"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused_in_words(
    tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(EngineUnavailable, match=words):
        find_recipe(str(tmp_path), FakeFiles(tmp_path), has_token=False)


@pytest.mark.parametrize("model", ["/no/such/folder", "no-such-model", "a/b/c"])
def test_what_is_neither_a_folder_nor_a_hub_id_is_refused(tmp_path: Path, model: str) -> None:
    with pytest.raises(EngineUnavailable, match="no folder"):
        find_recipe(model, FakeFiles(tmp_path), has_token=False)


def test_a_closed_gate_names_every_page_whose_terms_count(hub: FakeFiles) -> None:
    hub.closed = [THREE_ONE]
    with pytest.raises(EngineUnavailable) as caught:
        find_recipe(THREE_ONE, hub, has_token=False)
    words = str(caught.value)
    assert "https://huggingface.co/pyannote/speaker-diarization-3.1" in words
    assert "https://huggingface.co/pyannote/segmentation-3.0" in words
    assert "HUGGINGFACE_ACCESS_TOKEN" in words
    assert words.endswith(f"meet-transcriber models pull {THREE_ONE}")


def test_a_gate_behind_an_open_one_is_named_and_no_token_is_asked_for(hub: FakeFiles) -> None:
    hub.closed = ["pyannote/segmentation-3.0"]
    with pytest.raises(EngineUnavailable, match=r"refuses pyannote/segmentation-3\.0") as caught:
        find_recipe(THREE_ONE, hub, has_token=True)
    assert "HUGGINGFACE_ACCESS_TOKEN" not in str(caught.value)


# -- the hub ---------------------------------------------------------------------------------


@dataclass
class FakeHub:
    """`hf_hub_download` with a cache that may be empty and a hub that may refuse."""

    cached: bool = False
    answer: Exception | None = None
    calls: list[tuple[bool, str | None]] = field(default_factory=list)

    def __call__(
        self,
        repo_id: str,
        filename: str,
        *,
        revision: str | None,
        cache_dir: str | None,
        token: str | None,
        local_files_only: bool,
    ) -> str:
        self.calls.append((local_files_only, token))
        if local_files_only and not self.cached:
            raise errors.LocalEntryNotFoundError(f"{filename} {revision} {cache_dir}")
        if self.answer and not local_files_only:
            raise self.answer
        return f"cache/{repo_id}/{filename}"


def hub_files(hub: FakeHub, *, local: bool = False, problem: str | None = None) -> HubFiles:
    return HubFiles("hf_real", None, local, download=hub, problem=lambda: problem)


@dataclass
class Response:
    """As much of an HTTP response as the hub's errors look at, in any of its versions."""

    status_code: int
    headers: dict[str, str] = field(default_factory=dict)
    request: None = None


def response(status: int) -> Any:
    return Response(status)


def test_what_is_in_the_cache_is_never_asked_of_the_hub() -> None:
    hub = FakeHub(cached=True)
    assert hub_files(hub).get("a/b", "c") == Path("cache/a/b/c")
    assert hub.calls == [(True, None)]


def test_the_token_goes_along_only_to_fetch() -> None:
    hub = FakeHub()
    assert hub_files(hub).get("a/b", "c") == Path("cache/a/b/c")
    assert hub.calls == [(True, None), (False, "hf_real")]


def test_the_network_is_left_alone_unless_allowed() -> None:
    hub = FakeHub()
    with pytest.raises(EngineUnavailable, match="c of a/b is not on this machine"):
        hub_files(hub, local=True).get("a/b", "c")
    assert [local for local, _ in hub.calls] == [True]


def test_a_hub_out_of_reach_is_said_with_its_reason() -> None:
    with pytest.raises(EngineUnavailable, match="cannot be reached"):
        hub_files(FakeHub(), problem="HF_HUB_OFFLINE is set").get("a/b", "c")


@pytest.mark.parametrize(
    "answer",
    [
        errors.GatedRepoError("gated", response=response(403)),
        errors.RepositoryNotFoundError("hidden", response=response(401)),
        errors.HfHubHTTPError("forbidden", response=response(403)),
    ],
    ids=["gated", "hidden", "forbidden"],
)
def test_every_kind_of_refusal_is_a_closed_gate(answer: Exception) -> None:
    with pytest.raises(GateClosed):
        hub_files(FakeHub(answer=answer)).get("a/b", "c")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (errors.HfHubHTTPError("busy", response=response(503)), "Cannot fetch a/b: busy"),
        (errors.RemoteEntryNotFoundError("x", response=response(404)), "holds no c"),
        (OSError("disk full"), "disk full"),
        (errors.HFValidationError("odd"), "neither a folder here nor a hub id"),
    ],
    ids=["busy", "no-such-file", "disk", "name"],
)
def test_other_answers_of_the_hub_are_said_in_words(answer: Exception, words: str) -> None:
    with pytest.raises(EngineUnavailable, match=words):
        hub_files(FakeHub(answer=answer)).get("a/b", "c")


# -- the library -----------------------------------------------------------------------------


def test_a_library_that_is_not_installed_names_the_command() -> None:
    with pytest.raises(EngineUnavailable) as caught:
        import_library("no_such_library")
    assert 'pip install "meet-transcriber[pyannote]"' in str(caught.value)


def test_the_name_tells_the_model(hub: FakeFiles) -> None:
    engine = FakeEngine()
    diarizer = PyannoteDiarizer(COMMUNITY, files=hub, load=lambda _recipe, _device: engine)
    assert diarizer.name == f"pyannote {COMMUNITY}"
