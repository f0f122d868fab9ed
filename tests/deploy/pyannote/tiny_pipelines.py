"""Small pipelines with random weights, in the layouts that users have on disk."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from pyannote.audio.core.model import Model
from pyannote.audio.core.task import Problem, Resolution, Specifications
from pyannote.audio.models.embedding import WeSpeakerResNet34, XVectorMFCC
from pyannote.audio.models.segmentation import PyanNet

DIMENSION = 16
LDA_DIMENSION = 8
_WINDOW_SECONDS = 2.0


def segmentation_model(seed: int = 0) -> Model:
    """A PyanNet of a few thousand weights for up to two of three speakers at once."""
    torch.manual_seed(seed)
    model = PyanNet(
        sincnet={"stride": 10},
        lstm={"hidden_size": 8, "num_layers": 1, "bidirectional": True, "monolithic": True},
        linear={"hidden_size": 8, "num_layers": 1},
    )
    model.specifications = Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=_WINDOW_SECONDS,
        classes=["one", "two", "three"],
        powerset_max_classes=2,
        permutation_invariant=True,
    )
    model.setup()
    with torch.no_grad():
        # random weights hardly react to sound; larger ones do
        model.classifier.weight.mul_(40.0)
        model.classifier.bias.zero_()
    return model


def whole_segmentation_model(seed: int = 0) -> Model:
    """A PyanNet with the layers of pyannote/segmentation-3.0 and random weights (6 MB)."""
    torch.manual_seed(seed)
    model = PyanNet(
        sincnet={"stride": 10},
        lstm={"hidden_size": 128, "num_layers": 4, "bidirectional": True, "monolithic": True},
        linear={"hidden_size": 128, "num_layers": 2},
    )
    model.specifications = Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=10.0,
        classes=["one", "two", "three"],
        powerset_max_classes=2,
        permutation_invariant=True,
    )
    model.setup()
    _change_its_mind(model.eval())
    return model


def _change_its_mind(model: Model) -> None:
    """Make each class likely at times: random weights hardly react to sound."""
    with torch.no_grad():
        usual = model(torch.randn(1, 1, 160_000)).mean(dim=(0, 1))
        model.classifier.bias.sub_(usual)
        model.classifier.weight.mul_(1000.0)
        model.classifier.bias.mul_(1000.0)


def embedding_model(seed: int = 0) -> Model:
    """An x-vector network with the interface of WeSpeaker's, but far smaller."""
    torch.manual_seed(seed)
    return _for_embedding(
        XVectorMFCC(mfcc={"n_mfcc": 20, "melkwargs": {"n_mels": 20}}, dimension=DIMENSION)
    )


def wespeaker_model(seed: int = 0) -> Model:
    """The architecture of the real pipelines, with random weights (26 MB)."""
    torch.manual_seed(seed)
    return _for_embedding(WeSpeakerResNet34())


def unsettle(model: Model, seed: int = 0) -> None:
    """Give batch norms statistics and scales as training does; new ones change nothing."""
    draw = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            shape = module.running_mean.shape
            module.running_mean.copy_(torch.randn(shape, generator=draw) * 0.1)
            module.running_var.copy_(torch.rand(shape, generator=draw) + 0.5)
            module.weight.data.copy_(torch.rand(shape, generator=draw) + 0.5)
            module.bias.data.copy_(torch.randn(shape, generator=draw) * 0.1)
    model.eval()


def _for_embedding(model: Model) -> Model:
    model.specifications = Specifications(
        problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=_WINDOW_SECONDS
    )
    model.setup()
    return model


def save(model: Model, folder: Path, **extra: Any) -> Path:
    """Write a checkpoint as pyannote's training does, `extra` beside the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = {
        "state_dict": model.state_dict(),
        "hyper_parameters": dict(model.hparams),
        "pytorch-lightning_version": "2.5.0",
        "epoch": 1,
        **extra,
    }
    model.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, folder / "pytorch_model.bin")
    return folder / "pytorch_model.bin"


def save_plda(folder: Path, dimension: int = DIMENSION) -> None:
    """Write a PLDA that keeps directions and lengths."""
    folder.mkdir(parents=True, exist_ok=True)
    lda = np.eye(dimension, LDA_DIMENSION)
    np.savez(
        folder / "xvec_transform.npz",
        mean1=np.zeros(dimension),
        mean2=np.zeros(LDA_DIMENSION),
        lda=lda,
    )
    np.savez(
        folder / "plda.npz",
        mu=np.zeros(LDA_DIMENSION),
        tr=np.eye(LDA_DIMENSION),
        psi=np.linspace(2.0, 1.0, LDA_DIMENSION),
    )


def like_3_1(folder: Path, segmentation: str, embedding: str) -> Path:
    """A config.yaml like that of pyannote/speaker-diarization-3.1."""
    return _config(
        folder,
        {"version": "3.1.0"},
        {
            "clustering": "AgglomerativeClustering",
            "segmentation": segmentation,
            "embedding": embedding,
        },
        {"method": "centroid", "min_cluster_size": 2, "threshold": 0.7},
    )


def like_community_1(folder: Path) -> Path:
    """A whole folder like pyannote/speaker-diarization-community-1."""
    save(segmentation_model(), folder / "segmentation")
    save(embedding_model(), folder / "embedding")
    save_plda(folder / "plda")
    return _config(
        folder,
        {"dependencies": {"pyannote.audio": "4.0.0"}},
        {
            "clustering": "VBxClustering",
            "segmentation": "$model/segmentation",
            "embedding": "$model/embedding",
            "plda": "$model/plda",
        },
        {"threshold": 0.6, "Fa": 0.07, "Fb": 0.8},
    )


def _config(
    folder: Path, head: dict[str, Any], models: dict[str, str], clustering: dict[str, Any]
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"segmentation_batch_size": 32, "embedding_batch_size": 32}
    config = {
        **head,
        "pipeline": {
            "name": "pyannote.audio.pipelines.SpeakerDiarization",
            "params": {**models, **sizes, "embedding_exclude_overlap": True},
        },
        "params": {"clustering": clustering, "segmentation": {"min_duration_off": 0.0}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder
