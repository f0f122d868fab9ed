"""Tiny pipelines on disk and a test sound; this folder runs in .venv-pyannote."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from meet_transcriber.engines.pyannote.loader import import_library
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Waveform

import_library()  # before tiny_pipelines imports it without our care

from tests.deploy.pyannote import tiny_pipelines  # noqa: E402


@dataclass(frozen=True)
class Sound:
    """An AudioSource in memory."""

    samples: Waveform
    channels: int = 1

    @property
    def duration(self) -> float:
        return len(self.samples) / SAMPLE_RATE_HZ

    def read(self, start: float, end: float, channel: int = 0) -> Waveform:
        assert channel == 0
        return self.samples[round(start * SAMPLE_RATE_HZ) : round(end * SAMPLE_RATE_HZ)]


@pytest.fixture(scope="session")
def sound() -> Sound:
    """Eight seconds of two buzzing voices in turn, with noise and pauses."""
    time = np.arange(8 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    pitch = np.where(np.sin(2 * np.pi * 0.25 * time) > 0, 110, 220)
    voice = (
        0.3 * np.sign(np.sin(2 * np.pi * pitch * time)) * (np.sin(2 * np.pi * 0.7 * time) > -0.3)
    )
    noise = 0.1 * np.random.default_rng(0).standard_normal(len(time))
    return Sound((voice + noise * (np.sin(2 * np.pi * 0.4 * time) > 0)).astype(np.float32))


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `like-3.1` (models beside it, no PLDA) and `like-community-1`."""
    folder = tmp_path_factory.mktemp("pipelines")
    tiny_pipelines.like_community_1(folder / "like-community-1")
    tiny_pipelines.save(tiny_pipelines.segmentation_model(), folder / "models/segmentation")
    embedding = tiny_pipelines.save(
        tiny_pipelines.embedding_model(), folder / "models/wespeaker-embedding"
    )
    tiny_pipelines.like_3_1(folder / "like-3.1", "../models/segmentation", str(embedding))
    return folder
