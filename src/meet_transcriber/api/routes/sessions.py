"""Browser sessions: a cookie, because players and event streams cannot send a key's header."""

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from meet_transcriber.api import serializers
from meet_transcriber.api.auth import (
    authenticate,
    check_csrf_token,
    cookie_name,
    find_session,
    get_auth,
    read_session_token,
    read_token,
    reject_cross_site,
)
from meet_transcriber.api.forms import content_type, small_body
from meet_transcriber.api.http import read_json, validate
from meet_transcriber.api.openapi import problems, request_body, response
from meet_transcriber.api.schemas import SignInRequest
from meet_transcriber.api.serializers import JsonResponse
from meet_transcriber.core.auth import Caller, SignedIn, caller_of
from meet_transcriber.core.errors import InvalidOptions

router = APIRouter(tags=["access"], default_response_class=Response)

_SESSION = response(200, "Who is signed in, and the token for X-CSRF-Token.", "SignedIn")


@router.post(
    "/session",
    operation_id="signIn",
    summary="Sign a browser in",
    responses={**_SESSION, **problems(400, 413, 415, 422)},
    openapi_extra=request_body(SignInRequest),
)
async def sign_in(request: Request) -> Response:
    """
    Begin a session with a key, from the body or `Authorization`; the response sets a cookie.

    It lasts twelve hours, and ends earlier if its key is revoked, rotated or expires.
    """
    reject_cross_site(request)
    keyring = get_auth(request).keyring
    token = await _key_in_body(request) or read_token(request)
    if token is None:
        raise InvalidOptions('Send the key to sign in with: {"key": "mt_..."}.')
    signed_in = await run_in_threadpool(keyring.sign_in, token)
    response = _session_response(request, signed_in)
    response.set_cookie(
        cookie_name(request),
        signed_in.token,
        max_age=max(0, round(signed_in.until - request.app.state.service.context.clock())),
        httponly=True,
        samesite="strict",
        secure=_is_secure(request),
    )
    return response


@router.get(
    "/session",
    operation_id="getSession",
    summary="Who is signed in",
    responses={**_SESSION, **problems()},
)
async def get_session(request: Request) -> Response:
    """
    The response of signing in; a page that was reloaded gets its CSRF token here.

    If no key is required, it describes what every caller may do, and the token is empty.
    """
    if get_auth(request).mode != "required" and read_session_token(request) is None:
        return _caller_response(await authenticate(request), "", None)
    return _session_response(request, await find_session(request))


@router.delete(
    "/session",
    operation_id="signOut",
    summary="Sign a browser out",
    status_code=204,
    responses={**response(204, "The session has ended."), **problems()},
)
async def sign_out(request: Request) -> Response:
    """End the session for everyone who has its cookie."""
    signed_in = await find_session(request)
    check_csrf_token(request, signed_in)
    request.state.caller = caller_of(signed_in.key)
    await run_in_threadpool(get_auth(request).keyring.sign_out, signed_in.token)
    response = Response(status_code=204)
    secure = _is_secure(request)
    response.delete_cookie(cookie_name(request), httponly=True, samesite="strict", secure=secure)
    return response


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https"


async def _key_in_body(request: Request) -> str | None:
    data = await small_body(request)
    if not data:
        return None
    if content_type(request) != "application/json":  # which a form of another site cannot send
        raise HTTPException(415, "Send the key as application/json.")
    return validate(SignInRequest, read_json(data)).key


def _session_response(request: Request, signed_in: SignedIn) -> Response:
    request.state.caller = caller_of(signed_in.key)
    return _caller_response(request.state.caller, signed_in.csrf_token, signed_in.until)


def _caller_response(caller: Caller, csrf_token: str, until: float | None) -> Response:
    body = {
        "key_id": caller.key_id,
        "name": caller.name,
        "tenant": caller.tenant,
        "scopes": list(caller.scopes),
        "csrf_token": csrf_token,
        "expires_at": serializers.moment(until),
    }
    return JsonResponse(body, 200, {"Cache-Control": "no-store"})
