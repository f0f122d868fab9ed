"""Error responses sent before routing, in the format that the path's clients read."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from meet_transcriber.api.errors import PHRASES, Problem, problem_of
from meet_transcriber.api.forms import BODY_UNREAD
from meet_transcriber.api.openai.errors import ApiError, enveloped
from meet_transcriber.core.errors import TranscriptionError


def error_response(scope: Scope, error: TranscriptionError) -> Response:
    """The answer to an error of ours."""
    if _is_openai(scope):
        return enveloped(error)
    return problem_of(Request(scope), error)


def plain_error_response(scope: Scope, status: int, detail: str) -> Response:
    """The answer to a request that HTTP itself is at odds with."""
    phrase = PHRASES[status]
    if _is_openai(scope):
        return enveloped(ApiError(status, detail))
    return Problem(Request(scope), status, phrase.lower().replace(" ", "_"), phrase, detail)


async def send_early(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Send an answer although the request's body, where there is one, was not read."""
    names = {name for name, _ in scope["headers"]}
    scope[BODY_UNREAD] = bool(names & {b"content-length", b"transfer-encoding"})
    await response(scope, receive, send)


def _is_openai(scope: Scope) -> bool:
    path: str = scope["path"]
    return f"{path}/".startswith("/v1/")
