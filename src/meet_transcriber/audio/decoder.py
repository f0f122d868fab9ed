"""Any recording to working audio: decoded once, streamed, levelled, folded."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import av
import numpy as np
import numpy.typing as npt

from meet_transcriber.audio.channels import MAX_SPLIT, ChannelStatistics, kept_channels
from meet_transcriber.audio.loudness import LoudnessMeter
from meet_transcriber.audio.peaks import PeakMeter
from meet_transcriber.audio.probe import opened, read_info, too_long
from meet_transcriber.audio.working import FlacWriter, WorkingAudio, read_blocks
from meet_transcriber.core.errors import UnreadableAudio
from meet_transcriber.core.media import MediaInfo, Peaks, PreparedAudio
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import TranscriptWarning
from meet_transcriber.ports import SAMPLE_RATE_HZ, AudioSource, Progress

_HOLE_SECONDS = 0.1  # timestamps jitter by less than this
_BLOCK = SAMPLE_RATE_HZ * 2
_TRUNCATED_SHARE = 0.98  # of the length the header claims
_MAX_DAMAGED = 1000

Block = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PyavDecoder:
    """An AudioDecoder on PyAV, whose wheel carries FFmpeg.

    Attributes:
        max_duration: seconds; longer recordings are refused, by their header or while decoding.
    """

    max_duration: float = 14_400.0

    def probe(self, media: BinaryIO) -> MediaInfo:
        return read_info(media, self.max_duration)

    def open(self, working: BinaryIO, prepared: PreparedAudio) -> AudioSource:
        return WorkingAudio(working, prepared)

    def prepare(
        self, media: BinaryIO, working: BinaryIO, options: Options, progress: Progress
    ) -> tuple[PreparedAudio, Peaks]:
        info = self.probe(media)
        if info.channels == 1:
            return self._write(media, working, info, progress)
        with tempfile.TemporaryFile() as spread:
            return self._fold(media, spread, working, info, options, progress)

    def _write(
        self, media: BinaryIO, working: BinaryIO, info: MediaInfo, progress: Progress
    ) -> tuple[PreparedAudio, Peaks]:
        decoding = Decoding(self.max_duration)
        meter = _Meters(1)
        writer = FlacWriter(working, 1)
        for block in decoding.blocks(media, 1, info.duration, progress):
            writer.write(block)
            meter.add(block)
        writer.close()
        return meter.result(decoding, 1)

    def _fold(
        self,
        media: BinaryIO,
        spread: BinaryIO,
        working: BinaryIO,
        info: MediaInfo,
        options: Options,
        progress: Progress,
    ) -> tuple[PreparedAudio, Peaks]:
        """Keep all channels aside first: only the whole recording tells how to fold them."""
        channels = min(info.channels, MAX_SPLIT)
        decoding = Decoding(self.max_duration)
        statistics = ChannelStatistics(channels)
        writer = FlacWriter(spread, channels)
        for block in decoding.blocks(media, channels, info.duration, lambda s: progress(0.8 * s)):
            writer.write(block)
            statistics.add(block)
        writer.close()
        kept = kept_channels(statistics, options.channels)
        fold = statistics.fold_weights()[np.newaxis] if kept is None else np.eye(channels)[kept]
        meter, writer = _Meters(len(fold)), FlacWriter(working, len(fold))
        done = 0
        for block in read_blocks(spread):
            folded = (fold @ block).astype(np.float32)
            writer.write(folded)
            meter.add(folded)
            done += folded.shape[1]
            progress(0.8 + 0.2 * min(done / max(decoding.samples, 1), 1.0))
        writer.close()
        return meter.result(decoding, len(fold))


class _Meters:
    """Level and outline of what is being written."""

    def __init__(self, channels: int) -> None:
        self._loudness = LoudnessMeter(channels)
        self._peaks = PeakMeter()

    def add(self, block: Block) -> None:
        self._loudness.add(block)
        self._peaks.add(block)

    def result(self, decoding: "Decoding", channels: int) -> tuple[PreparedAudio, Peaks]:
        duration = decoding.samples / SAMPLE_RATE_HZ
        gains = self._loudness.gains_db()
        prepared = PreparedAudio(duration, channels, gains, tuple(decoding.warnings))
        return prepared, self._peaks.peaks()


@dataclass
class Decoding:
    """One pass over a recording, and what was noticed on the way."""

    max_duration: float
    samples: int = 0
    warnings: list[TranscriptWarning] = field(default_factory=list)
    _damaged: int = 0

    def blocks(
        self, media: BinaryIO, channels: int, claimed: float | None, progress: Progress
    ) -> Iterator[Block]:
        """
        Yield (channels, samples) at 16 kHz; holes in the timestamps come as silence.

        Raises:
            UnreadableAudio: nothing could be decoded.
            AudioTooLong: the limit was passed, whatever the header claimed.
        """
        limit = round(self.max_duration * SAMPLE_RATE_HZ)
        for block in self._gathered(media, channels):
            self.samples += block.shape[1]
            if self.samples > limit:
                raise too_long(self.max_duration)
            if claimed:
                progress(min(self.samples / SAMPLE_RATE_HZ / claimed, 1.0))
            yield block
        self._judge(claimed)

    def _judge(self, claimed: float | None) -> None:
        if not self.samples:
            raise UnreadableAudio(
                "No sound could be decoded; the file is damaged, copy the recording again."
            )
        duration = self.samples / SAMPLE_RATE_HZ
        if claimed and duration < claimed * _TRUNCATED_SHARE - 1.0:
            self._warn(
                "truncated", f"The recording ends after {duration:.0f} of {claimed:.0f} seconds."
            )
        if self._damaged:
            self._warn("damaged", f"{self._damaged} damaged pieces of the recording were skipped.")

    def _warn(self, code: str, message: str) -> None:
        self.warnings.append(TranscriptWarning(code, message))

    def _gathered(self, media: BinaryIO, channels: int) -> Iterator[Block]:
        """Small frames made into blocks of some seconds."""
        pending: list[Block] = []
        size = 0
        for block in self._resampled(media, channels):
            pending.append(block)
            size += block.shape[1]
            if size >= _BLOCK:
                yield np.concatenate(pending, axis=1)
                pending, size = [], 0
        if size:
            yield np.concatenate(pending, axis=1)

    def _resampled(self, media: BinaryIO, channels: int) -> Iterator[Block]:
        with opened(media) as (container, stream):
            resampler = _Resampler(channels)
            clock = 0.0
            origin: float | None = None
            for frame in self._frames(container, stream):
                start = frame.time
                if origin is None:
                    origin = min((container.start_time or 0) / av.time_base, start or 0.0)
                if start is not None and start - origin - clock > _HOLE_SECONDS:
                    yield self._silence(channels, start - origin - clock)
                    clock = start - origin
                clock += frame.samples / frame.sample_rate
                yield from resampler.push(frame)
            yield from resampler.push(None)

    def _silence(self, channels: int, seconds: float) -> Block:
        if seconds > self.max_duration:
            raise too_long(self.max_duration, seconds)
        return np.zeros((channels, round(seconds * SAMPLE_RATE_HZ)), dtype=np.float32)

    def _frames(
        self, container: av.container.InputContainer, stream: av.audio.stream.AudioStream
    ) -> Iterator[av.AudioFrame]:
        """Decoded frames; damaged packets are counted and passed over."""
        packets = container.demux(stream)
        while self._damaged < _MAX_DAMAGED:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.FFmpegError, ValueError):
                self._damaged += 1
                return
            try:
                frames = packet.decode()
            except av.EOFError:
                return
            except (av.FFmpegError, ValueError):
                self._damaged += 1
                continue
            yield from (frame for frame in frames if frame.samples and frame.sample_rate)


class _Resampler:
    """Frames of any format to blocks of `channels` channels at 16 kHz."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._format: tuple[str, str, int] | None = None
        self._resampler: av.AudioResampler | None = None

    def push(self, frame: av.AudioFrame | None) -> Iterator[Block]:
        """Take in a frame; None flushes. A format that changes in mid-stream starts anew."""
        if frame is not None:
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
                packed = piece.to_ndarray().reshape(-1, piece.layout.nb_channels)
                yield _fitted(packed.T, self._channels)


def _fitted(block: npt.NDArray[np.generic], channels: int) -> Block:
    """As many channels as wanted: the last one takes the mean of those beyond."""
    samples = np.nan_to_num(block.astype(np.float32))
    if len(samples) > channels:
        rest = samples[channels - 1 :].mean(axis=0, keepdims=True)
        return np.concatenate([samples[: channels - 1], rest])
    if len(samples) < channels:
        return np.concatenate([samples, np.repeat(samples[-1:], channels - len(samples), axis=0)])
    return samples
