"""What the pipeline asks of the outside world; adapters answer.

Arrays are numpy; times are seconds; audio is 16 kHz mono float32 in [-1, 1].
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from meet_transcriber.core.jobs import Backlog, Job, JobQuery, WorkerInfo
from meet_transcriber.core.media import MediaInfo, Peaks, PreparedAudio
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import (
    Diarization,
    Removed,
    Segment,
    Span,
    TranscriptWarning,
)

SAMPLE_RATE_HZ = 16_000

Waveform = npt.NDArray[np.float32]
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


class AudioDecoder(Protocol):
    """Turns any audio or video file into working audio, streaming."""

    def probe(self, media: BinaryIO) -> MediaInfo:
        """
        Look at a recording without decoding it.

        Raises:
            UnsupportedFormat, UnreadableAudio, AudioTooLong: with the reason in words.
        """
        ...

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
        self, audio: Waveform, speech: Sequence[Span], options: Options
    ) -> Iterator[Finding]:
        """
        Yield findings in time order while decoding, so that callers can report progress.

        Args:
            audio: one part of a recording, a few minutes.
            speech: where speech was detected, in seconds from the start of `audio`;
                no words are made up outside it.
            options: language, task, hotwords and prompt are used here.

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
            speech: where speech was detected, in seconds.
            options: the hints num_speakers, min_speakers and max_speakers are honoured.

        Raises:
            EngineUnavailable: the package, the weights or the memory is missing.
            DiarizationFailed: it stopped; the engine's own error is the cause.
        """
        ...


class Clock(Protocol):
    """Tells the time; tests bring their own."""

    def __call__(self) -> float:
        """Seconds since 1970."""
        ...


class ObjectWriter(Protocol):
    """Takes the bytes of one object."""

    def write(self, data: bytes, /) -> object:
        """
        Take some more bytes.

        Raises:
            StorageFull: there is no room for them; says which setting gives more.
            StorageError: they cannot be written.
        """
        ...


class MediaStore(Protocol):
    """Objects of one installation by key: recordings, working audio, parts, transcripts.

    Keys are relative paths of letters, digits, `.`, `_`, `-` and `/`.
    """

    def put(self, key: str, data: bytes | BinaryIO) -> None:
        """Write an object whole or not at all; an existing one is replaced."""
        ...

    def writer(self, key: str) -> AbstractContextManager[ObjectWriter]:
        """
        Write an object piece by piece, with bounded memory and no second copy on disk.

        It appears when the context ends well, in place of an older one; after an exception
        nothing of it remains. Of several writers of one key the one that ends last counts.

        Raises:
            StorageFull, StorageError: as `ObjectWriter.write` does, when the context ends.
        """
        ...

    def get(self, key: str) -> bytes:
        """
        Return an object's bytes.

        Raises:
            StorageError: there is no such object, or it cannot be read.
        """
        ...

    def open(self, key: str) -> BinaryIO:
        """
        Open an object for reading, seekable, read as needed with bounded memory.

        Where it is replaced or deleted meanwhile, reading goes on with its old bytes or raises
        StorageError, depending on the store; it never gets bytes of another object.

        Raises:
            StorageError: as `get` does; so do the reads.
        """
        ...

    def size(self, key: str) -> int:
        """Bytes of an object; raises StorageError as `get` does."""
        ...

    def exists(self, key: str) -> bool:
        """Whether there is an object of this key."""
        ...

    def keys(self, prefix: str) -> list[str]:
        """The keys that are `prefix` or lie below it, in order; nothing half written."""
        ...

    def delete(self, prefix: str) -> None:
        """Remove every object whose key is `prefix` or lies below it."""
        ...

    def tidy(self, older_than_seconds: float) -> int:
        """
        Remove what writers that died left behind; returns how many of them there were.

        A writer that wrote nothing for so long counts as dead, and fails when it goes on.
        """
        ...

    def ping(self) -> None:
        """
        Find out whether objects can be kept at all.

        Raises:
            StorageError: they cannot, with the reason.
        """
        ...


class JobStore(Protocol):
    """
    The records of all jobs, and small indexes of them.

    A record and its index entry (`core.jobs.index_entry`) change together or not at all.
    """

    def create(self, job: Job) -> Job:
        """
        Keep a new record; returns it with its version.

        Where its `idempotency_key` belongs to a job already, nothing is written and that job
        is returned.
        """
        ...

    def get(self, job_id: str) -> Job:
        """
        Return a record, deleted ones too.

        Raises:
            JobNotFound: there is none.
        """
        ...

    def version(self, job_id: str) -> int:
        """The record's version, read without the record; raises JobNotFound."""
        ...

    def update(self, job_id: str, change: Callable[[Job], Job]) -> Job:
        """
        Replace a record by what a pure function makes of it, atomically.

        The function may be called several times. Returns the new record, its version one
        higher; the old one, unwritten, where the function returned the very record it got.

        Raises:
            JobNotFound: there is none.
            TranscriptionError: whatever the function raises; then nothing was written.
        """
        ...

    def remove(self, job_id: str) -> None:
        """Forget a record, its index entry and its idempotency key; none is no error."""
        ...

    def ready(self, queues: Sequence[str], limit: int) -> list[str]:
        """Jobs with a ready task in one of these queues, by `IndexEntry.order`."""
        ...

    def due(self, now: float, limit: int) -> list[str]:
        """Jobs whose `due_at` has come, earliest first."""
        ...

    def page(self, query: JobQuery) -> list[Job]:
        """
        Up to `query.limit` jobs that the query admits, in its order.

        Raises:
            JobNotFound: `query.after` names no job.
        """
        ...

    def ahead(self, job: Job) -> int:
        """How many pending jobs that are listed were made before this one."""
        ...

    def backlog(self) -> Backlog:
        """What waits and runs, over all jobs."""
        ...

    def find_by_key(self, idempotency_key: str) -> Job | None:
        """The job that was made with this key."""
        ...

    def note_worker(self, worker: WorkerInfo, seconds: float) -> None:
        """Remember what a worker says of itself for so long."""
        ...

    def forget_worker(self, worker_id: str) -> None:
        """The worker has gone in good order."""
        ...

    def workers(self, now: float) -> list[WorkerInfo]:
        """The workers that were heard of lately, by id."""
        ...

    def lock(self, name: str, holder: str, seconds: float, now: float) -> bool:
        """Take or keep a lock for so long; False when somebody else holds it."""
        ...

    def remember(self, name: str, value: str) -> None:
        """Keep a small fact, such as the measured speed."""
        ...

    def recall(self, name: str) -> str | None:
        """A fact that was remembered."""
        ...

    def ping(self) -> None:
        """
        Find out whether the store answers.

        Raises:
            StorageUnavailable: it does not, with the reason.
        """
        ...

    def close(self) -> None:
        """Give up connections."""
        ...


class Fetched(Protocol):
    """A recording that is being fetched."""

    @property
    def name(self) -> str:
        """What its sender calls it, as a plain file name."""
        ...

    @property
    def size(self) -> int | None:
        """Bytes announced; None where they were not."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """
        Yield its bytes as they come.

        Raises:
            UploadTooLarge: there are more than the limit allows.
            FetchError: the connection broke, or it took too long.
        """
        ...


class UrlFetcher(Protocol):
    """Fetches recordings from addresses that this service may connect to."""

    def check(self, url: str) -> None:
        """Refuse what may not be called at all; raises AddressRefused or FetchError."""
        ...

    def fetch(self, url: str) -> AbstractContextManager[Fetched]:
        """Open a download; raises AddressRefused, FetchError or UploadTooLarge."""
        ...


class Delivery(Protocol):
    """How one attempt to deliver a webhook went."""

    @property
    def outcome(self) -> str:
        """`delivered`, `retry`, or `gone` and `refused`, which are final."""
        ...

    @property
    def retry_after(self) -> float | None:
        """Seconds that the receiver asked to be left alone."""
        ...


class WebhookSender(Protocol):
    """Posts signed messages to permitted addresses."""

    def send(
        self, url: str, body: bytes, *, message_id: str, timestamp: int, secret: str | None
    ) -> Delivery:
        """Try once; a receiver that cannot be reached is an outcome, not an error."""
        ...


class TextIndex(Protocol):
    """Full text of finished transcripts, where the store can search."""

    def put_text(self, job_id: str, text: str) -> None:
        """
        Make a transcript's text searchable, in place of what was there.

        It goes with its job; for a job that has gone nothing is kept.
        """
        ...

    def find_text(self, query: str, limit: int) -> list[str]:
        """
        Listed jobs whose text has all words of the query, best first.

        Case and accents do not matter; where a script puts no spaces between words, any
        part of the text is a word. A query without a word finds nothing.
        """
        ...


class JobQueue(Protocol):
    """
    Tells workers that there is something to do.

    A message is a permit, not a task: who gets it claims whatever is next in its queue, and
    finds out then whether there is anything. So a message that comes twice does no harm, and
    `length` may count too few but never too many for long.
    """

    def nudge(self, queue: str, job_id: str, task: str) -> None:
        """
        Say that this task became ready.

        Raises:
            StorageUnavailable: the broker does not answer; tending says it again later.
        """
        ...

    def length(self, queue: str) -> int:
        """Messages that nobody has taken yet; raises StorageUnavailable as `nudge` does."""
        ...

    def ping(self) -> None:
        """Find out whether messages go out; raises StorageUnavailable as `nudge` does."""
        ...

    def close(self) -> None:
        """Give up connections; an embedded worker ends."""
        ...
