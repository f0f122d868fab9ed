"""Whom the service calls: addresses of recordings, and webhooks."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol


class Fetched(Protocol):
    """A recording that is being fetched."""

    @property
    def name(self) -> str:
        """What its sender calls it, as a plain file name."""
        ...

    @property
    def size(self) -> int | None:
        """Bytes announced; None where they were not."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """
        Yield its bytes as they come.

        Raises:
            UploadTooLarge: there are more than the limit allows.
            FetchError: the connection broke, or it took too long.
        """
        ...


class UrlFetcher(Protocol):
    """Fetches recordings from addresses that this service may connect to."""

    def check(self, url: str) -> None:
        """Refuse what may not be called at all; raises AddressRefused or FetchError."""
        ...

    def fetch(self, url: str) -> AbstractContextManager[Fetched]:
        """Open a download; raises AddressRefused, FetchError or UploadTooLarge."""
        ...


class Delivery(Protocol):
    """How one attempt to deliver a webhook went."""

    @property
    def outcome(self) -> str:
        """`delivered`, `retry`, or `gone` and `refused`, which are final."""
        ...

    @property
    def retry_after(self) -> float | None:
        """Seconds that the receiver asked to be left alone."""
        ...


class WebhookSender(Protocol):
    """Posts signed messages to permitted addresses."""

    def send(
        self, url: str, body: bytes, *, message_id: str, timestamp: int, secret: str | None
    ) -> Delivery:
        """Try once; a receiver that cannot be reached is an outcome, not an error."""
        ...
