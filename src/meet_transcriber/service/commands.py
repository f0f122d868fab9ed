"""Changes jobs: cancel, rerun, delete, name speakers, edit."""

import uuid
import zlib
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from meet_transcriber.core.edits import (
    MOST_LOG_BYTES,
    Edit,
    Edited,
    EditLog,
    count,
    with_edits,
)
from meet_transcriber.core.errors import (
    InvalidOptions,
    JobConflict,
    JobError,
    JobNotFound,
    StorageError,
)
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.serialization import to_json
from meet_transcriber.core.transcript import Transcript
from meet_transcriber.core.transitions import SNAPSHOT, cancelled, deleted, rerun
from meet_transcriber.service.context import ServiceContext
from meet_transcriber.service.queries import JobQueries
from meet_transcriber.service.quotas import Quotas

_SAME_TEXT = ("name", "speaker", "reassign")
"""Kinds of edits after which the full-text index need not be updated."""

LOG = "edits.json"
"""Name of the log of edits among a job's objects."""

UNNAMED_LOG_SECONDS = 3600.0
"""How long a log that no record names is kept, as the edit that wrote it may still be recorded."""

RERUN_KINDS = ("prepare", "recognize", "diarize", "attribute", "unfinished")


class EditResult(NamedTuple):
    """
    The result of an edit.

    Attributes:
        job: the record after it.
        changed: number of places that changed.
        before, after: the transcript.
    """

    job: Job
    changed: int
    before: Transcript
    after: Transcript


class JobCommands:
    """Changes jobs of one tenant or of all; safe for several threads."""

    def __init__(self, context: ServiceContext, queries: JobQueries) -> None:
        self._context = context
        self._queries = queries

    def cancel(self, job_id: str) -> Job:
        """
        Cancel a job; its workers notice within two seconds.

        Raises:
            JobNotFound, JobConflict: there is none, or it has ended already.
        """
        self._queries.job(job_id)
        return self._context.update(job_id, partial(cancelled, now=self._context.clock())).after

    def delete(self, job_id: str) -> None:
        """Delete a job in any state: record, audio and transcript; raises JobNotFound."""
        self._queries.job(job_id)
        job = self._context.update(job_id, partial(deleted, now=self._context.clock())).after
        with suppress(StorageError, JobNotFound):  # else maintenance does it
            self._context.media.delete(job.prefix)
            if self._context.text is not None:
                self._context.text.put_text(job_id, "")
            if not any(task.state == "running" for task in job.tasks):
                self._context.jobs.remove(job_id)

    def rerun(
        self, job_id: str, kinds: Collection[str] = (), changes: Mapping[str, object] | None = None
    ) -> Job:
        """
        Run a job again, or some kinds of its tasks, optionally with changed options.

        Raises:
            JobNotFound, JobConflict: there is none, or it has not ended.
            InvalidOptions: a kind or an option is invalid.
            QueueFull, QuotaExceeded: no more jobs are accepted, or none of this tenant.
        """
        if unknown := set(kinds) - set(RERUN_KINDS):
            raise InvalidOptions(
                f"There is no task {min(unknown)!r}; use {', '.join(RERUN_KINDS)}."
            )
        job = self._queries.job(job_id)
        options = replace(job.options, **dict(changes or {}))  # type: ignore[arg-type]
        self._context.check_options(options)
        with Quotas(self._context, job.tenant).admit(place=True, begins=True):
            now, confirmed = self._context.clock(), self._labels_named(job)
            change = partial(rerun, kinds=kinds, options=options, now=now, confirmed=confirmed)
            return self._context.update(job_id, change).after

    def _labels_named(self, job: Job) -> set[str | None]:
        """Labels that users named since the transcript was made."""
        with suppress(StorageError):  # they are deleted with their transcript
            standing = self._queries.edits(job).standing()
            return {each.speaker for each in standing if each.kind == "name"}
        return set()

    # -- editing ---------------------------------------------------------------------------

    def edit(
        self, job_id: str, *edits: Edit, version: int | None = None, author: str | None = None
    ) -> EditResult:
        """
        Make edits in order as one step, all or none.

        Args:
            version: of the record that the editor saw; None accepts any.
            author: name of the editor's API key, for the history.

        Raises:
            JobNotFound, JobNotReady: there is no transcript.
            InvalidOptions: an edit is invalid.
            JobConflict: the transcript changed meanwhile.
        """
        job, before = self._queries.edited_transcript(job_id)
        if version is not None and version != job.version:
            raise _changed_meanwhile()
        now = self._context.clock()
        written = [replace(each, made_at=now, author=author) for each in edits]
        try:
            after = with_edits(before, written, self._queries.snapshots(job))
        except StorageError as error:  # the objects of an older record may be deleted
            if self._queries.version(job_id) != job.version:
                raise _changed_meanwhile() from error
            raise
        transcript, objects = after.transcript, self._store(job, after)
        try:
            keep = not self._context.policy.expire_edited
            change = partial(
                _with_edits, before=job, objects=objects, transcript=transcript, keep=keep, now=now
            )
            changed = self._context.jobs.update(job_id, change).after
        except (JobConflict, JobNotFound):
            self._delete({*objects.values()} - {*job.objects.values()})
            raise
        self._queries.keep(changed, replace(after, unsaved={}))
        with suppress(StorageError, JobError):  # the edit is recorded and must not be repeated
            self._delete({*_edit_objects(job).values()} - {*objects.values()})
            if any(each.kind not in _SAME_TEXT for each in edits):
                self._index(changed, after)
        places = sum(count(before.transcript, each) for each in edits)
        return EditResult(changed, places, before.transcript, transcript)

    def _store(self, job: Job, after: Edited) -> dict[str, str]:
        """Store the log and new snapshots; returns all objects of the edits by logical name."""
        # A new object per edit: the record names it atomically, so that no half edit is ever read.
        key = log_key(job, self._context.clock())
        self._context.media.put(key, _dumped(after.log))
        objects = {LOG: key}
        for place in after.log.snapshots_to_keep(self._queries.snapshots(job)):
            name = f"{SNAPSHOT}{place}"
            if name in job.objects:
                objects[name] = job.objects[name]
            elif place in after.unsaved:
                with suppress(StorageError):  # then later edits repeat more of the log
                    key = f"{job.prefix}/{name}.{uuid.uuid4().hex}"
                    data = zlib.compress(to_json(after.unsaved[place]), 1)
                    self._context.media.put(key, data)
                    objects[name] = key
        return objects

    def _delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._context.media.delete(key)

    def _index(self, job: Job, edited: Edited) -> None:
        """Index the text; again if another edit, which may have been indexed before, came."""
        while self._context.text is not None:
            self._context.text.put_text(job.id, edited.text)
            if self._queries.version(job.id) == job.version:
                return
            job, edited = self._queries.edited_transcript(job.id)


def _dumped(log: EditLog) -> bytes:
    data = to_json(log)
    if len(data) > MOST_LOG_BYTES:
        raise JobConflict(
            f"The edit history of this transcript has reached {MOST_LOG_BYTES >> 20} MiB; rerun "
            "the task attribute to begin a new one."
        )
    return data


def _edit_objects(job: Job) -> dict[str, str]:
    return {
        name: key for name, key in job.objects.items() if name == LOG or name.startswith(SNAPSHOT)
    }


def log_key(job: Job, now: float) -> str:
    """A new key for a log of edits; it begins with the time, as media stores tell none."""
    return f"{job.prefix}/{LOG}.{int(now):08x}{uuid.uuid4().hex[8:]}"


def log_written_at(job: Job, key: str) -> float | None:
    """When a log of edits was written; None for other objects."""
    prefix = f"{job.prefix}/{LOG}."
    return float(int(key.removeprefix(prefix)[:8], 16)) if key.startswith(prefix) else None


def _with_edits(
    job: Job,
    before: Job,
    objects: Mapping[str, str],
    transcript: Transcript,
    keep: bool,
    now: float,
) -> Job:
    same = job.objects.get(LOG) == before.objects.get(LOG)
    if job.deleted or job.state != "completed" or job.run != before.run or not same:
        raise _changed_meanwhile()
    replaced = _edit_objects(job).keys()
    others = {name: key for name, key in job.objects.items() if name not in replaced}
    return replace(
        job,
        objects={**others, **objects},
        names=dict(transcript.names),
        speakers_found=len(transcript.speakers),
        edited=True,
        expires_at=None if keep else job.expires_at,
        # Once an hour, for logs of edits whose process died before it could record them.
        tidy_at=job.tidy_at or now + UNNAMED_LOG_SECONDS,
    )


def _changed_meanwhile() -> JobConflict:
    return JobConflict("This transcript was changed meanwhile; load it and edit again.")
