"""HTTP helpers: ETags, Accept, file names, and errors before routing."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import quote

from fastapi import Path
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from meet_transcriber.api.errors import BODY_UNREAD, problem_of
from meet_transcriber.api.openai.errors import enveloped
from meet_transcriber.core.errors import TranscriptionError

JobId = Annotated[
    str, Path(description="The job's id.", examples=["0b8f6a3e5c1d4f0a9e7b2c6d8f1a3b5c"])
]


def first_header(request: Request, name: bytes) -> str | None:
    """The first header of this name; quicker than `request.headers` where most are absent."""
    for each, value in request.scope["headers"]:
        if each == name:
            return str(value, "latin-1")
    return None


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether If-None-Match contains this ETag."""
    if not if_none_match:
        return False
    known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in known or etag.removeprefix("W/") in known


def negotiate(accept: str | None, offered: Mapping[str, str]) -> str:
    """
    The value of the offered media type that the client prefers.

    The first one offered wins among equals, and without an Accept header.

    Raises:
        HTTPException: 406, none is acceptable.
    """
    accepted = _accepted_qualities(accept or "*/*")
    best = max(offered, key=lambda kind: _quality(kind, accepted))
    if _quality(best, accepted) <= 0:
        raise HTTPException(406, f"Available media types: {', '.join(offered)}.")
    return offered[best]


def _accepted_qualities(accept: str) -> dict[str, float]:
    accepted: dict[str, float] = {}
    for item in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        accepted[kind] = _number(quality)
    return accepted


def _number(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0


def _quality(kind: str, accepted: Mapping[str, float]) -> float:
    """The quality of a media type: the most specific range that matches counts."""
    family = kind.partition("/")[0] + "/*"
    return next((accepted[each] for each in (kind, family, "*/*") if each in accepted), 0.0)


_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 -_.()")
_STEM_LENGTH = 120


def attachment(name: str, extension: str) -> str:
    """
    A Content-Disposition for a file derived from the recording `name`, without its path and
    extension, and characters that file systems refuse.

    The quoted name is ASCII for old clients, `filename*` has all characters (RFC 6266, RFC 5987).
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    bare = last.rpartition(".")[0] or last
    kept = "".join(char for char in bare if char.isprintable() and char not in '<>:"|?*')
    stem = kept.strip(" .")[:_STEM_LENGTH] or "transcript"
    plain = "".join(char if char in _PLAIN else "_" for char in stem)
    full = quote(f"{stem}.{extension}", safe="", errors="replace")  # lone surrogates have no UTF-8
    return f"attachment; filename=\"{plain}.{extension}\"; filename*=UTF-8''{full}"


async def send_error(
    error: TranscriptionError | HTTPException, scope: Scope, receive: Receive, send: Send
) -> None:
    """Send an error before routing, in the format that clients of the path read."""
    names = {name for name, _ in scope["headers"]}
    scope[BODY_UNREAD] = bool(names & {b"content-length", b"transfer-encoding"})
    is_openai = f"{scope['path']}/".startswith("/v1/")
    response = enveloped(error) if is_openai else problem_of(Request(scope), error)
    await response(scope, receive, send)
