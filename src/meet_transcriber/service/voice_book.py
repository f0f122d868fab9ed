"""The people of one tenant, sealed, in one object of the MediaStore."""

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from meet_transcriber.core.errors import StorageUnavailable, VoicesOff
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
        sealer, media = sealer_of(self.ground), self.ground.media
        if not media.exists(self.key):
            return Book()
        return unsealed(sealer, Book, media.get(self.key), f"people:{self.tenant}")

    def change(self, change: Callable[[Book], tuple[Book, T]]) -> T:
        """
        Replace the book by what a pure function makes of it; returns what that says of it.

        Raises:
            TranscriptionError: as `read` does, and whatever the function raises.
        """
        sealer, media = sealer_of(self.ground), self.ground.media
        with self._alone():
            book, told = change(self.read())
            if book.people:
                media.put(self.key, sealed(sealer, book, f"people:{self.tenant}"))
            else:
                media.delete(self.key)
        return told

    def person(self, person_id: str) -> Person:
        """Somebody of the book; raises VoiceNotFound."""
        return self.read().find(person_id)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While nobody else changes the book."""
        name, holder = f"voices:{self.key}", uuid.uuid4().hex
        jobs, clock = self.ground.jobs, self.ground.clock
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not jobs.lock(name, holder, _LOCK_SECONDS, clock()):
            if time.monotonic() > deadline:
                raise StorageUnavailable("Somebody else changes the voices; try again.")
            time.sleep(_PAUSE_SECONDS)
        try:
            yield
        finally:
            jobs.lock(name, holder, 0.0, clock())  # held no longer: free


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
