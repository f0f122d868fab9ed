"""Keeping personal data so that only this service can read it."""

from typing import Protocol


class Sealer(Protocol):
    """Encrypts with the service's secret, and notices every change."""

    def seal(self, data: bytes, context: str) -> bytes:
        """Encrypt; `context` says what it is and whose, and has to be the same when opening."""
        ...

    def open(self, sealed: bytes, context: str) -> bytes:
        """
        Decrypt.

        Raises:
            VoicesSealed: another secret or context, or other bytes than were written.
        """
        ...
