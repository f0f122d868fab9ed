"""Stores people's voices, and recognizes people in meetings by them."""

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from meet_transcriber.core.errors import (
    JobNotFound,
    NoVoice,
    StorageError,
    StorageUnavailable,
    VoicesOff,
    VoicesSealed,
)
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.serialization import from_json, to_plain
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
    clip_jobs,
    compact,
    matches,
    merged_people,
    renamed,
    with_clip,
    with_sample,
    without,
    without_clip,
)
from meet_transcriber.ports.auth import Sealer
from meet_transcriber.service.commands import JobCommands
from meet_transcriber.service.context import ServiceContext
from meet_transcriber.service.queries import JobQueries

T = TypeVar("T")

_LOCK_SECONDS = 30.0  # deleting a person deletes the clips while the lock is held
_BUSY = "The voice profiles are locked by another change; try again."


@dataclass(frozen=True)
class VoiceBook:
    """
    Reads and changes a tenant's people.

    One object holds them all, so that changes are atomic and no object keeps deleted data.
    """

    context: ServiceContext
    tenant: str

    @property
    def key(self) -> str:
        """The object's key; a digest, because names of tenants may differ in case only."""
        return f"{FOLDER}/{hashlib.sha256(self.tenant.encode()).hexdigest()[:32]}/people.sealed"

    def read(self) -> Book:
        """
        The people; empty before the first is added.

        Raises:
            VoicesOff: voices are not stored on this server.
            VoicesSealed, StorageError: they cannot be decrypted or read.
        """
        sealer, data = sealer_of(self.context), self._stored()
        return Book() if data is None else unsealed(sealer, Book, data, f"people:{self.tenant}")

    def _stored(self) -> bytes | None:
        """The object's bytes, or None if it does not exist."""
        media = self.context.media
        try:
            return media.get(self.key)
        except StorageUnavailable:
            raise
        except StorageError:
            # It may have been written since the failed read.
            return media.get(self.key) if media.exists(self.key) else None

    def change(self, change: Callable[[Book], tuple[Book, T]]) -> T:
        """
        Replace the book with the result of a function; returns the function's other result.

        Raises:
            StorageUnavailable: the lock was lost before the book was written; nothing changed.
            TranscriptionError: as `read` does, and whatever the function raises.
        """
        sealer, media = sealer_of(self.context), self.context.media
        with self.context.locked(f"voices:{self.key}", _BUSY, _LOCK_SECONDS) as check_held:
            before = self.read()
            book, result = change(before)
            check_held()
            if book.people:
                media.put(self.key, sealed(sealer, book, f"people:{self.tenant}"))
            elif before.people:
                media.delete(self.key)
        return result


def sealer_of(context: ServiceContext) -> Sealer:
    """The sealer of voices; raises VoicesOff if none are stored."""
    if context.sealer is None:
        raise VoicesOff(
            "Voices are not stored on this server: VOICE_PROFILES is off. Its operator can set "
            "VOICE_PROFILES=on; docs/voices.md says what is stored then."
        )
    return context.sealer


def sealed(sealer: Sealer, value: object, context: str) -> bytes:
    """Encrypt a value."""
    data = json.dumps(to_plain(value), separators=(",", ":"), ensure_ascii=False)
    return sealer.seal(data.encode(), context)


def unsealed(sealer: Sealer, kind: type[T], data: bytes, context: str) -> T:
    """Decrypt what `sealed` returned; raises VoicesSealed, StorageError."""
    return from_json(kind, sealer.open(data, context))


@dataclass(frozen=True, slots=True)
class Speaker:
    """A speaker of a meeting.

    Attributes:
        name: in the transcript; None without one.
        seconds: of their segments, or of their turns if they have no words.
        match: the stored person whose voice is most similar.
        rememberable: whether the meeting has their voice.
    """

    label: str
    name: str | None
    seconds: float
    match: Match | None = None
    rememberable: bool = False


class Voices:
    """The people of one tenant; safe for several threads."""

    def __init__(self, context: ServiceContext, queries: JobQueries, commands: JobCommands) -> None:
        self._context = context
        self._queries = queries
        self._commands = commands
        self._tenant = queries.tenant or ""
        self._book = VoiceBook(context, self._tenant)

    @property
    def enabled(self) -> bool:
        """Whether voices are stored."""
        return self._context.sealer is not None

    def people(self) -> tuple[Person, ...]:
        """All stored people; raises VoicesOff, VoicesSealed."""
        return self._book.read().people

    def person(self, person_id: str) -> Person:
        """A stored person; raises VoiceNotFound and as `people` does."""
        return self._book.read().find(person_id)

    def remember(self, job_id: str, speaker: str, name: str, consent: Consent) -> Person:
        """
        Store the voice of a speaker of a completed meeting; a known name gets another sample.

        Raises:
            VoicesOff, VoicesSealed: as `people` does.
            JobNotFound, JobNotReady: there is no completed meeting.
            NoVoice: it has no voice of this speaker, or one that may be another person's.
            VoiceConflict: no more people can be stored.
        """
        sealer_of(self._context)
        find = partial(self._sample, speaker=speaker, consent=consent)
        sample, fresh = self._queries.consistent(job_id, find), uuid.uuid4().hex
        return self._book.change(lambda book: with_sample(book, name, sample, fresh))

    def _sample(self, job: Job, speaker: str, consent: Consent) -> Sample:
        """The voice of a speaker of a meeting; raises NoVoice."""
        edited = self._queries.edited_of(job)
        try:
            voice = heard_in(self._context, job).get(speaker)
        except VoicesSealed as error:
            raise NoVoice(
                "The voices of this meeting were sealed with another secret (VOICE_SECRET, or "
                "voices.key in DATA_DIR). Run its task diarize again."
            ) from error
        if voice is None or speaker not in edited.transcript.speakers:
            raise NoVoice(_missing_voice_reason(job, speaker))
        if speaker in edited.labels_given:
            raise NoVoice(
                f"Edits assigned words of another speaker to {speaker}, so that the voice may be "
                "another person's. Use another meeting, or send a clip."
            )
        return Sample(compact(voice), job.id, speaker, consent, clip=TO_REMEMBER in job.objects)

    def rename(self, person_id: str, name: str) -> Person:
        """Rename a person; raises VoiceNotFound, VoiceConflict and as `people` does."""
        return self._book.change(lambda book: renamed(book, person_id, name))

    def merge(self, into: str, source: str) -> Person:
        """Merge `source` into `into`; raises VoiceNotFound, InvalidOptions and as `people` does."""
        return self._book.change(lambda book: merged_people(book, into, source))

    def delete(self, person_id: str) -> None:
        """
        Delete a person and the clips that were sent for them; raises as `person` does.

        Meetings stay unchanged. Clips are deleted first, so that a failed call can be repeated.
        """
        before = clip_jobs(self.person(person_id))
        for job_id in before:
            self._delete_clip(job_id)

        def remove(book: Book) -> tuple[Book, None]:
            for job_id in clip_jobs(book.find(person_id)):
                if job_id not in before:  # sent meanwhile
                    self._delete_clip(job_id)
            return without(book, person_id), None

        self._book.change(remove)

    def _delete_clip(self, job_id: str) -> None:
        try:
            self._commands.delete(job_id)
        except JobNotFound:
            # It may still be uploading; maintenance removes its objects, as they are being written.
            with suppress(JobNotFound):
                now = self._context.clock()
                self._context.jobs.update(job_id, partial(withdrawn, now=now))

    def submit_clip(
        self, job_id: str, name: str, consent: Consent, submit: Callable[[Mapping[str, bytes]], Job]
    ) -> Job:
        """
        Submit a recording of a person whose voice is to be stored.

        The person is in the book before the job begins, so that deleting the person meanwhile
        deletes the clip as well.

        Args:
            job_id: of the clip's job.
            submit: begins the job, with extra objects.

        Raises:
            VoiceConflict: no more people can be stored.
            TranscriptionError: as `people` does, and whatever `submit` raises.
        """
        data = sealed(sealer_of(self._context), Wanted(name, consent), clip_context(self._tenant))
        fresh = uuid.uuid4().hex
        self._book.change(lambda book: with_clip(book, name, job_id, consent.at, fresh))
        try:
            return submit({TO_REMEMBER: data})
        except BaseException:
            with suppress(StorageError):
                self._book.change(lambda book: without_clip(book, job_id))
            raise

    def speakers(self, job_id: str) -> list[Speaker]:
        """
        The speakers of a completed meeting in order of first speech, with matching people.

        Raises:
            JobNotFound, JobNotReady: there is no completed meeting.
            VoicesSealed: the people cannot be decrypted; a meeting's voices may be missing.
        """
        transcript, voices = self._queries.consistent(job_id, self._voices_of)
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

    def _voices_of(self, job: Job) -> tuple[Transcript, dict[str, Voice]]:
        """The transcript, and the voices of its speakers, except where edits mixed speakers."""
        edited = self._queries.edited_of(job)
        try:
            heard = heard_in(self._context, job)
        except VoicesSealed:
            heard = {}
        usable = heard.keys() - edited.labels_given
        speakers = edited.transcript.speakers
        return edited.transcript, {each: heard[each] for each in speakers if each in usable}


def heard_in(context: ServiceContext, job: Job) -> dict[str, Voice]:
    """The stored voices of a meeting by label; none if voices are off."""
    key = job.objects.get(VOICES)
    if key is None or context.sealer is None:
        return {}
    heard = unsealed(context.sealer, Heard, context.media.get(key), f"job:{job.id}")
    return dict(heard.voices)


def clip_context(tenant: str) -> str:
    """The context in which a clip's person is sealed."""
    return f"clip:{tenant}"


def _seconds_of(transcript: Transcript, label: str) -> float:
    spoken = [each.end - each.start for each in transcript.segments if each.speaker == label]
    return sum(spoken) or total_seconds(each for each in transcript.turns if each.speaker == label)


def _missing_voice_reason(job: Job, speaker: str) -> str:
    if VOICES not in job.objects:
        return (
            "This meeting has no stored voices: VOICE_PROFILES was off when it was transcribed, or "
            "its diarizer computes none. Run its task diarize again."
        )
    return (
        f"This meeting has no voice of {speaker[:40]!r}: the speaker does not exist, or says too "
        "little."
    )
