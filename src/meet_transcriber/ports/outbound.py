"""Ports for outgoing connections: downloads and webhooks."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol


class Fetched(Protocol):
    """A recording that is being downloaded."""

    @property
    def name(self) -> str:
        """File name given by the server, without folders."""
        ...

    @property
    def size(self) -> int | None:
        """Announced size in bytes; None if unknown."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """
        Yield the content as it arrives.

        Raises:
            UploadTooLarge: the content exceeds the limit.
            FetchError: the connection failed or timed out.
        """
        ...


class UrlFetcher(Protocol):
    """Downloads recordings from permitted addresses."""

    def check(self, url: str) -> None:
        """Check that a URL is permitted; raises AddressRefused or FetchError."""
        ...

    def fetch(self, url: str) -> AbstractContextManager[Fetched]:
        """Start a download; raises AddressRefused, FetchError or UploadTooLarge."""
        ...


class Delivery(Protocol):
    """The result of an attempt to deliver a webhook."""

    @property
    def outcome(self) -> str:
        """`delivered`, `retry`, or a final failure: `gone`, `refused`."""
        ...

    @property
    def retry_after(self) -> float | None:
        """Seconds the receiver asked to wait before a retry."""
        ...


class WebhookSender(Protocol):
    """Posts signed webhooks to permitted addresses."""

    def send(
        self, url: str, body: bytes, *, message_id: str, timestamp: int, secret: str | None
    ) -> Delivery:
        """Attempt one delivery; an unreachable receiver is an outcome, not an error."""
        ...
