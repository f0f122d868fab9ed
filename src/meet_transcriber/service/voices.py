"""Remembering people by their voices, and telling who spoke in a meeting."""

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from meet_transcriber.core.edits import labels_given
from meet_transcriber.core.errors import (
    JobCancelled,
    JobNotFound,
    NoVoice,
    StorageError,
    StorageUnavailable,
    VoicesOff,
    VoicesSealed,
)
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.serialization import from_plain, to_plain
from meet_transcriber.core.transcript import Transcript, Voice, total_seconds
from meet_transcriber.core.transitions import withdrawn
from meet_transcriber.core.voices import (
    FOLDER,
    TO_REMEMBER,
    VOICES,
    Book,
    Consent,
    Heard,
    Match,
    Person,
    Sample,
    Wanted,
    clip_heard,
    clip_jobs,
    clip_useless,
    compact,
    expecting,
    matches,
    merged_people,
    remembered,
    renamed,
    without,
)
from meet_transcriber.ports.auth import Sealer
from meet_transcriber.service.commands import JobCommands
from meet_transcriber.service.context import ServiceContext
from meet_transcriber.service.queries import JobQueries

T = TypeVar("T")

_LOCK_SECONDS = 30.0
_PATIENCE_SECONDS = 10.0
_PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class VoiceBook:
    """
    Reads and changes a tenant's people.

    One object holds them all, so that a change is written whole or not at all, and what was
    deleted is in no object any more.
    """

    context: ServiceContext
    tenant: str

    @property
    def key(self) -> str:
        """The object's key; a digest, as a tenant's name may differ from another's in case only."""
        return f"{FOLDER}/{hashlib.sha256(self.tenant.encode()).hexdigest()[:32]}/people.sealed"

    def read(self) -> Book:
        """
        The people, none where nobody was remembered.

        Raises:
            VoicesOff: none are kept here.
            VoicesSealed, StorageError: they do not open, or cannot be read.
        """
        sealer, data = sealer_of(self.context), self._stored()
        return Book() if data is None else unsealed(sealer, Book, data, f"people:{self.tenant}")

    def _stored(self) -> bytes | None:
        """The object; None where there is none, which may change between two looks."""
        media = self.context.media
        try:
            return media.get(self.key)
        except StorageUnavailable:
            raise
        except StorageError:
            return media.get(self.key) if media.exists(self.key) else None

    def change(self, change: Callable[[Book], tuple[Book, T]]) -> T:
        """
        Replace the book by what a function makes of it; returns what that says of it.

        Raises:
            StorageUnavailable: the lock was lost before the book was written; nothing changed.
            TranscriptionError: as `read` does, and whatever the function raises.
        """
        sealer, media = sealer_of(self.context), self.context.media
        with self._alone() as check_held:
            before = self.read()
            book, told = change(before)
            check_held()
            if book.people:
                media.put(self.key, sealed(sealer, book, f"people:{self.tenant}"))
            elif before.people:
                media.delete(self.key)
        return told

    def person(self, person_id: str) -> Person:
        """Somebody of the book; raises VoiceNotFound."""
        return self.read().find(person_id)

    @contextmanager
    def _alone(self) -> Iterator[Callable[[], None]]:
        """While nobody else changes the book; gives what raises StorageUnavailable if not so."""
        name, holder = f"voices:{self.key}", uuid.uuid4().hex
        jobs, clock = self.context.jobs, self.context.clock
        deadline = time.monotonic() + _PATIENCE_SECONDS
        asked = time.monotonic()
        while not jobs.lock(name, holder, _LOCK_SECONDS, clock()):
            if time.monotonic() > deadline:
                raise _locked()
            time.sleep(_PAUSE_SECONDS)
            asked = time.monotonic()

        def check_held() -> None:
            # a lock that lapsed and is free again was somebody else's in between
            lapsed = time.monotonic() - asked > _LOCK_SECONDS
            if lapsed or not jobs.lock(name, holder, _LOCK_SECONDS, clock()):
                raise _locked()

        try:
            yield check_held
        finally:
            with suppress(StorageUnavailable):  # what was written counts; the lock lapses
                jobs.unlock(name, holder)


def _locked() -> StorageUnavailable:
    return StorageUnavailable("The voice profiles are locked by another change; try again.")


def sealer_of(context: ServiceContext) -> Sealer:
    """What voices are sealed with; raises VoicesOff where none are kept."""
    if context.sealer is None:
        raise VoicesOff(
            "Voices are not remembered on this server: VOICE_PROFILES is off. Whoever runs it can "
            "set VOICE_PROFILES=on; docs/voices.md says what is kept then."
        )
    return context.sealer


def sealed(sealer: Sealer, value: object, context: str) -> bytes:
    """A value that only the service reads again."""
    data = json.dumps(to_plain(value), separators=(",", ":"), ensure_ascii=False)
    return sealer.seal(data.encode(), context)


def unsealed(sealer: Sealer, kind: type[T], data: bytes, context: str) -> T:
    """What `sealed` wrote; raises VoicesSealed, StorageError."""
    return from_plain(kind, json.loads(sealer.open(data, context)))


@dataclass(frozen=True, slots=True)
class Speaker:
    """A speaker of a meeting.

    Attributes:
        name: as the transcript has it; None without one.
        seconds: of their segments; of their turns where they have no words.
        match: whom the voice is most similar to, among those who are remembered.
        rememberable: whether the meeting keeps their voice.
    """

    label: str
    name: str | None
    seconds: float
    match: Match | None = None
    rememberable: bool = False


class Voices:
    """The people of one tenant; safe for several threads."""

    def __init__(self, context: ServiceContext, reading: JobQueries, changing: JobCommands) -> None:
        self._context = context
        self._reading = reading
        self._changing = changing
        self._tenant = reading.tenant or ""
        self._book = VoiceBook(context, self._tenant)

    @property
    def kept(self) -> bool:
        """Whether voices are kept at all."""
        return self._context.sealer is not None

    def people(self) -> tuple[Person, ...]:
        """Everybody who is remembered; raises VoicesOff, VoicesSealed."""
        return self._book.read().people

    def person(self, person_id: str) -> Person:
        """Somebody who is remembered; raises VoiceNotFound and as `people` does."""
        return self._book.person(person_id)

    def remember(self, job_id: str, speaker: str, name: str, consent: Consent) -> Person:
        """
        Remember a speaker of a finished meeting; a name that is known gets one more sample.

        Raises:
            VoicesOff, VoicesSealed: as `people` does.
            JobNotFound, JobNotReady: there is no finished meeting.
            NoVoice: it keeps no voice of this speaker, or one that may be another person's.
            VoiceConflict: nobody more can be remembered.
        """
        sealer_of(self._context)
        job, transcript = self._reading.transcript(job_id)
        try:
            voice = heard_in(self._context, job).get(speaker)
        except VoicesSealed as error:
            raise NoVoice(
                "The voices of this meeting were sealed with another secret (VOICE_SECRET, or "
                "voices.key in DATA_DIR). Run its task diarize again."
            ) from error
        if voice is None or speaker not in transcript.speakers:
            raise NoVoice(_why_none(job, speaker))
        if speaker in self._given(job):
            raise NoVoice(
                f"Edits gave {speaker} what the diarizer heard from somebody else, so that the "
                "voice may be another person's. Name another meeting, or send a clip."
            )
        sample = Sample(compact(voice), job.id, speaker, consent, clip=TO_REMEMBER in job.objects)
        return add_sample(self._book, name, sample)

    def rename(self, person_id: str, name: str) -> Person:
        """Rename somebody; raises VoiceNotFound, VoiceConflict and as `people` does."""
        return self._book.change(lambda book: renamed(book, person_id, name))

    def merge(self, into: str, source: str) -> Person:
        """Merge `source` into `into`; raises VoiceNotFound, InvalidOptions and as `people` does."""
        return self._book.change(lambda book: merged_people(book, into, source))

    def delete(self, person_id: str) -> None:
        """
        Forget somebody, with the clips that were sent for them; raises as `person` does.

        Meetings stay as they are. Clips go first: when it fails, it can be called again.
        """
        before = clip_jobs(self._book.person(person_id))
        for job_id in before:
            self._delete_clip(job_id)

        def forgotten(book: Book) -> tuple[Book, None]:
            for job_id in clip_jobs(book.find(person_id)):
                if job_id not in before:  # sent meanwhile
                    self._delete_clip(job_id)
            return without(book, person_id), None

        self._book.change(forgotten)

    def _delete_clip(self, job_id: str) -> None:
        try:
            self._changing.delete(job_id)
        except JobNotFound:
            with suppress(JobNotFound):  # it may still be uploading
                now = self._context.clock()
                self._context.jobs.update(job_id, partial(withdrawn, now=now))

    def submit_clip(
        self, job_id: str, name: str, consent: Consent, submit: Callable[[Mapping[str, bytes]], Job]
    ) -> Job:
        """
        Submit a recording of somebody who shall be remembered.

        The person is in the book before the job begins, so that whoever deletes the person in
        the meantime deletes the clip, too.

        Args:
            job_id: of the job that it will be.
            submit: begins it, with objects that come along.

        Raises:
            VoiceConflict: nobody more can be remembered.
            TranscriptionError: as `people` does, and whatever `submit` raises.
        """
        extras, fresh = self._wanted(name, consent), uuid.uuid4().hex
        self._book.change(lambda book: expecting(book, name, job_id, consent.at, fresh))
        try:
            return submit(extras)
        except BaseException:
            with suppress(StorageError):
                self._book.change(lambda book: clip_useless(book, job_id))
            raise

    def _wanted(self, name: str, consent: Consent) -> dict[str, bytes]:
        """What comes along with a clip; raises VoicesOff."""
        sealer = sealer_of(self._context)
        return {TO_REMEMBER: sealed(sealer, Wanted(name, consent), _clip_of(self._tenant))}

    def speakers(self, job_id: str) -> list[Speaker]:
        """
        The speakers of a finished meeting in order of first speech, and who they may be.

        Raises:
            JobNotFound, JobNotReady: there is no finished meeting.
            VoicesSealed: the people do not open; a meeting's voices that do not count as none.
        """
        job, transcript = self._reading.transcript(job_id)
        voices = self._voices_of(job, transcript)
        found = matches(voices, self.people()) if voices else {}
        return [
            Speaker(
                label,
                transcript.names.get(label),
                _seconds_of(transcript, label),
                found.get(label),
                label in voices,
            )
            for label in transcript.speakers
        ]

    def _voices_of(self, job: Job, transcript: Transcript) -> dict[str, Voice]:
        """Of the speakers that edits have left, where they are surely theirs."""
        try:
            heard = heard_in(self._context, job)
        except VoicesSealed:
            return {}
        mixed = self._given(job) if heard else frozenset()
        return {
            label: heard[label]
            for label in transcript.speakers
            if label in heard and label not in mixed
        }

    def _given(self, job: Job) -> frozenset[str | None]:
        """Labels whose voices need not be those of the words that they have by now."""
        if not job.edited:
            return frozenset()
        return labels_given(self._reading.machine_transcript(job), self._reading.edits(job))


def heard_in(context: ServiceContext, job: Job) -> dict[str, Voice]:
    """The voices that a meeting keeps, by label; none where none may be kept."""
    key = job.objects.get(VOICES)
    if key is None or context.sealer is None:
        return {}
    heard = unsealed(context.sealer, Heard, context.media.get(key), f"job:{job.id}")
    return dict(heard.voices)


def clip_wanted(context: ServiceContext, job: Job) -> Wanted | None:
    """Whom a job's clip shall be remembered as, where it was sent for that."""
    key = job.objects.get(TO_REMEMBER)
    if key is None or context.sealer is None:
        return None
    return unsealed(context.sealer, Wanted, context.media.get(key), _clip_of(job.tenant))


def add_sample(book: VoiceBook, name: str, sample: Sample) -> Person:
    """One more sample of the person of this name, who may be new."""
    fresh = uuid.uuid4().hex
    return book.change(lambda known: remembered(known, name, sample, fresh))


def add_clip(context: ServiceContext, job: Job, sample: Sample) -> Person:
    """
    Keep the sample of a clip.

    Raises:
        VoiceNotFound: the person was deleted.
        JobNotFound, JobCancelled: the clip's job was deleted or cancelled.
    """

    def heard(book: Book) -> tuple[Book, Person]:
        now = context.jobs.get(job.id)
        if now.deleted:
            raise JobNotFound(f"Job {job.id} was deleted.")
        if now.state == "cancelled":
            raise JobCancelled("The job was cancelled.")
        return clip_heard(book, sample)

    return VoiceBook(context, job.tenant).change(heard)


def drop_clip(context: ServiceContext, job: Job) -> None:
    """Forget the person of a clip that gave no voice, if nothing else is known of them."""
    VoiceBook(context, job.tenant).change(lambda book: clip_useless(book, job.id))


def _clip_of(tenant: str) -> str:
    return f"clip:{tenant}"


def _seconds_of(transcript: Transcript, label: str) -> float:
    spoken = [each.end - each.start for each in transcript.segments if each.speaker == label]
    return sum(spoken) or total_seconds(each for each in transcript.turns if each.speaker == label)


def _why_none(job: Job, speaker: str) -> str:
    if VOICES not in job.objects:
        return (
            "This meeting keeps no voices: it was transcribed while VOICE_PROFILES was off, or its "
            "diarizer hears none. Run its task diarize again."
        )
    return (
        f"This meeting keeps no voice of {speaker[:40]!r}: there is no such speaker, or one who "
        "says too little."
    )
