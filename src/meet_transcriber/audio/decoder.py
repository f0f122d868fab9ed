"""Converts any recording to working audio in one streaming pass: decode, resample, mix, level."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import InputContainer

from meet_transcriber.audio.levels import LoudnessMeter, PeakMeter
from meet_transcriber.audio.probe import (
    Prober,
    count_missing_bytes,
    has_estimated_duration,
    open_media,
    too_long_error,
)
from meet_transcriber.audio.working_audio import (
    Block,
    FlacWriter,
    WorkingAudio,
    read_blocks,
    regroup,
)
from meet_transcriber.core.errors import UnreadableAudio
from meet_transcriber.core.media import MAX_SPLIT, MediaInfo, Peaks, PreparedAudio
from meet_transcriber.core.options import ChannelMode, Options
from meet_transcriber.core.transcript import TranscriptWarning
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, AudioSource, Progress

_LEVEL_BLOCK = 1600  # 0.1 s at 16 kHz
_DEAD_DB = 40.0  # a channel this far below the loudest has no speech
_ACTIVE_DB = 15.0  # a block less far below the channel's loud blocks has speech
_DOMINANT_DB = 10.0
_SILENT_DB = 30.0  # a block this far below the channel's loud blocks has no crosstalk
_GATE_DB = 10.0
_MIN_RANGE_DB = 10.0  # speech has pauses
_MIN_DOMINANT_SHARE = 0.75
_MIN_OWN_SHARE = 0.02
_MIN_APART_SHARE = 0.25
_MAX_CORRELATION = 0.5
_INVERTED = -0.5
_MIN_BLOCKS = 20


class ChannelStatistics:
    """Levels per tenth of a second and correlations of channels, computed while streaming."""

    def __init__(self, channels: int) -> None:
        self._rest = np.zeros((channels, 0), dtype=np.float32)
        self._levels: list[npt.NDArray[np.float32]] = []
        self._products = np.zeros((channels, channels))

    def add(self, block: npt.NDArray[np.float32]) -> None:
        """Add a block (channels, samples)."""
        block = np.concatenate([self._rest, block], axis=1)
        count = block.shape[1] // _LEVEL_BLOCK
        whole, self._rest = block[:, : count * _LEVEL_BLOCK], block[:, count * _LEVEL_BLOCK :]
        if count:
            self._products += whole.astype(np.float64) @ whole.T.astype(np.float64)
            power = np.mean(np.square(whole.reshape(len(whole), count, _LEVEL_BLOCK)), axis=2)
            self._levels.append((10 * np.log10(np.maximum(power, 1e-10))).astype(np.float32))

    def active_channels(self) -> list[int]:
        """Return the channels with more than the noise of an unused input."""
        energy = np.diag(self._products)
        if not energy.any():
            return [0]
        return [
            index for index, own in enumerate(energy) if own > energy.max() * 10 ** (-_DEAD_DB / 10)
        ]

    def mix_weights(self) -> npt.NDArray[np.float32]:
        """Return weights (channels,): 0 for unused channels, negative for inverted ones."""
        active = self.active_channels()
        loudest = max(active, key=lambda index: self._products[index, index])
        weights = np.zeros(len(self._products), dtype=np.float32)
        for index in active:
            inverted = self._correlation(loudest, index) < _INVERTED
            weights[index] = (-1.0 if inverted else 1.0) / len(active)
        return weights

    def are_independent(self) -> bool:
        """Return whether each active channel has its own speaker and little crosstalk."""
        active = self.active_channels()
        if not 1 < len(active) <= MAX_SPLIT or not self._levels:
            return False
        if any(
            abs(self._correlation(one, other)) > _MAX_CORRELATION
            for one in active
            for other in active
            if one < other
        ):
            return False
        relative = _relative_levels(np.concatenate(self._levels, axis=1)[active])
        if np.percentile(relative, 10, axis=1).max() > -_MIN_RANGE_DB:
            return False  # constant noise is not speech
        relative = relative[:, relative.max(axis=0) > -_ACTIVE_DB]
        if relative.shape[1] < _MIN_BLOCKS:
            return False
        return _alternate(relative) or _are_separate_lines(relative)

    def _correlation(self, one: int, other: int) -> float:
        scale = np.sqrt(self._products[one, one] * self._products[other, other])
        return float(self._products[one, other] / scale) if scale else 0.0


def _relative_levels(levels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return levels in dB relative to the loud blocks of the channel, however rare."""
    power = 10.0 ** (levels / 10)
    gate = power.mean(axis=1, keepdims=True) * 10 ** (-_GATE_DB / 10)
    loud = np.where(power >= gate, power, 0).sum(axis=1) / (power >= gate).sum(axis=1)
    relative: npt.NDArray[np.float32] = levels - 10 * np.log10(loud)[:, np.newaxis]
    return relative


def _alternate(relative: npt.NDArray[np.float32]) -> bool:
    """Return whether nearly always one channel dominates, and each does at times."""
    ordered = np.sort(relative, axis=0)
    dominant = ordered[-1] - ordered[-2] > _DOMINANT_DB
    owners = np.argmax(relative, axis=0)[dominant]
    shares = np.bincount(owners, minlength=len(relative)) / relative.shape[1]
    return bool(dominant.mean() >= _MIN_DOMINANT_SHARE and shares.min() >= _MIN_OWN_SHARE)


def _are_separate_lines(relative: npt.NDArray[np.float32]) -> bool:
    """
    Return whether of any two channels one is often silent while the other is active.

    True for people who talk over each other on separate lines; a second microphone in the same
    room would pick up both.
    """
    active, silent = relative > -_ACTIVE_DB, relative < -_SILENT_DB
    apart = (silent[:, np.newaxis] & active[np.newaxis]).mean(axis=2)
    either = np.maximum(apart, apart.T)
    np.fill_diagonal(either, 1.0)
    return bool(either.min() >= _MIN_APART_SHARE and active.mean(axis=1).min() >= _MIN_OWN_SHARE)


def select_channels(statistics: ChannelStatistics, mode: ChannelMode) -> list[int] | None:
    """Return the channels to keep separate; None to mix them into one."""
    active = statistics.active_channels()
    if mode == "split":
        return active[:MAX_SPLIT] if len(active) > 1 else None
    return active if mode == "auto" and statistics.are_independent() else None


_MIN_GAP_SECONDS = 0.1  # timestamps jitter by less
_MAX_GAP_SECONDS = 3600.0  # a larger gap is a clock that was set, not a pause
_BLOCK = SAMPLE_RATE_HZ * 2
_TRUNCATED_SHARE = 0.98  # of the duration in the header
_MAX_DAMAGED = 1000


@dataclass
class FrameClock:
    """
    Positions frames by the timestamps of the container.

    Gaps become silence, so that later words keep their times. A clock that jumps back, or ahead
    by more than an hour, was reset (a stream joined late, a wrapped counter): the frames are
    joined and the jump is counted in `jumps`.
    """

    origin: float | None = None
    clock: float = 0.0
    jumps: int = 0

    def gap_before(self, start: float | None, seconds: float, earliest: float) -> float:
        """
        Add a frame of `seconds`; return the seconds of silence to insert before it.

        Args:
            start: timestamp of the frame in seconds, None if it has none.
            earliest: start of the container; audio may start later than video.
        """
        gap = 0.0
        if start is not None:
            if self.origin is None:
                self.origin = min(earliest, start) - self.clock
            gap = self._accept_gap(start - self.origin - self.clock)
        self.clock += gap + seconds
        return gap

    def _accept_gap(self, gap: float) -> float:
        if abs(gap) <= _MIN_GAP_SECONDS:
            return 0.0
        if 0 < gap <= _MAX_GAP_SECONDS:
            return gap
        self.jumps += 1
        self.origin = (self.origin or 0.0) + gap
        return 0.0


@dataclass
class Decoding:
    """One pass over a recording, with its length and warnings."""

    max_duration: float
    samples: int = 0
    warnings: list[TranscriptWarning] = field(default_factory=list)
    _damaged: int = 0
    _frame_clock: FrameClock = field(default_factory=FrameClock)

    def blocks(
        self, media: BinaryIO, channels: int, info: MediaInfo, progress: Progress
    ) -> Iterator[Block]:
        """
        Yield blocks (channels, samples) at 16 kHz; gaps in the timestamps become silence.

        Args:
            info: its duration is used for progress and to detect truncation.

        Raises:
            UnreadableAudio: nothing could be decoded.
            AudioTooLong: the limit was exceeded, whatever the header claims.
        """
        limit = round(self.max_duration * SAMPLE_RATE_HZ)
        for block in self._decode_blocks(media, channels):
            self.samples += block.shape[1]
            if self.samples > limit:
                raise too_long_error(self.max_duration)
            seconds = self.samples / SAMPLE_RATE_HZ
            progress(min(seconds / info.duration, 1.0) if info.duration else 0.0)
            yield block
        known = not has_estimated_duration(info.container, media)
        self._add_warnings(info.duration if known else None, count_missing_bytes(media))

    def _add_warnings(self, claimed: float | None, missing: int) -> None:
        if not self.samples:
            raise UnreadableAudio(
                "No audio could be decoded; the file is damaged or its beginning is missing. "
                "Copy the recording again."
            )
        duration = self.samples / SAMPLE_RATE_HZ
        if claimed and duration < claimed * _TRUNCATED_SHARE - 1.0:
            self._warn(
                "truncated", f"The recording ends after {duration:.0f} of {claimed:.0f} seconds."
            )
        elif missing:
            self._warn(
                "truncated",
                f"The file was cut off; {missing} bytes named in its header are missing.",
            )
        if self._damaged:
            self._warn("damaged", f"Damaged packets that were skipped: {self._damaged}.")
        if self._frame_clock.jumps:
            self._warn(
                "clock_jumps",
                f"Jumps in the recording's clock: {self._frame_clock.jumps}; "
                "times count the audio that was decoded.",
            )

    def _warn(self, code: str, message: str) -> None:
        self.warnings.append(TranscriptWarning(code, message))

    def _decode_blocks(self, media: BinaryIO, channels: int) -> Iterator[Block]:
        """Yield blocks of 2 seconds with finite samples; every later step has a cost per block."""
        return (
            np.nan_to_num(block, copy=False, posinf=0.0, neginf=0.0)
            for block in regroup(self._resampled(media, channels), _BLOCK)
        )

    def _resampled(self, media: BinaryIO, channels: int) -> Iterator[Block]:
        with open_media(media) as (container, stream):
            resampler = Resampler(channels)
            earliest = (container.start_time or 0) / av.time_base
            for frame in self._frames(container, stream):
                seconds = frame.samples / frame.sample_rate
                gap = self._frame_clock.gap_before(frame.time, seconds, earliest)
                if gap:
                    yield from resampler.push(None)
                    yield from _silence(channels, gap)
                yield from resampler.push(frame)
            yield from resampler.push(None)

    def _frames(self, container: InputContainer, stream: AudioStream) -> Iterator[av.AudioFrame]:
        """Yield decoded frames; damaged packets are counted and skipped."""
        packets = container.demux(stream)
        while self._damaged < _MAX_DAMAGED:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except MemoryError:
                raise
            except (av.FFmpegError, ValueError):
                self._damaged += 1
                return
            try:
                frames = packet.decode()
            except av.EOFError:
                return
            except MemoryError:
                raise
            except (av.FFmpegError, ValueError):
                self._damaged += 1
                continue
            yield from (frame for frame in frames if frame.samples and frame.sample_rate)


class Resampler:
    """Converts frames of any format to blocks of `channels` channels at 16 kHz."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._format: tuple[str, str, int] | None = None
        self._resampler: av.AudioResampler | None = None

    def push(self, frame: av.AudioFrame | None) -> Iterator[Block]:
        """Convert a frame; None flushes. A format may change in mid-stream."""
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


def _fitted(block: npt.NDArray[np.generic], channels: int) -> Block:
    """Fit the number of channels: the last one gets the mean of surplus ones."""
    samples = block.astype(np.float32, copy=False)
    if len(samples) == channels:
        return samples
    if len(samples) > channels:
        rest = samples[channels - 1 :].mean(axis=0, keepdims=True)
        return np.concatenate([samples[: channels - 1], rest])
    return np.concatenate([samples, np.repeat(samples[-1:], channels - len(samples), axis=0)])


def _silence(channels: int, seconds: float) -> Iterator[Block]:
    left = round(seconds * SAMPLE_RATE_HZ)
    while left > 0:
        size = min(left, _BLOCK)
        yield np.zeros((channels, size), dtype=np.float32)
        left -= size


@dataclass(frozen=True)
class PyavDecoder(Prober):
    """An AudioDecoder on PyAV, whose wheel carries FFmpeg."""

    def open(self, working: BinaryIO, prepared: PreparedAudio) -> AudioSource:
        return WorkingAudio(working, prepared)

    def prepare(
        self, media: BinaryIO, working: BinaryIO, options: Options, progress: Progress
    ) -> tuple[PreparedAudio, Peaks]:
        info = self.probe(media)
        if info.channels == 1:
            return self._write(media, working, info, progress)
        with self.scratch() as spread:
            return self._mix(media, spread, working, info, options, progress)

    def _write(
        self, media: BinaryIO, working: BinaryIO, info: MediaInfo, progress: Progress
    ) -> tuple[PreparedAudio, Peaks]:
        decoding = Decoding(self.max_duration)
        meter = _Meters(1)
        writer = FlacWriter(working, 1)
        for block in decoding.blocks(media, 1, info, progress):
            writer.write(block)
            meter.add(block)
        writer.close()
        return meter.result(decoding, 1)

    def _mix(
        self,
        media: BinaryIO,
        spread: BinaryIO,
        working: BinaryIO,
        info: MediaInfo,
        options: Options,
        progress: Progress,
    ) -> tuple[PreparedAudio, Peaks]:
        """Store all channels first, since the mix depends on the whole recording."""
        channels = min(info.channels, MAX_SPLIT)
        decoding = Decoding(self.max_duration)
        statistics = ChannelStatistics(channels)
        writer = FlacWriter(spread, channels)
        for block in decoding.blocks(media, channels, info, lambda s: progress(0.8 * s)):
            writer.write(block)
            statistics.add(block)
        writer.close()
        kept = select_channels(statistics, options.channels)
        mix = statistics.mix_weights()[np.newaxis] if kept is None else np.eye(channels)[kept]
        meter, writer = _Meters(len(mix)), FlacWriter(working, len(mix))
        done = 0
        for block in read_blocks(spread):
            mixed = (mix @ block).astype(np.float32)
            writer.write(mixed)
            meter.add(mixed)
            done += mixed.shape[1]
            progress(0.8 + 0.2 * min(done / max(decoding.samples, 1), 1.0))
        writer.close()
        return meter.result(decoding, len(mix))


class _Meters:
    """Measures loudness and peaks of the working audio."""

    def __init__(self, channels: int) -> None:
        self._loudness = LoudnessMeter(channels)
        self._peaks = PeakMeter()

    def add(self, block: Block) -> None:
        self._loudness.add(block)
        self._peaks.add(block)

    def result(self, decoding: Decoding, channels: int) -> tuple[PreparedAudio, Peaks]:
        duration = decoding.samples / SAMPLE_RATE_HZ
        gains = self._loudness.gains_db()
        prepared = PreparedAudio(duration, channels, gains, tuple(decoding.warnings))
        return prepared, self._peaks.peaks()
