"""Stores of jobs and their objects, and the queue that wakes workers."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, Protocol

from meet_transcriber.core.jobs import Backlog, Changes, Job, JobQuery, Usage
from meet_transcriber.core.workers import WorkerInfo
from meet_transcriber.ports.auth import KeyStore


@dataclass(frozen=True)
class Capacity:
    """
    How full a store's disk or memory is.

    Attributes:
        kind: `disk`, `redis` (its memory) or `budget` (the share of that for recordings).
        used_bytes: including those of other programs.
        size_bytes: in total.
    """

    kind: str
    used_bytes: int
    size_bytes: int


Clock = Callable[[], float]
"""Returns seconds since 1970; tests inject their own."""


@dataclass
class Copied:
    """The contents of a backup.

    Attributes:
        missing: keys of objects that a record names but the store does not have.
    """

    jobs: int = 0
    objects: int = 0
    missing: tuple[str, ...] = ()


class ObjectWriter(Protocol):
    """Writes the bytes of one object."""

    def write(self, data: bytes, /) -> object:
        """
        Append some bytes.

        Raises:
            StorageFull: there is no space; the message names the setting that gives more.
            StorageError: they cannot be written.
        """
        ...


class MediaStore(Protocol):
    """Objects of one installation by key: recordings, working audio, parts, transcripts.

    Keys are relative paths of letters, digits, `.`, `_`, `-` and `/`.
    """

    def put(self, key: str, data: bytes | BinaryIO) -> None:
        """Write an object atomically; an existing one is replaced."""
        ...

    def writer(self, key: str) -> AbstractContextManager[ObjectWriter]:
        """
        Write an object piece by piece, with bounded memory and no second copy on disk.

        It appears when the context exits without an exception and replaces an older one. Of
        several writers of one key the last to exit wins.

        Raises:
            StorageFull, StorageError: as `ObjectWriter.write` does, when the context ends.
        """
        ...

    def get(self, key: str) -> bytes:
        """Return an object's bytes; raises StorageError if there is none, or it cannot be read."""
        ...

    def open(self, key: str) -> BinaryIO:
        """
        Open an object for reading, seekable, read as needed with bounded memory.

        If it is replaced or deleted meanwhile, reads return its old bytes or raise StorageError,
        depending on the store; they never return bytes of another object.

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
        """The keys that are `prefix` or below it, sorted; none of unfinished writes."""
        ...

    def delete(self, prefix: str) -> None:
        """Delete every object whose key is `prefix` or below it."""
        ...

    def remove_stale_writes(self, older_than_seconds: float) -> int:
        """
        Remove the bytes of writers that died; returns the number of writers.

        A writer that wrote nothing for so long counts as dead, and fails when it continues.
        """
        ...

    def capacity(self) -> Capacity | None:
        """How full the store is; None if unknown. Raises StorageError as `get` does."""
        ...

    def ping(self) -> None:
        """Check that objects can be written; raises StorageError if they cannot."""
        ...


class Updated(NamedTuple):
    """A record as it was and as it is after `JobStore.update`."""

    before: Job
    after: Job


class JobStore(Protocol):
    """
    The records of all jobs, and their indexes.

    A record and its index entry (`core.jobs.index_entry`) change atomically.
    """

    @property
    def keys(self) -> KeyStore:
        """The API keys, which are stored beside the jobs."""
        ...

    def create(self, job: Job) -> Job:
        """
        Store a new record; returns it with its version.

        If a job of its tenant has its `idempotency_key` already, nothing is written and that
        job is returned.
        """
        ...

    def get(self, job_id: str) -> Job:
        """Return a record, deleted ones too; raises JobNotFound if there is none."""
        ...

    def version(self, job_id: str) -> int:
        """The record's version, read without the record; raises JobNotFound."""
        ...

    def update(self, job_id: str, change: Callable[[Job], Job]) -> Updated:
        """
        Replace a record with the result of a pure function, atomically.

        The function may be called several times. The new record's version is one higher. When
        the function returns the very record it was given, nothing is written, and `after` is
        `before`.

        Raises:
            JobNotFound: there is none.
            TranscriptionError: whatever the function raises; then nothing was written.
        """
        ...

    def remove(self, job_id: str) -> None:
        """Remove a record, its index entry and its idempotency key, if it exists."""
        ...

    def ready(self, queues: Sequence[str], limit: int) -> list[str]:
        """
        Jobs with a ready task that is claimed from one of these queues (`Task.claim_queue`): one
        of each tenant, then a second of each.

        First comes the tenant with the fewest running tasks, then the one served longest ago.
        Jobs of one tenant are in `IndexEntry.order`. A tenant that was not served for two days
        counts as new.
        """
        ...

    def due(self, now: float, limit: int) -> list[str]:
        """Jobs whose `due_at` has passed, earliest first."""
        ...

    def page(self, query: JobQuery) -> list[Job]:
        """
        Up to `query.limit` jobs that match the query, in its order.

        Raises:
            JobNotFound: `query.after` is not a job of the query's tenant.
        """
        ...

    def count_ahead(self, job: Job) -> int:
        """Number of listed pending jobs that were created before this one."""
        ...

    def mark(self) -> int:
        """A number that rises with every change of any job; cheap enough to be polled."""
        ...

    def changes(self, tenant: str, since: int) -> Changes:
        """A tenant's jobs that changed after a mark."""
        ...

    def backlog(self) -> Backlog:
        """Waiting and running work of all jobs."""
        ...

    def usage(self, tenant: str, since: float) -> Usage:
        """
        What a tenant uses, with the audio submitted since a moment at most a day ago.

        Audio of deleted jobs counts as well.
        """
        ...

    def find_by_key(self, idempotency_key: str, tenant: str = "") -> Job | None:
        """The job that a tenant created with this key."""
        ...

    def put_worker(self, worker: WorkerInfo, seconds: float) -> None:
        """Store a worker's report, which expires after so many seconds."""
        ...

    def remove_worker(self, worker_id: str) -> None:
        """Remove the report of a worker that has stopped."""
        ...

    def workers(self, now: float) -> list[WorkerInfo]:
        """The reports that have not expired, sorted by id."""
        ...

    def lock(self, name: str, holder: str, seconds: float, now: float) -> bool:
        """Acquire or extend a lock; False if another holder has it."""
        ...

    def extend_lock(self, name: str, holder: str, seconds: float, now: float) -> bool:
        """Extend a lock; False if this holder lost it, also if it is free by now."""
        ...

    def unlock(self, name: str, holder: str) -> None:
        """Release a lock, if this holder has it."""
        ...

    def set_fact(self, name: str, value: str) -> None:
        """Store a small value by name, such as the measured speed."""
        ...

    def set_fact_once(self, name: str, value: str) -> str:
        """Store a value unless the name has one; returns the stored value."""
        ...

    def get_fact(self, name: str) -> str | None:
        """The value of a name, if it has one."""
        ...

    def capacity(self) -> Capacity | None:
        """How full the store is; raises StorageUnavailable as `ping` does."""
        ...

    def ping(self) -> None:
        """
        Check that the store responds and, where it may be full, accepts writes.

        Raises:
            StorageUnavailable, StorageFull: it does not.
        """
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class JobQueue(Protocol):
    """
    Notifies workers of ready tasks.

    A message is a permit, not a task: the worker that receives it claims the next ready task of
    the queue, if there is one. So a duplicate message is harmless, and `length` may be too low
    but is never too high for long.
    """

    def notify(self, queue: str, job_id: str, task: str) -> None:
        """
        Announce a ready task.

        Raises:
            StorageUnavailable: the broker does not respond; maintenance announces it again.
        """
        ...

    def length(self, queue: str) -> int:
        """Number of messages not yet received; raises StorageUnavailable as `notify` does."""
        ...

    def ping(self) -> None:
        """Check the broker; raises StorageUnavailable as `notify` does."""
        ...

    def close(self) -> None:
        """Close connections; stops an embedded worker."""
        ...


class TextIndex(Protocol):
    """Full-text index of transcripts, where the store has one."""

    def put_text(self, job_id: str, text: str) -> None:
        """
        Index a transcript's text in place of the previous one.

        It is removed with its job; for a job that does not exist nothing is stored.
        """
        ...

    def find_text(self, query: str, limit: int, tenant: str | None = None) -> list[str]:
        """
        Listed jobs whose text has all words of the query, best first; optionally of one tenant.

        Case and accents are ignored. In scripts without spaces any part of the text matches. A
        query without words finds nothing.
        """
        ...
