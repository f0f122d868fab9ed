"""Loading checkpoints without running code in them."""

import os
from argparse import Namespace
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Span
from meet_transcriber.engines.pyannote.diarizer import PyannoteDiarizer
from meet_transcriber.engines.pyannote.loader import load_checkpoint
from meet_transcriber.ports.engines import AudioSource
from tests.deploy.pyannote import tiny_pipelines


class Trap:
    """Creates a folder if it is unpickled without restrictions."""

    def __init__(self, path: Path, call: Callable[..., object]) -> None:
        self.path, self.call = path, call

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return self.call, (self.path,)


def test_a_loaded_model_has_the_weights_that_were_saved(tmp_path: Path) -> None:
    model = tiny_pipelines.segmentation_model(seed=3)
    loaded = load_checkpoint(tiny_pipelines.save(model, tmp_path)).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("call", [os.mkdir, Path.mkdir])
def test_code_in_a_checkpoint_never_runs(tmp_path: Path, call: Callable[..., object]) -> None:
    sprung = tmp_path / "sprung"
    trap = Trap(sprung, call)
    path = tiny_pipelines.save(tiny_pipelines.embedding_model(), tmp_path, callbacks=trap)
    torch.load(path, weights_only=False)
    assert sprung.exists(), "the trap works"
    sprung.rmdir()
    with suppress(EngineUnavailable):  # loading it harmlessly and refusing it are both right
        load_checkpoint(path)
    assert not sprung.exists()


def test_other_objects_of_training_in_a_checkpoint_are_inert(tmp_path: Path) -> None:
    left = {"callbacks": Namespace(patience=3), "optimizer_states": [{"state": {}}]}
    path = tiny_pipelines.save(tiny_pipelines.segmentation_model(), tmp_path, **left)
    assert load_checkpoint(path).specifications.powerset


def _edited(folder: Path, edit: str) -> Path:
    path = tiny_pipelines.save(tiny_pipelines.segmentation_model(), folder)
    checkpoint = torch.load(path, weights_only=False)
    if edit == "weights":
        checkpoint["state_dict"].popitem()
    elif edit == "module":
        checkpoint["pyannote.audio"]["architecture"] = {"module": "subprocess", "class": "Popen"}
    else:
        del checkpoint["pyannote.audio"]
    torch.save(checkpoint, path)
    return path


@pytest.mark.parametrize("edit", ["weights", "module", "head"])
def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path: Path, edit: str) -> None:
    with pytest.raises(EngineUnavailable, match="not a pyannote model, or is damaged"):
        load_checkpoint(_edited(tmp_path, edit))


@pytest.mark.parametrize("size", [0, 1000])
def test_a_truncated_checkpoint_is_refused(tmp_path: Path, size: int) -> None:
    path = tiny_pipelines.save(tiny_pipelines.segmentation_model(), tmp_path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(EngineUnavailable, match="fetch it again"):
        load_checkpoint(path)


def test_the_architecture_of_the_real_pipelines_runs(tmp_path: Path, sound: AudioSource) -> None:
    tiny_pipelines.save(tiny_pipelines.segmentation_model(), tmp_path / "segmentation")
    tiny_pipelines.save(tiny_pipelines.wespeaker_model(), tmp_path / "embedding")
    folder = tiny_pipelines.like_3_1(tmp_path, "segmentation", "embedding")
    diarizer = PyannoteDiarizer(str(folder), device="cpu")
    short = type(sound)(sound.read(0.0, 4.0))  # type: ignore[call-arg]
    found = diarizer.diarize(short, [Span(0.0, 4.0)], Options(num_speakers=2), lambda _: None)
    assert len({turn.speaker for turn in found.turns}) == 2
