"""
A job's record, and what can be derived from it.

The record in the JobStore is the single source of truth about a job. Every change is a pure
function from one record to the next, in `core/transitions.py`, which a store runs atomically.
Times are seconds since 1970.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from meet_transcriber.core.media import MediaInfo
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import TranscriptWarning


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of an upload's bytes, stored as one object."""

    key: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Upload:
    """A resumable upload.

    Attributes:
        pieces: what has arrived, in order; empty once the job has begun.
    """

    pieces: tuple[Piece, ...] = ()

    @property
    def received_bytes(self) -> int:
        return sum(piece.size_bytes for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Origin:
    """The request that submitted a job, which correlates its logs and traces.

    Attributes:
        request_id: the value of X-Request-ID.
        traceparent: of its span, in W3C format; empty if tracing is off.
    """

    request_id: str = ""
    traceparent: str = ""


CHANGES_KEPT = 10_000
"""Stores keep at least this many changes, over all tenants."""


@dataclass(frozen=True, slots=True)
class Changes:
    """A tenant's jobs that changed since a mark.

    Attributes:
        mark: the current one, from which to continue; it rises with every change of any job.
        jobs: ids in order of their latest change, including removed jobs.
        missed: some changes are no longer known, so that all jobs have to be read again.
    """

    mark: int
    jobs: tuple[str, ...] = ()
    missed: bool = False

    @classmethod
    def since(cls, since: int, mark: int, jobs: Sequence[str]) -> "Changes":
        """Built by a store from the changes between two marks."""
        return cls(mark, tuple(jobs), not mark - CHANGES_KEPT <= since <= mark)


State = Literal["uploading", "pending", "processing", "completed", "failed", "cancelled"]
"""`uploading` is not listed: the recording has not arrived yet."""

TERMINAL: tuple[State, ...] = ("completed", "failed", "cancelled")
SHOWN: tuple[State, ...] = ("pending", "processing", *TERMINAL)

TaskState = Literal["waiting", "ready", "running", "done"]

MAX_ATTEMPTS = 3

CPU_QUEUE, RECOGNIZE_QUEUE = "cpu", "recognize"
QUEUES = (RECOGNIZE_QUEUE, CPU_QUEUE)
FETCH_QUEUE = "fetch"
"""From which workers claim fetches, beside other work; their messages are those of CPU_QUEUE."""

KINDS = ("fetch", "prepare", "recognize", "diarize", "attribute")
"""Kinds of tasks in the order in which a job runs them."""

PREPARE_SHARE, DIARIZE_SHARE, RECOGNIZE_SHARE = 0.1, 0.1, 0.8


@dataclass(frozen=True, slots=True)
class Task:
    """One unit of a job's work: `fetch`, `prepare`, `recognize:3`, `diarize`, `attribute`.

    Attributes:
        weight: its share of the job's work, in [0, 1].
        progress: share that the current worker has done, in [0, 1].
        reached: the furthest progress of workers that died.
        attempts: deaths in a row without further progress.
        token: fencing token of the latest claim; writes by an older claim have no effect.
        worker: id of the worker that runs it.
        lease_until: when another worker may take it over, unless the lease is renewed.
    """

    name: str
    state: TaskState = "ready"
    weight: float = 0.0
    progress: float = 0.0
    reached: float = 0.0
    attempts: int = 0
    token: int = 0
    worker: str = ""
    lease_until: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None

    @property
    def kind(self) -> str:
        return self.name.partition(":")[0]

    @property
    def queue(self) -> str:
        return RECOGNIZE_QUEUE if self.kind == "recognize" else CPU_QUEUE

    @property
    def claim_queue(self) -> str:
        """The queue that it is claimed from."""
        return FETCH_QUEUE if self.kind == "fetch" else self.queue

    @property
    def part(self) -> int:
        """Index of the part that a `recognize` task transcribes."""
        return int(self.name.partition(":")[2])


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed: a stable code and a sentence."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Delay:
    """Why a job waits although nothing is wrong with it, and since when."""

    code: str
    message: str
    since: float


@dataclass(frozen=True, slots=True)
class Webhook:
    """The webhook of a job's end and the state of its delivery.

    Attributes:
        event_id: the same for every attempt, so that a receiver can recognize a repetition.
        next_at: when to attempt delivery; None before the job's end and after the last attempt.
        outcome: `waiting`, `delivered`, or why delivery was given up.
    """

    url: str
    event_id: str = ""
    attempts: int = 0
    next_at: float | None = None
    outcome: str = "waiting"


@dataclass(frozen=True, slots=True)
class Job:
    """The record of one recording's transcription.

    Its counters, of which none replaces another:

    | counter | changes | used for |
    |---|---|---|
    | `version` | with every write, by one; set by the store | optimistic writes, record caches |
    | `run` | with each rerun, from 1 | the webhook's event id; edits belong to one run |
    | `fence` | with each claim of any task | the last fencing token given out |
    | `Task.token` | with each claim of this task | rejects writes by workers that lost the task |
    | the store's change mark | with every write of any job | change feeds |

    The `edition` of the HTTP API is no counter: it identifies the run and the edits.

    Attributes:
        name: of the recording, as its sender called it.
        tenant: whose job it is; other tenants never see it.
        objects: committed objects, as logical name -> key in the MediaStore. Maintenance removes
            objects that no record names.
        progress: share of the work done, in [0, 1]; never falls within a run.
        served_at: when a task of it was last claimed; the job served longest ago comes next.
        names: speaker label -> person's name, from a speaker timeline, a voice or a user.
        names_found: those of `names` that came from a voice or a speaker timeline.
        delay: what its tasks wait for, such as disk space; None if they make progress.
        lease_until: when the sender of an upload counts as disconnected.
        deleted: it is hidden, and its record and objects wait to be removed.
        tidy_at: when to remove objects that the record does not name.
        expires_at: when the result is deleted; None keeps it.
        max_attempts: deaths in a row without further progress that fail the job.
        duration: seconds, as far as known.
        source_url: where the recording has yet to be fetched from. It may contain a secret, is
            never shown, and is removed once the recording is stored.
        fingerprint: digest of the request, which tells a repetition from another request.
        extra_bytes: of objects that accompany the recording.
        upload: of a job that began as a resumable upload, whose id it has.
    """

    id: str
    options: Options
    name: str = ""
    created_at: float = 0.0
    state: State = "pending"
    tasks: tuple[Task, ...] = ()
    objects: Mapping[str, str] = field(default_factory=dict)
    fence: int = 0
    run: int = 1
    progress: float = 0.0
    served_at: float = 0.0
    version: int = 0
    source_url: str | None = None
    size_bytes: int = 0
    extra_bytes: int = 0
    upload: Upload | None = None
    media: MediaInfo | None = None
    duration: float | None = None
    error: Failure | None = None
    warnings: tuple[TranscriptWarning, ...] = ()
    engine: str = ""
    diarizer: str | None = None
    speakers_found: int | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    names_found: Mapping[str, str] = field(default_factory=dict)
    edited: bool = False
    webhook: Webhook | None = None
    tenant: str = ""
    idempotency_key: str | None = None
    fingerprint: str = ""
    started_at: float | None = None
    finished_at: float | None = None
    lease_until: float = 0.0
    deleted: bool = False
    tidy_at: float | None = None
    max_attempts: int = MAX_ATTEMPTS
    expires_at: float | None = None
    delay: Delay | None = None
    origin: Origin = field(default_factory=Origin)

    @property
    def prefix(self) -> str:
        """The key prefix of its objects in the MediaStore."""
        return f"jobs/{self.id}"

    @property
    def unique_key(self) -> str | None:
        """Its idempotency key as it is unique over all tenants."""
        return None if self.idempotency_key is None else unique(self.tenant, self.idempotency_key)

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL

    @property
    def stage(self) -> str:
        """The kind of the first task that is not done."""
        if self.ended or self.state == "uploading":
            return self.state
        running = [task.kind for task in self.tasks if task.state == "running"]
        open_tasks = [task.kind for task in self.tasks if task.state != "done"]
        # Parts are recognized beside diarization: the earliest kind names the stage.
        for kind in KINDS:
            if kind in (running or open_tasks):
                return kind if running else "waiting"
        return "waiting"

    def task(self, name: str) -> Task:
        """
        Raises:
            KeyError: the job has no such task.
        """
        for task in self.tasks:
            if task.name == name:
                return task
        raise KeyError(name)

    def with_task(self, changed: Task) -> "Job":
        """The job with the task of that name replaced."""
        tasks = tuple(changed if task.name == changed.name else task for task in self.tasks)
        return replace(self, tasks=tasks)

    def names_given(self, confirmed: Collection[str | None] = ()) -> dict[str, str]:
        """Names that users gave: those that were not found, and those of `confirmed` labels."""
        found = self.names_found
        return {
            label: name
            for label, name in self.names.items()
            if label in confirmed or found.get(label) != name
        }

    def in_state(self, *states: TaskState) -> Iterator[Task]:
        """Its tasks in one of these states; none if it has ended or was deleted."""
        # The tasks of a cancelled job keep their states until it runs again.
        if not self.ended and not self.deleted:
            yield from (task for task in self.tasks if task.state in states)


def unique(tenant: str, idempotency_key: str) -> str:
    """A tenant's key, unique over all tenants; names and keys contain no line breaks."""
    return f"{tenant}\n{idempotency_key}" if tenant else idempotency_key


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """What a store indexes about a job, so that it need not read every record.

    Attributes:
        listed: whether it appears in lists.
        active: whether it counts in the backlog: it has neither ended nor been deleted, and is
            not a resumable upload that has yet to be submitted.
        ready: queue -> tasks that can be claimed now.
        fetches: whether those of CPU_QUEUE are claimed from FETCH_QUEUE.
        running: queue -> tasks that are running.
        order: the job with the lowest gets the next free worker: fewest running tasks, then
            served longest ago, so that no job starves. It decides between the jobs of one tenant;
            tenants take turns.
        served_at: when a task of it was last claimed; 0 before that. The tenant with the fewest
            running tasks, then the one served longest ago, comes next.
        due_at: when maintenance is due; None if never.
        seconds_left: seconds of audio that still have to be recognized.
        stored_bytes: of its stored recording, of an upload as announced, and of the extras.
        audio: when it was submitted, and its seconds, once both are known. Stores keep it after
            the record is removed, because it counts as used.
    """

    state: State
    created_at: float
    listed: bool
    active: bool
    ready: Mapping[str, int]
    running: Mapping[str, int]
    order: tuple[int, float]
    due_at: float | None
    seconds_left: float
    tenant: str = ""
    stored_bytes: int = 0
    audio: tuple[float, float] | None = None
    served_at: float = 0.0
    fetches: bool = False

    @property
    def is_upload(self) -> bool:
        """Whether it is a resumable upload that was not submitted yet."""
        return self.state == "uploading" and not self.active and self.stored_bytes > 0

    def claim_queue(self, queue: str) -> str:
        """The queue from which ready tasks of this queue are claimed."""
        return FETCH_QUEUE if self.fetches and queue == CPU_QUEUE else queue


def claim_queues(queue: str) -> tuple[str, ...]:
    """The queues from which tasks of this queue are claimed."""
    return (queue, FETCH_QUEUE) if queue == CPU_QUEUE else (queue,)


def index_entry(job: Job) -> IndexEntry:
    """Derive the entry of a record."""
    ready, running = _by_queue(job, "ready"), _by_queue(job, "running")
    # Before it is planned, all of its audio is still to be recognized.
    recognized = job.progress if job.tasks else 0.0
    uploading = job.state == "uploading"
    waits_for_bytes = uploading and job.upload is not None
    active = not job.ended and not job.deleted and not waits_for_bytes
    stored = (waits_for_bytes or "recording" in job.objects) and not job.deleted
    return IndexEntry(
        state=job.state,
        created_at=job.created_at,
        listed=not uploading and not job.deleted,
        active=active,
        ready=ready,
        running=running,
        order=(sum(running.values()), job.served_at or job.created_at),
        due_at=due_at(job),
        seconds_left=(job.duration or 0.0) * (1.0 - recognized) if active else 0.0,
        tenant=job.tenant,
        stored_bytes=(job.size_bytes if stored else 0) + (0 if job.deleted else job.extra_bytes),
        audio=None if uploading or job.duration is None else (job.created_at, job.duration),
        served_at=job.served_at,
        fetches=any(task.kind == "fetch" for task in job.in_state("ready")),
    )


def _by_queue(job: Job, state: TaskState) -> dict[str, int]:
    counts: dict[str, int] = {}
    for task in job.in_state(state):
        counts[task.queue] = counts.get(task.queue, 0) + 1
    return counts


def due_at(job: Job) -> float | None:
    """When maintenance has to process the record next; None if never."""
    # It neither expires nor calls a webhook any more; only its objects are left.
    if job.deleted:
        return job.tidy_at
    # When its sender or the process that receives it must have died.
    if job.state == "uploading":
        return job.lease_until
    moments = [task.lease_until for task in job.in_state("running")]
    if job.webhook and job.webhook.next_at is not None:
        moments.append(job.webhook.next_at)
    if job.expires_at is not None and job.ended:
        moments.append(job.expires_at)
    if job.tidy_at is not None:
        moments.append(job.tidy_at)
    return min(moments, default=None)


Order = Literal["asc", "desc"]


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs to list, in order of creation.

    Attributes:
        after: the id of the last job of the previous page.
        states: only jobs in one of these; empty selects all that are listed.
        name: only recordings whose name contains this, ignoring case.
        tenant: only this tenant's jobs; None selects all tenants.
    """

    limit: int = 20
    order: Order = "desc"
    after: str | None = None
    states: Sequence[State] = ()
    name: str = ""
    tenant: str | None = None

    def admits(self, job: Job) -> bool:
        """Whether a job belongs in the list."""
        return (
            (not self.states or job.state in self.states)
            and self.tenant in {None, job.tenant}
            and self.name.casefold() in job.name.casefold()
            and not job.deleted
            and job.state in SHOWN
        )


@dataclass(frozen=True, slots=True)
class Backlog:
    """Waiting and running work of all jobs.

    Attributes:
        ready, running: queue -> tasks.
        jobs: state -> jobs, those that have neither ended nor been deleted.
        seconds_left: seconds of audio that still have to be recognized.
        waiting_since: queue -> when the job that waits longest there was last served, or
            created.
        oldest_at: when the oldest of these jobs was created, uploads aside; None without any.
    """

    ready: Mapping[str, int] = field(default_factory=dict)
    running: Mapping[str, int] = field(default_factory=dict)
    jobs: Mapping[str, int] = field(default_factory=dict)
    seconds_left: float = 0.0
    waiting_since: Mapping[str, float] = field(default_factory=dict)
    oldest_at: float | None = None

    @property
    def active(self) -> int:
        """Number of unfinished jobs, without recordings that are still being received."""
        return sum(jobs for state, jobs in self.jobs.items() if state != "uploading")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tenant uses.

    Attributes:
        jobs: unfinished ones.
        stored_bytes: of stored recordings.
        audio_seconds: submitted since some moment, including deleted jobs.
        oldest_at: when the first of these was submitted; None without any.
        uploads: resumable ones that were not submitted yet.
    """

    jobs: int = 0
    stored_bytes: int = 0
    audio_seconds: float = 0.0
    oldest_at: float | None = None
    uploads: int = 0


def waited_seconds(job: Job) -> float | None:
    """Seconds from submission to the first claim; None before that and for a rerun."""
    return _between(job.created_at, job.started_at) if job.run == 1 else None


def worked_seconds(job: Job) -> float | None:
    """Seconds from the first claim to the end; None before that and for a rerun."""
    return _between(job.started_at, job.finished_at) if job.run == 1 else None


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else max(end - start, 0.0)
