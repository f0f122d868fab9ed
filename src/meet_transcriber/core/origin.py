"""Where a job came from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """The request that a job came from, so that what is logged and traced of it fits together.

    Attributes:
        request_id: as X-Request-ID told it.
        traceparent: of its span, as W3C writes it; empty where nothing is traced.
    """

    request_id: str = ""
    traceparent: str = ""
