"""Reads jobs: status, lists, transcripts, exports, search, and the length of the queues."""

import copy
import math
import re
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from threading import Lock
from typing import Any, BinaryIO, Generic, TypeVar

from meet_transcriber.core.edits import Edited, EditLog, Snapshot, Snapshots, edited_since
from meet_transcriber.core.errors import (
    InvalidOptions,
    JobNotFound,
    JobNotReady,
    StorageError,
    StorageUnavailable,
)
from meet_transcriber.core.formats import export
from meet_transcriber.core.jobs import QUEUES, SHOWN, Backlog, Job, JobQuery
from meet_transcriber.core.languages import fold
from meet_transcriber.core.plan import PartResult
from meet_transcriber.core.serialization import from_json
from meet_transcriber.core.transcript import Segment, Transcript
from meet_transcriber.core.transitions import SNAPSHOT
from meet_transcriber.ports.stores import JobQueue, JobStore
from meet_transcriber.service.context import ServiceContext
from meet_transcriber.service.uploads import open_recording, size_of

T = TypeVar("T")

_RECORDS, _PARTS = 1024, 32
_TRANSCRIPTS = 4  # few, because they are large; an edited one shares most words with the original
_BACKLOG_SECONDS = 0.5  # each status of a waiting job needs it, and it reads all active jobs
_SCANNED_JOBS = 200  # each of which is read from the media store
SEARCH_SECONDS = 0.5
"""Processor time after which a search returns what it has found."""
SEARCH_WAIT_SECONDS = 10.0
"""The same with the time in which the media store is waited for."""
MOST_SEARCH_WORDS, MOST_SEARCH_CHARACTERS = 100, 500
"""Each word is looked up in the index, and in each segment of the meetings that are found."""
_PUNCTUATION = re.compile(r"^\W+|\W+$")


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a job may still take.

    Attributes:
        position: 1 for the next job to begin; None once it has begun.
        seconds: until its end, from measured speed; None if unknown.
    """

    position: int | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Hit:
    """A completed meeting that matches a search, and its matching segments."""

    job: Job
    segments: tuple[tuple[int, Segment], ...]


@dataclass(frozen=True, slots=True)
class Found:
    """Matching meetings; `complete` says whether all meetings were searched."""

    hits: tuple[Hit, ...]
    complete: bool


class JobQueries:
    """Reads jobs of one tenant or of all; safe for several threads."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context
        self.tenant: str | None = None
        self._records: _LruCache[Job] = _LruCache(_RECORDS)
        self._machine: _LruCache[Transcript] = _LruCache(_TRANSCRIPTS)
        self._edited: _LruCache[Edited] = _LruCache(_TRANSCRIPTS)
        self._parts: _LruCache[PartResult] = _LruCache(_PARTS)
        # a list, which the copies of tenants share
        self._load: list[tuple[float, Backlog, float | None]] = [(-math.inf, Backlog(), None)]

    def for_tenant(self, tenant: str) -> "JobQueries":
        """The same queries, with shared caches, restricted to one tenant's jobs."""
        narrowed = copy.copy(self)
        narrowed.tenant = tenant
        return narrowed

    def job(self, job_id: str) -> Job:
        """A job's record as it is now; raises JobNotFound if there is none, or it is hidden."""
        # The version is read from an index, and a record only once for each version.
        version = self._context.jobs.version(job_id)
        job = self._records.get((job_id, version), lambda: self._context.jobs.get(job_id))
        hidden = job.deleted or job.state not in SHOWN
        if hidden or self.tenant not in {None, job.tenant}:
            raise JobNotFound(f"There is no job {job_id}.")
        return job

    def version(self, job_id: str) -> int:
        """The record's version, without reading it; raises JobNotFound."""
        return self._context.jobs.version(job_id)

    def position(self, job: Job) -> int | None:
        """The job's place in the queue, 1 for the next to begin; None once it has begun."""
        return self._context.jobs.count_ahead(job) + 1 if job.state == "pending" else None

    def positions(self, jobs: Sequence[Job]) -> list[int]:
        """
        The places of pending jobs that were created one after another.

        Where jobs are as many places apart as there are jobs between them, those between are not
        looked up: mostly two are, as only jobs of other tenants may stand between.
        """
        if not jobs:
            return []
        places = [0] * len(jobs)
        last = len(jobs) - 1
        for at in {0, last}:
            places[at] = self._context.jobs.count_ahead(jobs[at]) + 1
        spans = [(0, last)]
        while spans:
            first, last = spans.pop()
            if places[last] - places[first] == last - first:
                places[first : last + 1] = range(places[first], places[last] + 1)
            elif last - first > 1:
                middle = (first + last) // 2
                places[middle] = self._context.jobs.count_ahead(jobs[middle]) + 1
                spans += (first, middle), (middle, last)
        return places

    def page(self, query: JobQuery) -> list[Job]:
        """Jobs in order of creation; raises JobNotFound if `after` is not a job."""
        if self.tenant is not None:
            query = replace(query, tenant=self.tenant)
        return self._context.jobs.page(query)

    def with_key(self, idempotency_key: str) -> Job | None:
        """The job that was made with this key, while it is still being received too."""
        return self._context.jobs.find_by_key(idempotency_key, self.tenant or "")

    def wait(self, job: Job, position: int | None = None) -> Wait:
        """A job's position in the queue, looked up unless given, and its estimated duration."""
        if job.ended:
            return Wait(None, None)
        position = position or self.position(job)
        if job.duration is None:
            return Wait(position, None)
        (backlog, rtf), own = self._work_left(), job.duration * (1.0 - job.progress)
        # Workers take turns between jobs, so one that runs waits for as much audio of each other.
        share = backlog.jobs.get("processing", 0) + (1 if position else 0)
        audio = backlog.seconds_left if position else min(own * share, backlog.seconds_left)
        return Wait(position, None if rtf is None else max(audio, own) * rtf)

    def backlog(self) -> Backlog:
        """Waiting and running work; up to half a second old."""
        return self._work_left()[0]

    def _work_left(self) -> tuple[Backlog, float | None]:
        """Waiting and running work, and the speed of the workers; up to half a second old."""
        now = self._context.clock()
        taken, backlog, rtf = self._load[0]
        if not 0 <= now - taken < _BACKLOG_SECONDS:
            backlog, rtf = self._context.jobs.backlog(), self._context.rtf()
            self._load[0] = (now, backlog, rtf)
        return backlog, rtf

    # -- results ---------------------------------------------------------------------------

    def transcript(self, job_id: str) -> tuple[Job, Transcript]:
        """
        A completed job with its edited transcript.

        Raises:
            JobNotFound: there is no such job.
            JobNotReady: it is not completed.
        """
        job, found = self.edited_transcript(job_id)
        return job, found.transcript

    def edited_transcript(self, job_id: str) -> tuple[Job, Edited]:
        """A completed job with its transcript and edits; raises as `transcript` does."""
        return self.consistent(job_id, lambda job: (job, self.edited_of(job)))

    def consistent(self, job_id: str, read: Callable[[Job], T]) -> T:
        """
        Call a function that reads objects of a job; again if the job changed meanwhile.

        Raises:
            JobNotFound: there is no such job.
            StorageError: an object cannot be read.
        """
        while True:
            job = self.job(job_id)
            try:
                return read(job)
            except StorageError:  # the objects of an older record may be deleted
                if self.version(job_id) == job.version:
                    raise

    def transcript_of(self, job: Job) -> Transcript:
        """The transcript of a job; raises JobNotReady, and StorageError if it cannot be read."""
        return self.edited_of(job).transcript

    def edited_of(self, job: Job) -> Edited:
        """The transcript of a job with its edits; raises as `transcript_of` does."""
        _check_completed(job)
        return self._edited.get(_content(job), lambda: self._read_edited(job))

    def keep(self, job: Job, new: Edited) -> None:
        """Cache a transcript that was just edited."""
        self._edited.get(_content(job), lambda: new)

    def _read_edited(self, job: Job) -> Edited:
        key = job.objects["transcript.json"]
        read = partial(self._object, job, "transcript.json", Transcript)
        machine = partial(self._machine.get, key, read)
        # `machine` is read only if no snapshot is usable.
        found = edited_since(machine, self.edits(job), self.snapshots(job))
        # Names are in the record as well, which lists show without reading a transcript.
        return replace(found, transcript=replace(found.transcript, names=dict(job.names)))

    def edits(self, job: Job) -> EditLog:
        """The edits of the transcript."""
        return self._object(job, "edits.json", EditLog) if job.edited else EditLog()

    def snapshots(self, job: Job) -> Snapshots:
        """The stored snapshots of the edited transcript."""
        return {
            int(name.removeprefix(SNAPSHOT)): partial(self._snapshot, key)
            for name, key in job.objects.items()
            if name.startswith(SNAPSHOT)
        }

    def _snapshot(self, key: str) -> Snapshot | None:
        try:
            return from_json(Snapshot, zlib.decompress(self._context.media.get(key)))
        except StorageUnavailable:
            raise
        except (StorageError, zlib.error):  # an older one, or the whole log, serves as well
            return None

    def _object(self, job: Job, name: str, kind: type[T]) -> T:
        return from_json(kind, self._context.media.get(job.objects[name]))

    def export(self, job_id: str, form: str) -> tuple[Job, bytes]:
        """
        The transcript in a format of the registry.

        Raises:
            JobNotFound, JobNotReady: as `transcript` does.
            InvalidOptions: the format does not exist.
        """
        job, transcript = self.transcript(job_id)
        return job, export(transcript, form, job.options.word_timestamps)

    def parts(self, job: Job, known: set[str]) -> Iterator[tuple[str, Segment]]:
        """
        Recognized segments of parts that are done but not yet in `known`; adds these to it.

        Raises:
            StorageUnavailable: they cannot be read now.
        """
        for name in sorted(job.objects.keys() - known):
            if name.startswith("parts/"):
                try:
                    result = self._part(job, name)
                    yield from ((name, segment) for segment in result.segments)
                except StorageUnavailable:
                    raise
                except StorageError:
                    pass  # deleted by a rerun meanwhile
                known.add(name)

    def _part(self, job: Job, name: str) -> PartResult:
        """A part, cached because every client that follows the job reads it."""
        return self._parts.get(job.objects[name], lambda: self._object(job, name, PartResult))

    def audio(self, job_id: str) -> tuple[Job, BinaryIO, int]:
        """
        The recording as a file, with its size in bytes; its working audio if it was not kept.

        Raises:
            JobNotFound: there is no such job.
            JobNotReady: no audio of it is stored.
        """
        job = self.job(job_id)
        key = job.objects.get("recording") or job.objects.get("working.flac")
        if key is None:
            raise JobNotReady("The audio of this job is not kept (AUDIO_RETENTION=delete).")
        media = self._context.media
        return job, open_recording(media, key), size_of(media, key)

    def peaks(self, job_id: str) -> tuple[Job, bytes]:
        """
        The waveform: one byte with the steps per second, then pairs of signed bytes.

        Raises:
            JobNotFound: there is no such job.
            JobNotReady: it is not prepared yet.
        """
        job = self.job(job_id)
        if "peaks.dat" not in job.objects:
            raise JobNotReady("The recording is not prepared yet; try again later.")
        return job, self._context.media.get(job.objects["peaks.dat"])

    # -- search ----------------------------------------------------------------------------

    def search(
        self,
        query: str,
        limit: int = 20,
        segments: int = 5,
        seconds: float = SEARCH_SECONDS,
        wait_seconds: float = SEARCH_WAIT_SECONDS,
    ) -> Found:
        """
        Completed meetings that contain all words of the query.

        Without a full-text index only the latest meetings are read, and `complete` says whether
        those were all.

        Args:
            seconds: of processor time after which no further meeting is read.
            wait_seconds: the same, of time.

        Raises:
            InvalidOptions: the query is empty or too long.
        """
        terms = [term for word in fold(query).split() if (term := _PUNCTUATION.sub("", word))]
        if not 0 < len(query.split()) <= MOST_SEARCH_WORDS:
            raise InvalidOptions(f"The search query must have 1 to {MOST_SEARCH_WORDS} words.")
        if len(query) > MOST_SEARCH_CHARACTERS:
            raise InvalidOptions(
                f"The search query has {len(query)} characters; the most is "
                f"{MOST_SEARCH_CHARACTERS}."
            )
        jobs, complete = self._candidates(query, limit)
        hits: list[Hit] = []
        until, give_up_at = time.thread_time() + seconds, time.monotonic() + wait_seconds
        for job in jobs:
            if time.thread_time() > until or time.monotonic() > give_up_at:
                return Found(tuple(hits), complete=False)
            with suppress(StorageError):  # deleted meanwhile
                transcript = self.transcript_of(job)
                # The index compares whole words, in its own way; what it finds is a hit.
                if self._context.text is not None or _matches(transcript.text, terms):
                    found = islice(_matching_segments(transcript, terms, until), segments)
                    hits.append(Hit(job, tuple(found)))
            if len(hits) == limit:
                return Found(tuple(hits), complete=False)
        return Found(tuple(hits), complete)

    def _candidates(self, query: str, limit: int) -> tuple[list[Job], bool]:
        if self._context.text is None:
            latest = self.page(JobQuery(limit=_SCANNED_JOBS, states=("completed",)))
            return latest, len(latest) < _SCANNED_JOBS
        found: list[Job] = []
        ids = self._context.text.find_text(query, 2 * limit, self.tenant)
        for job_id in ids:
            with suppress(JobNotFound):
                job = self.job(job_id)
                if job.state == "completed":
                    found.append(job)
        return found, len(ids) < 2 * limit


def _matches(text: str, terms: list[str]) -> bool:
    folded = fold(text)
    return bool(terms) and all(term in folded for term in terms)


def _matching_segments(
    transcript: Transcript, terms: list[str], until: float
) -> Iterator[tuple[int, Segment]]:
    """Segments with one of the terms and their numbers, as far as is found in time."""
    for number, segment in enumerate(transcript.segments):
        if time.thread_time() > until:
            return
        folded = fold(segment.text)
        if any(term in folded for term in terms):
            yield number, segment


def _check_completed(job: Job) -> None:
    if job.state != "completed":
        raise JobNotReady(
            f"The job is {job.state}: there is a transcript only when it is completed."
            + (f" {job.error.message}" if job.error else "")
        )


def _content(job: Job) -> Hashable:
    """Identifies the content of a job's transcript."""
    objects = (job.objects["transcript.json"], job.objects.get("edits.json"))
    return (*objects, tuple(sorted(job.names.items())))


class _LruCache(Generic[T]):
    """A thread-safe LRU cache."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()  # without the lock, as it reads a store; two threads may both do it
        with self._lock:
            self._values[key] = value
            if len(self._values) > self._size:
                self._values.popitem(last=False)
        return value


@dataclass(frozen=True, slots=True)
class QueueStats:
    """The state of the queues.

    Attributes:
        messages: queue -> messages in the broker.
        oldest_seconds: age of the oldest unfinished job; None without any.
    """

    backlog: Backlog
    messages: Mapping[str, int]
    oldest_seconds: float | None

    def length(self, queue: str) -> int:
        """Ready and running tasks; unlike messages, not 0 while a worker is busy."""
        return self.backlog.ready.get(queue, 0) + self.backlog.running.get(queue, 0)

    def as_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        ready, running = self.backlog.ready, self.backlog.running
        return {
            "celery_queue_length": sum(map(self.length, QUEUES)),
            "queues": {
                name: {
                    "ready": ready.get(name, 0),
                    "running": running.get(name, 0),
                    "length": self.length(name),
                    "messages": self.messages[name],
                }
                for name in QUEUES
            },
            "jobs": dict(self.backlog.jobs),
            "oldest_seconds": self.oldest_seconds,
            "audio_seconds_left": self.backlog.seconds_left,
        }


def measure_queues(jobs: JobStore, queue: JobQueue, now: float) -> QueueStats:
    """Read the current state; raises StorageError if the store or the broker does not respond."""
    backlog = jobs.backlog()
    return QueueStats(
        backlog,
        {name: queue.length(name) for name in QUEUES},
        None if backlog.oldest_at is None else max(now - backlog.oldest_at, 0.0),
    )
