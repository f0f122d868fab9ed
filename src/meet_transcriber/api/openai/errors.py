"""Errors as OpenAI's clients expect them: one envelope, and the statuses they know."""

import json
from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from meet_transcriber.api.errors import EarlyResponse, retry_after
from meet_transcriber.core.errors import TranscriptionError
from meet_transcriber.observability.logging import get_logger

log = get_logger(__name__)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

STATUS: Mapping[str, int] = {
    "invalid_audio": 400,
    "unsupported_format": 400,
    "unreadable_audio": 400,
    "audio_too_long": 400,
    "upload_too_large": 413,
    "invalid_options": 400,
    "malformed_request": 400,
    "key_required": 401,
    "invalid_api_key": 401,
    "access_error": 403,
    "scope_missing": 403,
    "csrf_refused": 403,
    "job_not_found": 404,
    "job_cancelled": 409,
    "idempotency_error": 400,
    "idempotency_in_progress": 409,
    "idempotency_mismatch": 422,
    "not_local": 403,
    "host_refused": 403,
    "rate_limited": 429,
    "quota_exceeded": 429,
    "queue_full": 429,
    "engine_unavailable": 503,
    "storage_unavailable": 503,
    "storage_full": 507,
}
"""Status by code of an error, or of a job that failed with it; 500 for others."""

RETRY_SECONDS: Mapping[str, int] = {"idempotency_in_progress": 2, "storage_unavailable": 5}
"""Seconds after which a request may be retried, by code."""

_CLIENT_CLOSED = 499  # as nginx logs it; no client receives it


class ApiError(Exception):
    """An error in place of a transcript."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """OpenAI's envelope; it always has all four keys."""
        return {
            "error": {
                "message": self.message,
                "type": _kind(self.status),
                "param": self.param,
                "code": self.code,
            }
        }


def refused(param: str, message: str, code: str = "invalid_value") -> ApiError:
    """The error of an invalid field."""
    return ApiError(400, message, code=code, param=param)


def error_of(code: str, message: str, headers: Mapping[str, str] | None = None) -> ApiError:
    """
    The error of a request or of a failed job, in OpenAI's terms.

    The official client retries 409 and everything from 500 on by itself; the header
    `x-should-retry` stops it where a retry would fail the same way.
    """
    status = STATUS.get(code, 500)
    if status == HTTPStatus.UNAUTHORIZED:
        code, headers = "invalid_api_key", {"www-authenticate": "Bearer", **(headers or {})}
    later = RETRY_SECONDS.get(code)
    hint = {"retry-after": str(later)} if later else {"x-should-retry": "false"}
    return ApiError(status, message, code=code, headers={**hint, **(headers or {})})


def enveloped(error: Exception) -> Response:
    """The response to any error; an unexpected one is logged and not described."""
    match error:
        case ApiError():
            found = error
        case TranscriptionError():
            wait = retry_after(error)
            retry = {} if wait is None else {"retry-after": str(wait), "x-should-retry": "true"}
            found = error_of(error.code, str(error), retry)
        case RequestValidationError():
            found = ApiError(400, "; ".join(str(each["msg"]) for each in error.errors()))
        case HTTPException():
            found = ApiError(error.status_code, str(error.detail), headers=error.headers)
        case _:
            log.error("request_failed", exc_info=error)
            found = ApiError(500, "An unexpected error occurred; the server's log describes it.")
    return EarlyResponse(json.dumps(found.body), found.status, found.headers, "application/json")


class EnvelopeRoute(APIRoute):
    """A route whose errors, of any origin, are sent in OpenAI's envelope."""

    def get_route_handler(self) -> Handler:
        """The handler of a request, including its errors."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except ClientDisconnect:
                return Response(status_code=_CLIENT_CLOSED)
            except Exception as error:  # noqa: BLE001 - the outermost frame of a request
                return enveloped(error)

        return answer


def _kind(status: int) -> str:
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    return kinds.get(status, "server_error" if status >= 500 else "invalid_request_error")  # noqa: PLR2004
