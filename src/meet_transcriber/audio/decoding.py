"""One pass over a recording: its sound on its own clock, and what was noticed on the way."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer

from meet_transcriber.audio.claims import is_estimated, missing_bytes
from meet_transcriber.audio.probe import opened, too_long
from meet_transcriber.audio.resampling import Block, Resampler, gathered
from meet_transcriber.core.errors import UnreadableAudio
from meet_transcriber.core.media import MediaInfo
from meet_transcriber.core.transcript import TranscriptWarning
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Progress

_HOLE_SECONDS = 0.1  # timestamps jitter by less than this
_LONGEST_HOLE_SECONDS = 3600.0  # a longer one is a clock that was set, not a pause
_BLOCK = SAMPLE_RATE_HZ * 2
_TRUNCATED_SHARE = 0.98  # of the length the header claims
_MAX_DAMAGED = 1000


@dataclass
class Timeline:
    """
    Where a frame belongs, by the container's timestamps.

    Holes become silence, so that later words keep their times. A clock that jumps back, or
    ahead by more than an hour, was set anew (a stream joined late, a wrapped counter): the
    frames follow on each other and the jump is counted in `jumps`.
    """

    origin: float | None = None
    clock: float = 0.0
    jumps: int = 0

    def hole_before(self, start: float | None, seconds: float, earliest: float) -> float:
        """
        Take in a frame of `seconds`; return the seconds of silence that belong before it.

        Args:
            start: the frame's timestamp in seconds, None where there is none.
            earliest: where the container starts; the sound may begin later than the pictures.
        """
        hole = 0.0
        if start is not None:
            if self.origin is None:
                self.origin = min(earliest, start) - self.clock
            hole = self._judged(start - self.origin - self.clock)
        self.clock += hole + seconds
        return hole

    def _judged(self, gap: float) -> float:
        if abs(gap) <= _HOLE_SECONDS:
            return 0.0
        if 0 < gap <= _LONGEST_HOLE_SECONDS:
            return gap
        self.jumps += 1
        self.origin = (self.origin or 0.0) + gap
        return 0.0


@dataclass
class Decoding:
    """One pass over a recording."""

    max_duration: float
    samples: int = 0
    warnings: list[TranscriptWarning] = field(default_factory=list)
    _damaged: int = 0
    _timeline: Timeline = field(default_factory=Timeline)

    def blocks(
        self, media: BinaryIO, channels: int, info: MediaInfo, progress: Progress
    ) -> Iterator[Block]:
        """
        Yield (channels, samples) at 16 kHz; holes in the timestamps come as silence.

        Args:
            info: the duration it gives serves progress, and to notice a lack.

        Raises:
            UnreadableAudio: nothing could be decoded.
            AudioTooLong: the limit was passed, whatever the header claimed.
        """
        limit = round(self.max_duration * SAMPLE_RATE_HZ)
        for block in self._gathered(media, channels):
            self.samples += block.shape[1]
            if self.samples > limit:
                raise too_long(self.max_duration)
            seconds = self.samples / SAMPLE_RATE_HZ
            progress(min(seconds / info.duration, 1.0) if info.duration else 0.0)
            yield block
        known = not is_estimated(info.container, media)
        self._judge(info.duration if known else None, missing_bytes(media))

    def _judge(self, claimed: float | None, lacking: int) -> None:
        if not self.samples:
            raise UnreadableAudio(
                "No sound could be decoded; the file is damaged or was cut off at its beginning. "
                "Copy the recording again."
            )
        duration = self.samples / SAMPLE_RATE_HZ
        if claimed and duration < claimed * _TRUNCATED_SHARE - 1.0:
            self._warn(
                "truncated", f"The recording ends after {duration:.0f} of {claimed:.0f} seconds."
            )
        elif lacking:
            self._warn(
                "truncated", f"The file was cut off; {lacking} bytes its header names are missing."
            )
        if self._damaged:
            self._warn("damaged", f"Damaged places that were skipped: {self._damaged}.")
        if self._timeline.jumps:
            self._warn(
                "clock_jumps",
                f"Jumps in the recording's clock: {self._timeline.jumps}; "
                "times count the sound that is there.",
            )

    def _warn(self, code: str, message: str) -> None:
        self.warnings.append(TranscriptWarning(code, message))

    def _gathered(self, media: BinaryIO, channels: int) -> Iterator[Block]:
        """Blocks of some seconds, since each step that follows has its price per block."""
        return (
            np.nan_to_num(block, copy=False)
            for block in gathered(self._resampled(media, channels), _BLOCK)
        )

    def _resampled(self, media: BinaryIO, channels: int) -> Iterator[Block]:
        with opened(media) as (container, stream):
            resampler = Resampler(channels)
            earliest = (container.start_time or 0) / av.time_base
            for frame in self._frames(container, stream):
                seconds = frame.samples / frame.sample_rate
                hole = self._timeline.hole_before(frame.time, seconds, earliest)
                if hole:
                    yield from resampler.push(None)
                    yield from _silence(channels, hole)
                yield from resampler.push(frame)
            yield from resampler.push(None)

    def _frames(self, container: InputContainer, stream: AudioStream) -> Iterator[av.AudioFrame]:
        """Decoded frames; damaged packets are counted and passed over."""
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


def _silence(channels: int, seconds: float) -> Iterator[Block]:
    left = round(seconds * SAMPLE_RATE_HZ)
    while left > 0:
        size = min(left, _BLOCK)
        yield np.zeros((channels, size), dtype=np.float32)
        left -= size
