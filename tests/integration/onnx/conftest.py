"""The networks with their official weights, loaded once per test process."""

from pathlib import Path

import pytest

from meet_transcriber.bootstrap import engines
from meet_transcriber.engines.onnx.diarizer import OnnxDiarizer, load_diarizer
from meet_transcriber.engines.onnx.embeddings import Campplus
from meet_transcriber.engines.onnx.speaker_segmentation import Segmentation
from meet_transcriber.settings import Settings


@pytest.fixture(scope="session")
def checkpoints() -> tuple[Path, Path]:
    """The checkpoints of segmentation and embedding in MODELS_DIR."""
    settings = Settings()
    folders = [engines.weights(settings).find(name) for name in engines.speaker_models(settings)]
    segmentation, embedding = folders
    if segmentation is None or embedding is None:
        pytest.skip("the speaker models are not in MODELS_DIR")
    return segmentation / "pytorch_model.bin", embedding / "campplus_cn_en_common.pt"


@pytest.fixture(scope="session")
def segmentation(checkpoints: tuple[Path, Path]) -> Segmentation:
    return Segmentation(checkpoints[0])


@pytest.fixture(scope="session")
def campplus(checkpoints: tuple[Path, Path]) -> Campplus:
    return Campplus(checkpoints[1])


@pytest.fixture(scope="session")
def diarizer(checkpoints: tuple[Path, Path]) -> OnnxDiarizer:
    return load_diarizer(checkpoints[0].parent, checkpoints[1].parent, "campplus", "cpu", 2)
