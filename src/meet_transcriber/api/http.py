"""HTTP helpers: conditional requests, small JSON bodies, Accept, and file names."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import quote

from fastapi import Header, Path
from starlette.exceptions import HTTPException
from starlette.requests import Request

from meet_transcriber.api.forms import small_body
from meet_transcriber.api.options import read_json
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


def reject_unknown_keys(body: dict[str, object], *names: str) -> dict[str, object]:
    """The body, if it has no other names; raises InvalidOptions."""
    if unknown := body.keys() - set(names):
        raise InvalidOptions(f"There is no {min(unknown)!r} here; there are: {', '.join(names)}.")
    return body


def negotiate(accept: str | None, offered: Mapping[str, str]) -> str:
    """
    The value of the offered media type that the caller likes best.

    Of several equals the first offered wins, and without an Accept it does, too.

    Raises:
        HTTPException: 406, when none is acceptable.
    """
    wishes = _wishes(accept or "*/*")
    ranked = [(_quality(kind, wishes), -at) for at, kind in enumerate(offered)]
    quality, place = max(ranked, default=(0.0, 0))
    if quality <= 0:
        raise HTTPException(406, f"There are: {', '.join(offered)}.")
    return list(offered.values())[-place]


def _wishes(accept: str) -> dict[str, float]:
    wishes: dict[str, float] = {}
    for item in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        wishes[kind] = _number(quality)
    return wishes


def _number(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0


def _quality(kind: str, wishes: Mapping[str, float]) -> float:
    """The nearest range counts: the type itself, then its family, then anything."""
    family = kind.partition("/")[0] + "/*"
    return next((wishes[each] for each in (kind, family, "*/*") if each in wishes), 0.0)


_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 -_.()")
_STEM_LENGTH = 120


def attachment(name: str, extension: str) -> str:
    """
    A Content-Disposition for a file made from the recording `name`.

    The quoted name is plain ASCII for old clients, `filename*` has all characters: RFC 6266
    and RFC 5987.
    """
    stem = _stem(name)
    plain = "".join(char if char in _PLAIN else "_" for char in stem)
    full = quote(f"{stem}.{extension}", safe="", errors="replace")
    return f"attachment; filename=\"{plain}.{extension}\"; filename*=UTF-8''{full}"


def _stem(name: str) -> str:
    """The name without path and ending, nothing in it that a file system minds."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    stem = last.rpartition(".")[0] or last
    kept = "".join(char for char in stem if char.isprintable() and char not in '<>:"|?*')
    return kept.strip(" .")[:_STEM_LENGTH] or "transcript"
