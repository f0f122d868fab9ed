"""Converts any recording to working audio in one streaming pass: decode, resample, mix, level."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import InputContainer

from meet_transcriber.audio.levels import (
    ChannelStatistics,
    LoudnessMeter,
    PeakMeter,
    select_channels,
)
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
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import TranscriptWarning
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, AudioSource, Progress

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
            gap = start - self.origin - self.clock
            if not -_MIN_GAP_SECONDS <= gap <= _MAX_GAP_SECONDS:
                self.jumps += 1
                self.origin += gap
            if not _MIN_GAP_SECONDS < gap <= _MAX_GAP_SECONDS:
                gap = 0.0
        self.clock += gap + seconds
        return gap


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
        # two seconds each, since every later step has a cost per block
        for block in regroup(self._resampled(media, channels), _BLOCK):
            np.nan_to_num(block, copy=False, posinf=0.0, neginf=0.0)
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
            packet = None
            try:
                packet = next(packets)
                frames = packet.decode()
            except (StopIteration, av.EOFError):
                return
            except MemoryError:
                raise
            except (av.FFmpegError, ValueError):
                self._damaged += 1
                if packet is None:  # after an error of the container there is nothing more
                    return
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
            return
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
        info, decoding = self.probe(media), Decoding(self.max_duration)
        if info.channels == 1:
            return _write(decoding, decoding.blocks(media, 1, info, progress), working, 1)
        channels = min(info.channels, MAX_SPLIT)
        with self.scratch() as spread:
            # all channels are stored first, since the mix depends on the whole recording
            statistics, writer = ChannelStatistics(channels), FlacWriter(spread, channels)
            for block in decoding.blocks(media, channels, info, lambda s: progress(0.8 * s)):
                writer.write(block)
                statistics.add(block)
            writer.close()
            kept = select_channels(statistics, options.channels)
            mix = statistics.mix_weights()[np.newaxis] if kept is None else np.eye(channels)[kept]
            mixed = _mixed(spread, mix, decoding.samples, progress)
            return _write(decoding, mixed, working, len(mix))


def _mixed(
    spread: BinaryIO, mix: npt.NDArray[Any], samples: int, progress: Progress
) -> Iterator[Block]:
    """Yield blocks of all channels of a file times the matrix `mix` (new channels, channels)."""
    done = 0
    for block in read_blocks(spread):
        yield (mix @ block).astype(np.float32)
        done += block.shape[1]
        progress(0.8 + 0.2 * min(done / max(samples, 1), 1.0))


def _write(
    decoding: Decoding, blocks: Iterable[Block], working: BinaryIO, channels: int
) -> tuple[PreparedAudio, Peaks]:
    """Write working audio and measure its levels."""
    writer, loudness, peaks = FlacWriter(working, channels), LoudnessMeter(channels), PeakMeter()
    for block in blocks:
        writer.write(block)
        loudness.add(block)
        peaks.add(block)
    writer.close()
    duration = decoding.samples / SAMPLE_RATE_HZ
    warnings = tuple(decoding.warnings)
    return PreparedAudio(duration, channels, loudness.gains_db(), warnings), peaks.peaks()
