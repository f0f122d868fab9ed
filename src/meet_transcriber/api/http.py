"""HTTP helpers: JSON bodies, conditional requests, Accept, file names, errors before routing."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import quote

from fastapi import Depends, Header, Path
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from meet_transcriber.api.errors import (
    PHRASES,
    OptionProblems,
    Problem,
    problem_of,
    problems_in,
)
from meet_transcriber.api.forms import BODY_UNREAD, small_body
from meet_transcriber.api.openai.errors import ApiError, enveloped
from meet_transcriber.core.errors import InvalidOptions, MalformedRequest, TranscriptionError
from meet_transcriber.settings import Settings


def settings_of(request: Request) -> Settings:
    """The settings of the app that serves a request."""
    settings: Settings = request.app.state.settings
    return settings


JobId = Annotated[
    str, Path(description="The job's id.", examples=["0b8f6a3e5c1d4f0a9e7b2c6d8f1a3b5c"])
]
Place = Annotated[int, Path(ge=0, description="The segment's place, counted from 0.")]
IfMatch = Annotated[str | None, Header(description="ETag or `edition` to change; any if left out.")]
IdempotencyKey = Annotated[
    str | None,
    Header(description="A repeated request with the same key returns the job of the first."),
]


M = TypeVar("M", bound=BaseModel)


class RequestModel(BaseModel):
    """The body of a request; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _as_integer(cls, value: object) -> object:
        """Turn 3.0 into 3, as JSON does not distinguish them."""
        return int(value) if isinstance(value, float) and value.is_integer() else value


class JsonBody(Generic[M]):
    """
    Dependency that parses a small JSON object; an empty body counts as `{}`.

    FastAPI's own body parameters would read the body before the caller is authenticated, without
    limits of size and time, and would accept repeated names.

    Raises:
        MalformedRequest, InvalidOptions, UploadTooLarge: the body is not such an object.
    """

    def __init__(self, model: type[M]) -> None:
        self.model = model

    async def __call__(self, request: Request) -> M:
        data = await small_body(request)
        return validate(self.model, read_json(data) if data.strip() else {})


def json_body(model: type[BaseModel]) -> Any:
    """The default of a route parameter that holds the JSON body."""
    return Depends(JsonBody(model))


def validate(model: type[M], value: object) -> M:
    """
    Parse a value.

    Raises:
        OptionProblems: names each field that is wrong.
        InvalidOptions: the fields are wrong together.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        fields = [field.alias or name for name, field in model.model_fields.items()]
        found = problems_in(error.errors(), fields)
        named = [each for each in found if each[0]]
        raise OptionProblems(named) if named else InvalidOptions(found[0][1]) from error


def read_json(data: bytes) -> dict[str, object]:
    """
    Parse a JSON object.

    Raises:
        MalformedRequest: the body is not valid JSON.
        InvalidOptions: the JSON is not an object.
    """
    try:
        value = json.loads(data, object_pairs_hook=_without_repetition)
        json.dumps(value, ensure_ascii=False).encode()  # refuses lone surrogates
    except (ValueError, RecursionError) as error:
        raise MalformedRequest(f"The body is not valid JSON: {str(error)[:100]}.") from error
    if not isinstance(value, dict):
        raise InvalidOptions("The body must be a JSON object.")
    return value


def _without_repetition(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("an object repeats a name")
    return made


def edition_in(if_match: str | None) -> str | None:
    """The edition that If-Match names, as an ETag or by itself; None for any."""
    if if_match is None or if_match.strip() == "*":
        return None
    return if_match.strip().removeprefix("W/").strip('"').partition(".")[0]


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
    ranked = [(_quality(kind, accepted), -at) for at, kind in enumerate(offered)]
    quality, place = max(ranked, default=(0.0, 0))
    if quality <= 0:
        raise HTTPException(406, f"Available media types: {', '.join(offered)}.")
    return list(offered.values())[-place]


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
    A Content-Disposition for a file derived from the recording `name`.

    The quoted name is ASCII for old clients, `filename*` has all characters (RFC 6266, RFC 5987).
    """
    stem = _stem(name)
    plain = "".join(char if char in _PLAIN else "_" for char in stem)
    full = quote(f"{stem}.{extension}", safe="", errors="replace")
    return f"attachment; filename=\"{plain}.{extension}\"; filename*=UTF-8''{full}"


def _stem(name: str) -> str:
    """The name without path, extension, and characters that file systems refuse."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    stem = last.rpartition(".")[0] or last
    kept = "".join(char for char in stem if char.isprintable() and char not in '<>:"|?*')
    return kept.strip(" .")[:_STEM_LENGTH] or "transcript"


def error_response(scope: Scope, error: TranscriptionError) -> Response:
    """The response to an error before routing, in the format that clients of the path read."""
    return enveloped(error) if _is_openai(scope) else problem_of(Request(scope), error)


def plain_error_response(scope: Scope, status: int, detail: str) -> Response:
    """The response to a request that violates HTTP, before routing."""
    if _is_openai(scope):
        return enveloped(ApiError(status, detail))
    phrase = PHRASES[status]
    return Problem(Request(scope), status, phrase.lower().replace(" ", "_"), phrase, detail)


async def send_early(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a response although the request's body, if there is one, was not read."""
    names = {name for name, _ in scope["headers"]}
    scope[BODY_UNREAD] = bool(names & {b"content-length", b"transfer-encoding"})
    await response(scope, receive, send)


def _is_openai(scope: Scope) -> bool:
    return f"{scope['path']}/".startswith("/v1/")
