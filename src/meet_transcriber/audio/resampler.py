"""Frames of any format to 16 kHz."""

from collections.abc import Iterable, Iterator

import av
import numpy as np
import numpy.typing as npt

from meet_transcriber.ports.engines import SAMPLE_RATE_HZ

Block = npt.NDArray[np.float32]
"""(channels, samples) float32 at 16 kHz."""


class Resampler:
    """Frames of any format to blocks of `channels` channels at 16 kHz."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._format: tuple[str, str, int] | None = None
        self._resampler: av.AudioResampler | None = None

    def push(self, frame: av.AudioFrame | None) -> Iterator[Block]:
        """Take in a frame; None flushes. A format that changes in mid-stream starts anew."""
        if frame is None:
            yield from self._drain(None)
            self._format = self._resampler = None
        else:
            frame.pts = None
            form = (frame.format.name, frame.layout.name, frame.sample_rate)
            if form != self._format:
                yield from self._drain(None)
                self._format = form
                # packed: PyAV reads past the end of planar frames of eight channels and more
                self._resampler = av.AudioResampler("flt", frame.layout, SAMPLE_RATE_HZ)
            yield from self._drain(frame)

    def _drain(self, frame: av.AudioFrame | None) -> Iterator[Block]:
        if self._resampler is not None:
            for piece in self._resampler.resample(frame):
                count = piece.layout.nb_channels
                packed = np.frombuffer(
                    memoryview(piece.planes[0]), np.float32, piece.samples * count
                )
                yield _fitted(packed.reshape(-1, count).T, self._channels)


def gathered(blocks: Iterable[Block], samples: int) -> Iterator[Block]:
    """Small blocks joined until they have so many samples; the last may have fewer."""
    pending: list[Block] = []
    size = 0
    for block in blocks:
        pending.append(block)
        size += block.shape[1]
        if size >= samples:
            yield np.concatenate(pending, axis=1)
            pending, size = [], 0
    if size:
        yield np.concatenate(pending, axis=1)


def _fitted(block: npt.NDArray[np.generic], channels: int) -> Block:
    """As many channels as wanted: the last one takes the mean of those beyond."""
    samples = block.astype(np.float32, copy=False)
    if len(samples) == channels:
        return samples
    if len(samples) > channels:
        rest = samples[channels - 1 :].mean(axis=0, keepdims=True)
        return np.concatenate([samples[: channels - 1], rest])
    return np.concatenate([samples, np.repeat(samples[-1:], channels - len(samples), axis=0)])
