"""Errors in the envelope of OpenAI's clients."""

import json
import logging

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from meet_transcriber.api.openai.errors import STATUS, ApiError, enveloped, error_of
from meet_transcriber.core import errors


def codes(kind: type[errors.TranscriptionError]) -> set[str]:
    return {kind.code}.union(*map(codes, kind.__subclasses__()))


def test_an_unexpected_error_is_logged_and_hides_its_details(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = enveloped(ZeroDivisionError("secret"))
    assert (answer.status_code, b"secret" in answer.body) == (500, False)
    assert "secret" in caplog.text


def test_every_code_in_the_table_is_one_of_ours() -> None:
    assert set(STATUS) <= codes(errors.TranscriptionError)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (errors.EngineUnavailable("x"), 503, "server_error"),
        (errors.StorageFull("x"), 507, "server_error"),
        (errors.RecognitionFailed("x"), 500, "server_error"),
        (errors.AudioTooLong("x"), 400, "invalid_request_error"),
        (RequestValidationError([{"msg": "Input is wrong"}]), 400, "invalid_request_error"),
        (HTTPException(401, "Who are you?"), 401, "authentication_error"),
        (HTTPException(429, "Slower."), 429, "rate_limit_error"),
        (ApiError(403, "No."), 403, "permission_error"),
    ],
)
def test_an_error_has_the_status_of_its_kind(error: Exception, status: int, kind: str) -> None:
    answer = enveloped(error)
    assert answer.status_code == status
    assert json.loads(bytes(answer.body))["error"]["type"] == kind


def test_headers_of_a_refusal_survive() -> None:
    answer = enveloped(HTTPException(429, "Slower.", {"Retry-After": "7"}))
    assert answer.headers["retry-after"] == "7"


def test_errors_say_whether_and_when_to_retry() -> None:
    assert error_of("idempotency_in_progress", "x").headers == {"retry-after": "2"}
    assert error_of("storage_full", "x").headers == {"x-should-retry": "false"}
