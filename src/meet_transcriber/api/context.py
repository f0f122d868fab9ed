"""What every route shares: conditional requests, small bodies."""

from typing import Annotated

from fastapi import Header, Path
from starlette.requests import Request

from meet_transcriber.api.receiving import small_body
from meet_transcriber.api.wishes import read_json
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.settings import Settings


def settings_of(request: Request) -> Settings:
    """The settings of the app that serves a request."""
    settings: Settings = request.app.state.settings
    return settings


JobId = Annotated[
    str, Path(description="The job's id.", examples=["0b8f6a3e5c1d4f0a9e7b2c6d8f1a3b5c"])
]
Place = Annotated[int, Path(ge=0, description="The segment's place, counted from 0.")]
IfMatch = Annotated[
    str | None, Header(description="ETag or `edition` that is to be changed; any where left out.")
]
IdempotencyKey = Annotated[
    str | None,
    Header(description="A repeated request with the same key gives the job of the first."),
]


async def json_object(request: Request) -> dict[str, object]:
    """
    A small JSON object; nothing counts as an empty one.

    Raises:
        MalformedRequest, InvalidOptions, UploadTooLarge: it is none.
    """
    data = await small_body(request)
    return read_json(data) if data.strip() else {}


def edition_in(if_match: str | None) -> str | None:
    """The edition that If-Match names, from a status's ETag or by itself; None takes any."""
    if if_match is None or if_match.strip() == "*":
        return None
    return if_match.strip().removeprefix("W/").strip('"').partition(".")[0]


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether the caller has this version already."""
    if not if_none_match:
        return False
    known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in known or etag.removeprefix("W/") in known


def only(body: dict[str, object], *names: str) -> dict[str, object]:
    """The body, if it has no other names; raises InvalidOptions."""
    if unknown := body.keys() - set(names):
        raise InvalidOptions(f"There is no {min(unknown)!r} here; there are: {', '.join(names)}.")
    return body
