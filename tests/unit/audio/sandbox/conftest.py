"""Confined decoders, misbehaving ones too."""

import time
import wave
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from meet_transcriber.audio.sandbox.client import ChildPool, ConfinedDecoder

_BUSY = 5


@cache
def _pool(name: str) -> ChildPool:
    return ChildPool(f"tests.simulated.decoders:{name}")


@pytest.fixture
def simulated() -> Callable[..., ConfinedDecoder]:
    """From the name of a class of tests/simulated/decoders.py to a decoder in a child."""

    def make(name: str, **limits: Any) -> ConfinedDecoder:
        return ConfinedDecoder(pool=_pool(name), probe_pool=_pool(name), **limits)

    return make


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A file of 30 seconds of stereo silence."""
    path = tmp_path / "silence.wav"
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(2)
        writer.setsampwidth(2)
        writer.setframerate(16_000)
        writer.writeframes(bytes(30 * 16_000 * 4))
    return path


@pytest.fixture
def quick() -> Callable[[float], None]:
    """Fails a test that takes so many seconds from here, and more than a busy machine explains."""
    started = time.monotonic()

    def within(seconds: float) -> None:
        assert time.monotonic() - started < _BUSY * seconds

    return within
