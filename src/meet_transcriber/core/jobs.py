"""
A job: its record, frozen, and what can be read from it.

The record in the JobStore is the only truth about a job. Everything that changes it is a pure
function from one record to the next, in `core/transitions.py`; a store runs such a function
atomically and knows nothing of its meaning. Times are seconds since 1970.
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
    """The request that a job came from, so that what is logged and traced of it fits together.

    Attributes:
        request_id: as X-Request-ID told it.
        traceparent: of its span, as W3C writes it; empty where nothing is traced.
    """

    request_id: str = ""
    traceparent: str = ""


CHANGES_KEPT = 10_000
"""So many changes, of everybody, can be told of afterwards at least."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened to a tenant's jobs since some mark.

    Attributes:
        mark: rises with every change of any job; what to ask with the next time.
        jobs: ids in order of their latest change, of jobs that were removed too.
        missed: more happened than can be told, so that all has to be looked at again.
    """

    mark: int
    jobs: tuple[str, ...] = ()
    missed: bool = False

    @classmethod
    def since(cls, since: int, mark: int, jobs: Sequence[str]) -> "Changes":
        """What a store found between two marks."""
        return cls(mark, tuple(jobs), not mark - CHANGES_KEPT <= since <= mark)


State = Literal["uploading", "pending", "processing", "completed", "failed", "cancelled"]
"""`uploading` is never shown: the recording has not arrived, so nobody was told of the job."""

TERMINAL: tuple[State, ...] = ("completed", "failed", "cancelled")
SHOWN: tuple[State, ...] = ("pending", "processing", *TERMINAL)

TaskState = Literal["waiting", "ready", "running", "done"]

MAX_ATTEMPTS = 3

CPU_QUEUE, RECOGNIZE_QUEUE = "cpu", "recognize"
QUEUES = (RECOGNIZE_QUEUE, CPU_QUEUE)
KINDS = ("fetch", "prepare", "recognize", "diarize", "attribute")
"""What a task may be about, in the order in which a job goes through them."""

PREPARE_SHARE, DIARIZE_SHARE, RECOGNIZE_SHARE = 0.1, 0.1, 0.8


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of a job's work: `fetch`, `prepare`, `recognize:3`, `diarize`, `attribute`.

    Attributes:
        weight: its share of the job's work, in [0, 1].
        progress: share of the task done by its present holder, in [0, 1].
        reached: the furthest that any holder came before it died.
        attempts: how often it died in a row without getting further.
        token: fencing token of the latest claim; what an older holder does has no effect.
        worker: who holds it.
        lease_until: when it may be taken over unless its holder says that it lives.
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
    def part(self) -> int:
        """The part that a `recognize` task is about."""
        return int(self.name.partition(":")[2])


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed: a stable code and a sentence."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Delay:
    """Why a job does not get on although nothing is wrong with it, and since when."""

    code: str
    message: str
    since: float


@dataclass(frozen=True, slots=True)
class Webhook:
    """Who wants to hear the end of a job, and how far telling them has come.

    Attributes:
        event_id: the same for every attempt, so that a receiver can tell a repetition.
        next_at: when to try (again); None before the job's end, and when nothing is left to do.
        outcome: `waiting`, `delivered`, or why it was given up.
    """

    url: str
    event_id: str = ""
    attempts: int = 0
    next_at: float | None = None
    outcome: str = "waiting"


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that is known about one recording's way to its transcript.

    Attributes:
        name: of the recording, as its sender called it.
        tenant: whose job it is; nobody else ever hears of it.
        state, tasks: how far it is; `run` counts from 1 and rises with each rerun.
        objects: what was committed, as logical name -> key in the MediaStore. An object that no
            record names is rubbish.
        fence: the last fencing token given out.
        progress: share of the work done, in [0, 1]; never falls within a run.
        served_at: when a task of it was last claimed; who was served longest ago is next.
        version: rises by one with every change; set by the store.
        names: speaker label to a person's name, from a speaker timeline or given after the fact.
        names_found: those of `names` that were found by voice or speaker timeline, when the
            transcript was made; nobody gave them.
        delay: what its tasks wait for, such as room on a disk; None when they get on.
        lease_until: of an upload; when it has passed, the sender is gone.
        deleted: nobody may see it any more; record and objects wait to be removed.
        tidy_at: when to remove objects that the record no longer names, or does not name yet.
        expires_at: when the result is deleted; None keeps it.
        max_attempts: so many deaths in a row without getting further end the job.
        duration: seconds, as far as known.
        source_url: where the recording is still to be fetched from; it may hold a secret, is never
            shown, and goes once the recording is here.
        fingerprint: what the request was, to tell a repetition from another request.
        extra_bytes: of what came along with the recording, and goes with the job.
        upload: of a job that began as an upload of its own; its id is the upload's.
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
        """The folder of its objects in the MediaStore."""
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
        """What is going on: the kind of the first task that is not done."""
        if self.ended or self.state == "uploading":
            return self.state
        running = [task.kind for task in self.tasks if task.state == "running"]
        open_tasks = [task.kind for task in self.tasks if task.state != "done"]
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
        """Names that people gave: those that were not found, and those of `confirmed` labels."""
        found = self.names_found
        return {
            label: name
            for label, name in self.names.items()
            if label in confirmed or found.get(label) != name
        }

    def in_state(self, *states: TaskState) -> Iterator[Task]:
        """Its tasks in one of these states; a job that has ended has no work left."""
        if not self.ended and not self.deleted:
            yield from (task for task in self.tasks if task.state in states)


def unique(tenant: str, idempotency_key: str) -> str:
    """A tenant's key among those of all tenants; names and keys have no line breaks."""
    return f"{tenant}\n{idempotency_key}" if tenant else idempotency_key


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """What a store keeps at hand about a job, so that it need not read every record.

    Attributes:
        listed: whether it appears in lists.
        active: whether it counts in the backlog: it has neither ended nor been deleted, and is
            no upload that nothing was asked of yet.
        ready: queue -> tasks that could be claimed now.
        running: tasks that somebody holds.
        order: the job with the lowest gets the next free worker: fewest tasks running, then
            served longest ago, so that no job starves behind another.
        due_at: when maintenance is due; None if never.
        seconds_left: seconds of audio that still have to be recognized.
        stored_bytes: of its recording, as long as that is kept, an upload's as announced; and of
            what came along.
        audio: when it was submitted, and its seconds, once both are known; what a store
            remembers of it when the record has gone, because it was used all the same.
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


def index_entry(job: Job) -> IndexEntry:
    """The entry that belongs to a record; pure, so index and record cannot disagree."""
    ready, running = _by_queue(job, "ready"), _by_queue(job, "running")
    recognized = job.progress if job.tasks else 0.0
    coming = job.state == "uploading"
    waits_for_bytes = coming and job.upload is not None
    active = not job.ended and not job.deleted and not waits_for_bytes
    stored = (waits_for_bytes or "recording" in job.objects) and not job.deleted
    return IndexEntry(
        state=job.state,
        created_at=job.created_at,
        listed=not coming and not job.deleted,
        active=active,
        ready=ready,
        running=running,
        order=(sum(running.values()), job.served_at or job.created_at),
        due_at=due_at(job),
        seconds_left=(job.duration or 0.0) * (1.0 - recognized) if active else 0.0,
        tenant=job.tenant,
        stored_bytes=(job.size_bytes if stored else 0) + (0 if job.deleted else job.extra_bytes),
        audio=None if coming or job.duration is None else (job.created_at, job.duration),
    )


def _by_queue(job: Job, state: TaskState) -> dict[str, int]:
    counts: dict[str, int] = {}
    for task in job.in_state(state):
        counts[task.queue] = counts.get(task.queue, 0) + 1
    return counts


def due_at(job: Job) -> float | None:
    """The earliest moment at which the record needs tending; None when it needs none."""
    if job.deleted:
        return job.tidy_at
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
        after: the id of the last job seen; the list goes on behind it.
        states: only jobs in one of these; empty takes all that are shown.
        name: only recordings whose name contains this, in any case.
        tenant: only this tenant's jobs; None takes everybody's.
    """

    limit: int = 20
    order: Order = "desc"
    after: str | None = None
    states: Sequence[State] = ()
    name: str = ""
    tenant: str | None = None

    def admits(self, job: Job) -> bool:
        """Whether a job belongs into the list, its place aside."""
        return (
            (not self.states or job.state in self.states)
            and self.tenant in {None, job.tenant}
            and self.name.casefold() in job.name.casefold()
            and not job.deleted
            and job.state in SHOWN
        )


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits and runs, over all jobs.

    Attributes:
        ready, running: queue -> tasks.
        jobs: state -> jobs, those that have neither ended nor been deleted.
        seconds_left: seconds of audio that still have to be recognized.
        waiting_since: queue -> when the job that waits there for longest was served last, or
            else made.
    """

    ready: Mapping[str, int] = field(default_factory=dict)
    running: Mapping[str, int] = field(default_factory=dict)
    jobs: Mapping[str, int] = field(default_factory=dict)
    seconds_left: float = 0.0
    waiting_since: Mapping[str, float] = field(default_factory=dict)

    @property
    def active(self) -> int:
        """How many jobs there are."""
        return sum(self.jobs.values())


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tenant has.

    Attributes:
        jobs: that have neither ended nor been deleted.
        stored_bytes: of recordings that are kept.
        audio_seconds: submitted since some moment, whatever became of it.
        oldest_at: when the first of these was submitted; None without any.
    """

    jobs: int = 0
    stored_bytes: int = 0
    audio_seconds: float = 0.0
    oldest_at: float | None = None


def waited_seconds(job: Job) -> float | None:
    """From sending to the first claim; None while nobody knows, and for a rerun."""
    return _between(job.created_at, job.started_at) if job.run == 1 else None


def worked_seconds(job: Job) -> float | None:
    """From the first claim to the end; None while nobody knows, and for a rerun."""
    return _between(job.started_at, job.finished_at) if job.run == 1 else None


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else max(end - start, 0.0)
