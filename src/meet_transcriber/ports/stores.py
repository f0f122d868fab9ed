"""Where jobs and their objects are kept."""

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
    How full the place is where a store keeps things.

    Attributes:
        kind: `disk`, `redis` (its memory) or `budget` (what it may use of that).
        used_bytes: by everybody.
        size_bytes: that there are in all.
    """

    kind: str
    used_bytes: int
    size_bytes: int


class Clock(Protocol):
    """Tells the time; tests bring their own."""

    def __call__(self) -> float:
        """Seconds since 1970."""
        ...


@dataclass
class Copied:
    """What a copy of jobs and objects holds.

    Attributes:
        missing: keys that a record names and that are nowhere.
    """

    jobs: int = 0
    objects: int = 0
    missing: tuple[str, ...] = ()


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

    def remove_stale_writes(self, older_than_seconds: float) -> int:
        """
        Remove what writers that died left behind; returns how many of them there were.

        A writer that wrote nothing for so long counts as dead, and fails when it goes on.
        """
        ...

    def capacity(self) -> Capacity | None:
        """How full its place is; None where nobody can tell. Raises StorageError as `get` does."""
        ...

    def ping(self) -> None:
        """
        Find out whether objects can be kept at all.

        Raises:
            StorageError: they cannot, with the reason.
        """
        ...


class Updated(NamedTuple):
    """A record as it was and as it is after `JobStore.update`."""

    before: Job
    after: Job


class JobStore(Protocol):
    """
    The records of all jobs, and small indexes of them.

    A record and its index entry (`core.jobs.index_entry`) change together or not at all.
    """

    @property
    def keys(self) -> KeyStore:
        """Where API keys are kept: beside the jobs."""
        ...

    def create(self, job: Job) -> Job:
        """
        Keep a new record; returns it with its version.

        Where its `idempotency_key` belongs to a job of its tenant already, nothing is written
        and that job is returned.
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
            JobNotFound: `query.after` names no job of the query's tenant.
        """
        ...

    def count_ahead(self, job: Job) -> int:
        """How many pending jobs that are listed were made before this one."""
        ...

    def mark(self) -> int:
        """Rises with every change of any job; cheap enough to be asked all the time."""
        ...

    def changes(self, tenant: str, since: int) -> Changes:
        """What happened to a tenant's jobs after a mark."""
        ...

    def backlog(self) -> Backlog:
        """What waits and runs, over all jobs."""
        ...

    def usage(self, tenant: str, since: float) -> Usage:
        """
        What a tenant has; audio that was submitted since a moment, at most a day ago.

        Audio counts for a day even where its job was deleted.
        """
        ...

    def find_by_key(self, idempotency_key: str, tenant: str = "") -> Job | None:
        """The job that a tenant made with this key."""
        ...

    def put_worker(self, worker: WorkerInfo, seconds: float) -> None:
        """Remember what a worker says of itself for so long."""
        ...

    def remove_worker(self, worker_id: str) -> None:
        """The worker has gone in good order."""
        ...

    def workers(self, now: float) -> list[WorkerInfo]:
        """The workers that were heard of lately, by id."""
        ...

    def lock(self, name: str, holder: str, seconds: float, now: float) -> bool:
        """Take or keep a lock for so long; False when somebody else holds it."""
        ...

    def unlock(self, name: str, holder: str) -> None:
        """Free a lock; one that somebody else holds by now stays theirs."""
        ...

    def set_fact(self, name: str, value: str) -> None:
        """Keep a small fact, such as the measured speed."""
        ...

    def set_fact_once(self, name: str, value: str) -> str:
        """Keep a small fact unless there is one of this name; returns the one that is kept."""
        ...

    def get_fact(self, name: str) -> str | None:
        """A fact that was remembered."""
        ...

    def capacity(self) -> Capacity | None:
        """How full its place is; raises StorageUnavailable as `ping` does."""
        ...

    def ping(self) -> None:
        """
        Find out whether the store answers, and takes something where it may be too full.

        Raises:
            StorageUnavailable, StorageFull: it does not, with the reason.
        """
        ...

    def close(self) -> None:
        """Give up connections."""
        ...


class TextIndex(Protocol):
    """Full text of finished transcripts, where the store can search."""

    def put_text(self, job_id: str, text: str) -> None:
        """
        Make a transcript's text searchable, in place of what was there.

        It goes with its job; for a job that has gone nothing is kept.
        """
        ...

    def find_text(self, query: str, limit: int, tenant: str | None = None) -> list[str]:
        """
        Listed jobs whose text has all words of the query, best first; of one tenant if named.

        Case and accents do not matter; where a script puts no spaces between words, any
        part of the text is a word. A query without a word finds nothing.
        """
        ...
