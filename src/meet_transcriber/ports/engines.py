"""Ports of the audio decoder and the engines."""

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeAlias, TypeVar, runtime_checkable

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

In = TypeVar("In")
Out = TypeVar("Out")

SAMPLE_RATE_HZ = 16_000

Waveform: TypeAlias = "npt.NDArray[np.float32]"
"""(samples,) float32 in [-1, 1], mono, 16 kHz."""

Finding = Segment | Removed | TranscriptWarning
"""What a recognizer reports: words, a removed span, or a warning."""


class Progress(Protocol):
    """Receives the progress of a task, and may cancel it."""

    def __call__(self, share: float, /) -> None:
        """Report the share done, in [0, 1]; raises JobCancelled, which must pass through."""
        ...


class AudioProber(Protocol):
    """Reads the properties of recordings."""

    def probe(self, media: BinaryIO) -> MediaInfo:
        """
        Read the properties of a recording without decoding it.

        Raises:
            UnsupportedFormat, UnreadableAudio, AudioTooLong: with the reason.
        """
        ...


@runtime_checkable
class AudioDecoder(AudioProber, Protocol):
    """Converts any audio or video file to working audio, streaming."""

    def prepare(
        self, media: BinaryIO, working: BinaryIO, options: Options, progress: Progress
    ) -> tuple[PreparedAudio, Peaks]:
        """
        Decode `media` once and write its working audio, 16 kHz FLAC, to `working`.

        Raises:
            UnsupportedFormat, UnreadableAudio, AudioTooLong: with the reason.
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
        Return the samples from `start` to `end` seconds, clipped to the recording:
        round(start * 16000) up to round(end * 16000).

        Raises:
            UnreadableAudio: the working audio is damaged.
        """
        ...


class SpeechDetector(Protocol):
    """Detects speech."""

    def detect(self, audio: AudioSource, channel: int, progress: Progress) -> tuple[Span, ...]:
        """Return the spans of speech, in order and disjoint."""
        ...


class Recognizer(Protocol):
    """Turns speech into timed words."""

    @property
    def name(self) -> str:
        """Engine, model, precision and device, as shown in results."""
        ...

    def check(self, options: Options) -> None:
        """
        Check before any work that the engine supports the options.

        Raises:
            InvalidOptions: it does not, for example because it supports one language only.
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
                no words are recognized outside it.
            options: language, task, hotwords and prompt are used here.
            progress: receives the share decoded.

        Raises:
            EngineUnavailable: the package, the weights or the memory is missing.
            InvalidOptions: the engine does not support the language or task.
            RecognitionFailed: decoding failed; the engine's error is the cause.
        """
        ...


class Diarizer(Protocol):
    """Determines who speaks when."""

    @property
    def name(self) -> str:
        """Engine and model, as shown in results."""
        ...

    def diarize(
        self, audio: AudioSource, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Diarization:
        """
        Return turns labelled `SPEAKER_00`, ... in order of first speech.

        Args:
            audio: the whole recording.
            speech: where speech was detected, in seconds; an engine may find more.
            options: num_speakers, min_speakers and max_speakers are used here.

        Raises:
            EngineUnavailable: the package, the weights or the memory is missing.
            DiarizationFailed: it failed; the engine's error is the cause.
        """
        ...


@runtime_checkable
class VoiceEmbedder(Protocol):
    """Computes embeddings of voices, by which speakers are identified in other recordings."""

    def voice(self, audio: AudioSource, speech: Sequence[Span], progress: Progress) -> Voice | None:
        """
        Return the voice of a recording of one person; None if it has too little speech.

        Args:
            speech: where speech was detected, in seconds.
            progress: called every few seconds of work; its errors pass through.

        Raises:
            DiarizationFailed: the engine failed.
            EngineUnavailable: the package, the weights or the memory is missing.
        """
        ...


_CGROUP = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def usable_cores(cgroup: Path = _CGROUP) -> int:
    """
    Return the number of CPU cores for this process: OMP_NUM_THREADS, else what affinity and
    container limits allow.

    A container with a CPU limit sees all cores of its machine; more threads than the limit
    slow each other down.
    """
    configured = os.environ.get("OMP_NUM_THREADS", "")
    if configured.isdecimal() and int(configured) > 0:
        return int(configured)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(allowed or 1, _quota(cgroup) or allowed or 1)


def _quota(cgroup: Path) -> int | None:
    """Return the CPU limit of the container in cores (cgroup v2, else v1); None without one."""
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


_MEMORY_LIMITS = {"": ("", "memory.max"), "memory": ("memory", "memory.limit_in_bytes")}
"""Controllers in /proc/self/cgroup (v2 names none): where they are mounted, and their limit."""


def usable_memory(cgroup: Path = _CGROUP, own: Path = _OWN_CGROUP) -> int:
    """
    Return the bytes of memory that this process may use: the least of what the machine has and
    what its control groups (v1 or v2), those of its container and service, allow.
    """
    return min([_machine_memory(), *_memory_limits(cgroup, own)])


def _machine_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 1 << 62


def _memory_limits(cgroup: Path, own: Path) -> Iterator[int]:
    """Yield the limits of this process's groups, and of those that contain them."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = ["0::/"]
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for name in {"", "memory"} & set(controllers.split(",")):
            mount, limit = _MEMORY_LIMITS[name]
            group = Path(path.lstrip("/"))
            for each in (group, *group.parents):  # in a container, only the root can be seen
                with suppress(OSError, ValueError):  # "max" is no limit
                    yield int((cgroup / mount / each / limit).read_text())


def map_concurrently(
    function: Callable[[In], Out], items: Iterable[In], threads: int
) -> Iterator[Out]:
    """Yield results in order; items are consumed a few ahead, so that memory is bounded."""
    waiting: deque[Future[Out]] = deque()
    with ThreadPoolExecutor(threads, "engine") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
