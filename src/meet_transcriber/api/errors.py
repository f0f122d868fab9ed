"""Maps errors to statuses, and to problem details as RFC 9457 defines them."""

import inspect
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from itertools import islice
from typing import Any

import anyio
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from meet_transcriber.core import errors
from meet_transcriber.observability.logging import get_logger

log = get_logger(__name__)

MEDIA_TYPE = "application/problem+json"

STATUSES: Mapping[type[errors.TranscriptionError], int] = {
    errors.MalformedRequest: 400,
    errors.InvalidOptions: 422,
    errors.UnsupportedFormat: 415,
    errors.UploadTooLarge: 413,
    errors.InvalidAudio: 422,
    errors.AddressRefused: 422,
    errors.FetchError: 422,  # the address cannot be fetched; this server is not at fault
    errors.JobNotFound: 404,
    errors.IdempotencyMismatch: 422,  # as the draft of the Idempotency-Key header says
    errors.EditConflict: 412,  # what If-Match is for
    errors.JobError: 409,  # the state of the job does not permit it
    errors.TooMuch: 429,
    errors.EngineUnavailable: 503,
    errors.NothingToFetch: 409,
    errors.KeyRequired: 401,
    errors.KeyRefused: 401,
    errors.AccessError: 403,
    errors.KeyNotFound: 404,
    errors.KeyConflict: 409,
    errors.VoicesOff: 409,  # the configuration is in the way, not the request
    errors.VoiceNotFound: 404,
    errors.VoiceConflict: 409,
    errors.VoicesSealed: 409,
    errors.StorageFull: 507,
    errors.StorageUnavailable: 503,
}
"""Status by class of error; the nearest base class counts, others are 500."""

PHRASES: Mapping[int, str] = {
    **{status.value: status.phrase for status in HTTPStatus},
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
"""Names of RFC 9110; those four of `http.HTTPStatus` differ between versions of Python."""

RETRY_SECONDS = 5
STATUS_HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": "Bearer"},
    503: {"Retry-After": str(RETRY_SECONDS)},
}
"""Headers of every response with this status."""

BODY_UNREAD = "meet_transcriber.unread"
"""Key of an ASGI scope: True while the request's body is not read to its end."""

_DRAINED_BYTES = 256 << 10
_DRAINED_SECONDS = 1.0
_MOST_PROBLEMS = 100
"""A small body may have ten thousand wrong fields."""


class OptionProblems(errors.InvalidOptions):
    """Several options are invalid; `found` has the name of each, and a sentence about it."""

    def __init__(self, found: Sequence[tuple[str, str]]) -> None:
        super().__init__(" ".join(message for _, message in found))
        self.found = found


def status_of(error: errors.TranscriptionError) -> int:
    """The status of the nearest class in `STATUSES`."""
    kinds = type(error).__mro__
    return next((STATUSES[kind] for kind in kinds if kind in STATUSES), 500)


class EarlyResponse(Response):
    """
    A response that may be sent before the request's body was read to its end.

    It is sent at once, and a little more of the body is read before the connection is closed, so
    that a client that is still sending gets the response instead of a broken connection.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not scope.get(BODY_UNREAD):
            await super().__call__(scope, receive, send)
            return
        self.headers["Connection"] = "close"
        start = {"type": "http.response.start", "status": self.status_code}
        await send({**start, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with anyio.move_on_after(_DRAINED_SECONDS):
            await _drain(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Problem(EarlyResponse):
    """A response with problem details."""

    media_type = MEDIA_TYPE

    def __init__(
        self,
        request: Request,
        status: int,
        code: str,
        title: str,
        detail: str,
        found: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        body: dict[str, Any] = {
            "type": f"urn:meet-transcriber:problem:{code}",
            "title": title,
            "status": status,
            "detail": detail,
            "instance": request.url.path,
            "code": code,
            "request_id": request.scope.get("state", {}).get("request_id", ""),
            "errors": [{"name": name, "message": message} for name, message in found],
        }
        super().__init__(json.dumps(body), status, headers)


async def _drain(receive: Receive) -> None:
    left = _DRAINED_BYTES
    while left > 0:
        message = await receive()
        left -= len(message.get("body", b""))
        if not message.get("more_body", False):
            return


def install(app: FastAPI) -> None:
    """Let an app send its errors as problem details; the middleware sends unexpected ones."""
    for kind in (
        errors.TranscriptionError,
        RequestValidationError,
        HTTPException,
        ClientDisconnect,
    ):
        app.add_exception_handler(kind, _handle)


async def _handle(request: Request, error: Exception) -> Response:
    match error:
        case errors.TranscriptionError() | HTTPException():
            return problem_of(request, error)
        case RequestValidationError():
            found = [{**each, "loc": each["loc"][1:]} for each in error.errors()]
            return problem_of(request, OptionProblems(problems_in(found)))
        case _:  # the client is gone and receives nothing
            return Response(status_code=400)


def problem_of(request: Request, error: errors.TranscriptionError | HTTPException) -> Problem:
    """The response to an error."""
    if isinstance(error, HTTPException):
        return _http_problem(request, error)
    status = status_of(error)
    found = error.found if isinstance(error, OptionProblems) else ()
    wait = retry_after(error)
    headers = STATUS_HEADERS.get(status, {}) if wait is None else {"Retry-After": str(wait)}
    if isinstance(error, errors.UploadConflict):
        headers = {**headers, "Upload-Offset": str(error.received_bytes)}
    kind = next(each for each in type(error).__mro__ if "code" in vars(each))
    title = (inspect.getdoc(kind) or "").split("\n\n", 1)[0]
    return Problem(request, status, error.code, title, str(error), found, headers)


def retry_after(error: errors.TranscriptionError) -> int | None:
    """Whole seconds after which a retry makes sense, if the error knows them."""
    seconds = error.retry_after_seconds if isinstance(error, errors.TooMuch) else None
    return None if seconds is None else max(1, math.ceil(seconds))


def problems_in(
    found: Iterable[Mapping[str, Any]], known: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """
    Names of the first wrong fields and what is wrong with them, from pydantic's errors.

    Args:
        known: the fields that exist, to name them beside an unknown one.
    """
    return [_problem(each, known) for each in islice(found, _MOST_PROBLEMS)]


def _problem(found: Mapping[str, Any], known: Sequence[str]) -> tuple[str, str]:
    name = ".".join(map(str, found["loc"]))
    if found["type"] == "extra_forbidden":
        there = f"; known fields: {', '.join(known)}" if len(found["loc"]) == 1 else ""
        return name, f"Unknown field {name!r}{there}."
    why = str(found["ctx"]["error"]) if found["type"] == "value_error" else found["msg"]
    return name, f"{name}: {why.rstrip('.')}." if name else f"{why}."


def _http_problem(request: Request, error: HTTPException) -> Problem:
    phrase, headers = PHRASES[error.status_code], dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        known = sorted(headers.get("Allow", "").split(", "))  # a set's order, in the router
        headers["Allow"] = _allowed(request) or ", ".join(known)
    code = phrase.lower().replace(" ", "_")
    return Problem(request, error.status_code, code, phrase, error.detail, headers=headers)


def _allowed(request: Request) -> str:
    """All methods of a path; the router names only those of its first route."""
    methods: list[str] = []
    for template, operations in request.app.openapi()["paths"].items():
        pattern = re.sub(r"\\\{.*?\\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, request.url.path):
            methods += operations
    return ", ".join(sorted(method.upper() for method in methods))


def internal_error(request: Request, error: Exception) -> Problem:
    """The response to an unexpected error, which is logged and not described."""
    log.error("request_failed", error=type(error).__name__)
    return Problem(
        request,
        500,
        "internal_error",
        "An unexpected error occurred.",
        "The service's log describes it under this request's id.",
    )
