"""Ports for outgoing connections: downloads and webhooks."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol


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


Outcome = Literal["delivered", "retry", "gone", "refused"]
"""`gone` (status 410) and `refused` (forbidden address) are final failures."""


@dataclass(frozen=True)
class Delivery:
    """The result of an attempt to deliver a webhook.

    Attributes:
        status: of the response; None without one.
        detail: contains the host but not the full address, which may contain a token.
        retry_after: seconds that the receiver asked to wait before a retry.
        slow: the attempt failed, and took more than half of its time.
    """

    outcome: Outcome
    status: int | None
    detail: str
    retry_after: float | None = None
    slow: bool = False


class WebhookSender(Protocol):
    """Posts signed webhooks to permitted addresses."""

    def send(
        self, url: str, body: bytes, *, message_id: str, timestamp: int, secret: str | None
    ) -> Delivery:
        """Attempt one delivery; an unreachable receiver is an outcome, not an error."""
        ...
