"""The people of one tenant, sealed, in one object of the MediaStore."""

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from meet_transcriber.core.errors import StorageError, StorageUnavailable, VoicesOff
from meet_transcriber.core.voices import FOLDER, Book, Person
from meet_transcriber.core.wire import from_plain, to_plain
from meet_transcriber.ports.sealing import Sealer
from meet_transcriber.service.ground import Ground

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

    ground: Ground
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
        sealer, data = sealer_of(self.ground), self._stored()
        return Book() if data is None else unsealed(sealer, Book, data, f"people:{self.tenant}")

    def _stored(self) -> bytes | None:
        """The object; None where there is none, which may change between two looks."""
        media = self.ground.media
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
        sealer, media = sealer_of(self.ground), self.ground.media
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
        jobs, clock = self.ground.jobs, self.ground.clock
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


def sealer_of(ground: Ground) -> Sealer:
    """What voices are sealed with; raises VoicesOff where none are kept."""
    if ground.sealer is None:
        raise VoicesOff(
            "Voices are not remembered on this server: VOICE_PROFILES is off. Whoever runs it can "
            "set VOICE_PROFILES=on; docs/voices.md says what is kept then."
        )
    return ground.sealer


def sealed(sealer: Sealer, value: object, context: str) -> bytes:
    """A value that only the service reads again."""
    data = json.dumps(to_plain(value), separators=(",", ":"), ensure_ascii=False)
    return sealer.seal(data.encode(), context)


def unsealed(sealer: Sealer, kind: type[T], data: bytes, context: str) -> T:
    """What `sealed` wrote; raises VoicesSealed, StorageError."""
    return from_plain(kind, json.loads(sealer.open(data, context)))
