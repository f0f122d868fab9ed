"""Ports of the audio decoder and the engines."""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeAlias, runtime_checkable

from meet_transcriber.core.media import MediaInfo, Peaks, PreparedAudio
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import (
    Diarization,
    Removed,
    Segment,
    Span,
    TranscriptWarning,
    Voice,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SAMPLE_RATE_HZ = 16_000

Waveform: TypeAlias = "npt.NDArray[np.float32]"
"""(samples,) float32 in [-1, 1], mono, 16 kHz."""

Finding = Segment | Removed | TranscriptWarning
"""What a recognizer reports: words, a span it cut, or something in doubt."""


class Progress(Protocol):
    """Hears how much of a task is done, and may stop it."""

    def __call__(self, share: float, /) -> None:
        """
        Take note of the share done, in [0, 1].

        Raises:
            JobCancelled: the caller wants the task to end; let it pass through.
        """
        ...


class AudioProber(Protocol):
    """Looks at recordings."""

    def probe(self, media: BinaryIO) -> MediaInfo:
        """
        Look at a recording without decoding it.

        Raises:
            UnsupportedFormat, UnreadableAudio, AudioTooLong: with the reason in words.
        """
        ...


@runtime_checkable
class AudioDecoder(AudioProber, Protocol):
    """Turns any audio or video file into working audio, streaming."""

    def prepare(
        self, media: BinaryIO, working: BinaryIO, options: Options, progress: Progress
    ) -> tuple[PreparedAudio, Peaks]:
        """
        Decode `media` once and write its working audio, 16 kHz FLAC, to `working`.

        Raises:
            UnsupportedFormat, UnreadableAudio, AudioTooLong: with the reason in words.
        """
        ...

    def open(self, working: BinaryIO, prepared: PreparedAudio) -> "AudioSource":
        """Open working audio that `prepare` wrote."""
        ...


class AudioSource(Protocol):
    """The working audio of one recording: 16 kHz, level-normalized, random access."""

    @property
    def duration(self) -> float:
        """Seconds of audio."""
        ...

    @property
    def channels(self) -> int:
        """Independent channels kept; 1 unless the recording was split."""
        ...

    def read(self, start: float, end: float, channel: int = 0) -> Waveform:
        """
        Return the samples from `start` to `end` seconds, sample-exact, cut at the ends
        of the recording: round(start * 16000) up to round(end * 16000).

        Raises:
            UnreadableAudio: the working audio is damaged.
        """
        ...


class SpeechDetector(Protocol):
    """Tells speech from everything else."""

    def detect(self, audio: AudioSource, channel: int, progress: Progress) -> tuple[Span, ...]:
        """Return the spans that hold speech, in order, apart from each other."""
        ...


class Recognizer(Protocol):
    """Turns speech into timed words."""

    @property
    def name(self) -> str:
        """Engine, model, precision and device, as results should show it."""
        ...

    def check(self, options: Options) -> None:
        """
        Say before any work whether the engine can do what is asked.

        Raises:
            InvalidOptions: it cannot, for example because it knows one language only.
        """
        ...

    def recognize(
        self, audio: Waveform, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Iterator[Finding]:
        """
        Yield findings in time order.

        Args:
            audio: one part of a recording, a few minutes.
            speech: where speech was detected, in seconds from the start of `audio`;
                no words are made up outside it.
            options: language, task, hotwords and prompt are used here.
            progress: hears the share that is decoded.

        Raises:
            EngineUnavailable: the package, the weights or the memory is missing.
            InvalidOptions: the engine cannot do what was asked (language, task).
            RecognitionFailed: decoding stopped; the engine's own error is the cause.
        """
        ...


class Diarizer(Protocol):
    """Finds out who speaks when."""

    @property
    def name(self) -> str:
        """Engine and model, as results should show it."""
        ...

    def diarize(
        self, audio: AudioSource, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Diarization:
        """
        Return turns labelled `SPEAKER_00`, ... in order of first speech.

        Args:
            audio: the whole recording.
            speech: where speech was detected, in seconds; an engine may find more by itself.
            options: the hints num_speakers, min_speakers and max_speakers are honoured.

        Raises:
            EngineUnavailable: the package, the weights or the memory is missing.
            DiarizationFailed: it stopped; the engine's own error is the cause.
        """
        ...


@runtime_checkable
class VoiceEmbedder(Protocol):
    """Says what a voice sounds like, so that it is known again elsewhere."""

    def voice(self, audio: AudioSource, speech: Sequence[Span], progress: Progress) -> Voice | None:
        """
        Return the voice of a recording of one person; None where too little is said.

        Args:
            speech: where speech was detected, in seconds.
            progress: called every few seconds of work; what it raises passes through.

        Raises:
            DiarizationFailed: the engine broke.
            EngineUnavailable: the package, the weights or the memory is missing.
        """
        ...


_CGROUP = Path("/sys/fs/cgroup")


def usable_cores(cgroup: Path = _CGROUP) -> int:
    """
    Return the CPU cores of this process: OMP_NUM_THREADS, else what the scheduler and the
    container allow.

    A container with a limit sees every core of its machine, and more threads than it may run only
    get in each other's way.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(allowed or 1, _quota(cgroup) or allowed or 1)


def _quota(cgroup: Path) -> int | None:
    """Cores that the container's limit amounts to (cgroup v2, else v1); None without one."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not quota.isdecimal() or not period.isdecimal() or int(period) == 0:
        return None
    return max(math.ceil(int(quota) / int(period)), 1)
