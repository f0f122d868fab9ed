"""
Diarize a long recording with cheap networks; print peak memory and CPU seconds as JSON.

    python -m tests.integration.onnx.long HOURS

The networks give vectors of the sizes of the real ones. What they and the recording take is not
counted: the seconds are those of our own steps.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy.typing as npt

from benchmarks.diarizers.measured import peak_bytes
from meet_transcriber.core.options import Options
from meet_transcriber.engines.onnx.diarizer import OnnxDiarizer
from meet_transcriber.ports.engines import Waveform
from tests.simulated.speakers import Marked, MarkedEmbedder, MarkedSegmentation, meeting


class _Elsewhere:
    """CPU seconds of other processes."""

    def __init__(self) -> None:
        self.seconds, self._lock = 0.0, Lock()

    @contextmanager
    def counted(self) -> Iterator[None]:
        started = time.thread_time()
        yield
        with self._lock:
            self.seconds += time.thread_time() - started


ELSEWHERE = _Elsewhere()


class _Recording(Marked):
    def read(self, start: float, end: float, channel: int = 0) -> Waveform:
        with ELSEWHERE.counted():
            return super().read(start, end, channel)


class _Segmentation(MarkedSegmentation):
    def classes(self, windows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        with ELSEWHERE.counted():
            return super().classes(windows)


class _Embedder(MarkedEmbedder):
    def trunk(self, audio: npt.NDArray[Any]) -> npt.NDArray[Any]:
        with ELSEWHERE.counted():
            return super().trunk(audio)


def main(hours: float) -> None:
    """Four people; a meeting of ten minutes, repeated."""
    once = meeting(8, 4, 600.0)
    audio = _Recording(hours * 3600, once.turns, repeated=once.duration)
    diarizer = OnnxDiarizer(_Segmentation(), _Embedder(8, 2.0, 192, 512), 2)
    speech = audio.speech
    started = time.process_time()
    found = diarizer.diarize(audio, speech, Options(), lambda _share: None)
    spent = time.process_time() - started
    figures = {
        "cpu_seconds": spent - ELSEWHERE.seconds,
        "peak_mb": peak_bytes() / 1e6,
        "speakers": len({turn.speaker for turn in found.turns}),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(float(sys.argv[1]))
