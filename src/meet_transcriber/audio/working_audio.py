"""Working audio: 16 kHz FLAC, written as a stream, read at any position to the sample."""

from collections.abc import Iterable, Iterator
from typing import BinaryIO

import av
import numpy as np
import numpy.typing as npt

from meet_transcriber.core.errors import UnreadableAudio
from meet_transcriber.core.media import PreparedAudio
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Waveform

Block = npt.NDArray[np.float32]
"""(channels, samples) float32 at 16 kHz."""


def regroup(blocks: Iterable[Block], samples: int) -> Iterator[Block]:
    """Join blocks until they have at least `samples` samples; the last may have fewer."""
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


# FFmpeg's names of the layouts of one to eight channels, the most that FLAC stores.
_LAYOUTS = ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")
_BLOCK = 2 * SAMPLE_RATE_HZ
_SEEK_AHEAD = 10 * SAMPLE_RATE_HZ  # decoding this far is faster than seeking


class FlacWriter:
    """
    Writes (channels, samples) float32 blocks as FLAC at 16 kHz.

    The file has 24 bits per sample, of which only as many are used as give the loudest sample so
    far 16 bits: FLAC stores no unused bits, and quiet recordings lose no precision when their
    level is corrected.
    """

    def __init__(self, file: BinaryIO, channels: int) -> None:
        self._container = av.open(file, mode="w", format="flac")
        self._layout = _LAYOUTS[channels - 1]
        self._stream = self._container.add_stream(
            "flac", rate=SAMPLE_RATE_HZ, layout=self._layout, format="s32"
        )
        # frames have a cost each in Python; this is the longest that every decoder accepts
        self._stream.codec_context.options = {"frame_size": "4608"}
        self._written = 0
        self._peak = 0.0

    def write(self, block: npt.NDArray[np.float32]) -> None:
        if not block.shape[1]:
            return
        packed = np.ascontiguousarray(self._quantized(block).T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="s32", layout=self._layout)
        frame.sample_rate = SAMPLE_RATE_HZ
        frame.pts = self._written
        self._written += block.shape[1]
        self._container.mux(self._stream.encode(frame))

    def _quantized(self, block: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
        self._peak = max(self._peak, float(np.abs(block).max()))
        headroom = -np.frexp(self._peak)[1] if self._peak else 0
        bits = 15 + int(np.clip(headroom, 0, 8))
        full = np.float32(2**bits)
        samples = np.clip(np.round(block * full), -full, full - 1)
        return samples.astype(np.int32) << (31 - bits)

    def close(self) -> None:
        if self._written:
            self._container.mux(self._stream.encode(None))
        self._container.close()


def read_blocks(file: BinaryIO) -> Iterator[npt.NDArray[np.float32]]:
    """Yield blocks (channels, samples) of a working file from its start."""
    file.seek(0)
    with av.open(file, mode="r", format="flac") as container:
        frames = container.decode(container.streams.audio[0])
        yield from regroup((_samples(frame) for frame in frames), _BLOCK)


class WorkingAudio:
    """An AudioSource on a working file; not thread-safe."""

    def __init__(self, file: BinaryIO, prepared: PreparedAudio) -> None:
        self._file = file
        self.duration, self.channels = prepared.duration, prepared.channels
        self._gains = [10 ** (gain / 20) for gain in prepared.gains_db]
        self._length = round(prepared.duration * SAMPLE_RATE_HZ)
        self._container: av.container.InputContainer | None = None
        self._frames: Iterator[av.AudioFrame] = iter(())
        self._block = np.zeros((prepared.channels, 0), dtype=np.float32)
        self._block_start = 0

    def read(self, start: float, end: float, channel: int = 0) -> Waveform:
        """Samples of one channel, level-corrected; see the port."""
        first = min(max(round(start * SAMPLE_RATE_HZ), 0), self._length)
        last = min(max(round(end * SAMPLE_RATE_HZ), first), self._length)
        try:
            samples = self._read(first, last, channel)
        except (av.FFmpegError, OSError, EOFError) as error:
            raise UnreadableAudio(
                "The working audio is damaged; submit the recording again."
            ) from error
        levelled: Waveform = np.clip(samples * np.float32(self._gains[channel]), -1.0, 1.0)
        return levelled

    def _read(self, first: int, last: int, channel: int) -> Waveform:
        result = np.zeros(last - first, dtype=np.float32)
        if first == last:
            return result
        ahead = self._block_end + _SEEK_AHEAD
        if self._container is None or not self._block_start <= first < ahead:
            self._seek(first)
        at = first
        while at < last:
            while at >= self._block_end:
                if not self._next_block():
                    raise EOFError
            if at < self._block_start:
                raise EOFError
            stop = min(last, self._block_end)
            offset = self._block_start
            result[at - first : stop - first] = self._block[channel, at - offset : stop - offset]
            at = stop
        return result

    @property
    def _block_end(self) -> int:
        return self._block_start + self._block.shape[1]

    def _seek(self, sample: int) -> None:
        """Move to or before a sample; files with a single frame cannot seek and are reopened."""
        container = self._container
        if container is None or sample < _SEEK_AHEAD:
            container = self._rewind()
        if sample >= _SEEK_AHEAD:
            container.seek(sample, stream=container.streams.audio[0])
            self._reset(container)
            if not self._next_block() or self._block_start > sample:
                self._rewind()

    def _rewind(self) -> av.container.InputContainer:
        if self._container is not None:
            self._container.close()
        self._file.seek(0)
        self._container = av.open(self._file, mode="r", format="flac")
        self._reset(self._container)
        return self._container

    def _reset(self, container: av.container.InputContainer) -> None:
        self._frames = container.decode(container.streams.audio[0])
        self._block = self._block[:, :0]
        self._block_start = 0

    def _next_block(self) -> bool:
        frame = next(self._frames, None)
        if frame is None:
            return False
        self._block = _samples(frame)
        self._block_start = frame.pts or 0
        return True


def _samples(frame: av.AudioFrame) -> npt.NDArray[np.float32]:
    """Return a packed frame as (channels, samples) float32."""
    packed = frame.to_ndarray().reshape(-1, len(frame.layout.channels))
    return np.ascontiguousarray(packed.T).astype(np.float32) / np.float32(2**31)
