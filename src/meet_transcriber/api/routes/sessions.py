"""Signing in with a key: a cookie for browsers, whose players and event streams send no headers."""

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from meet_transcriber.api import serializers
from meet_transcriber.api.auth import (
    authenticate,
    cookie_name,
    guard_of,
    refuse_other_sites,
    refuse_without_csrf_token,
    session_of,
    session_token,
    token_in,
)
from meet_transcriber.api.forms import small_body
from meet_transcriber.api.http import read_json, validate
from meet_transcriber.api.openapi import problems, request_body, response
from meet_transcriber.api.schemas import SignInRequest
from meet_transcriber.core.auth import Caller, SignedIn, caller_of
from meet_transcriber.core.errors import InvalidOptions

router = APIRouter(tags=["access"], default_response_class=Response)

_SHOWN = response(200, "Who is signed in, and the token for X-CSRF-Token.", "SignedIn")


@router.post(
    "/session",
    operation_id="signIn",
    summary="Sign a browser in",
    responses={**_SHOWN, **problems(400, 413, 415, 422)},
    openapi_extra=request_body(SignInRequest),
)
async def sign_in(request: Request) -> Response:
    """
    Begin a session with a key, from the body or `Authorization`; the answer sets a cookie.

    It lasts twelve hours, and ends before when its key is revoked, rotated or expires.
    """
    refuse_other_sites(request)
    keyring = guard_of(request).keyring
    token = await _key_in_body(request) or token_in(request)
    if token is None:
        raise InvalidOptions('Send the key to sign in with: {"key": "mt_..."}.')
    signed_in = await run_in_threadpool(keyring.sign_in, token)
    response = _answer(request, signed_in)
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
    responses={**_SHOWN, **problems()},
)
async def get_session(request: Request) -> Response:
    """
    What signing in said; a page that was loaded again finds its CSRF token here.

    Where nobody needs a key, it says what everybody may do, and the token is empty.
    """
    if guard_of(request).mode != "required" and session_token(request) is None:
        return _said(await authenticate(request), "", None)
    return _answer(request, await session_of(request))


@router.delete(
    "/session",
    operation_id="signOut",
    summary="Sign a browser out",
    status_code=204,
    responses={**response(204, "The session is over."), **problems()},
)
async def sign_out(request: Request) -> Response:
    """End the session, here and for everybody who has its cookie."""
    signed_in = await session_of(request)
    refuse_without_csrf_token(request, signed_in)
    request.state.caller = caller_of(signed_in.key)
    await run_in_threadpool(guard_of(request).keyring.sign_out, signed_in.token)
    response = Response(status_code=204)
    secure = _is_secure(request)
    response.delete_cookie(cookie_name(request), httponly=True, samesite="strict", secure=secure)
    return response


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https"


async def _key_in_body(request: Request) -> str | None:
    data = await small_body(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not data:
        return None
    if kind != "application/json":  # a form of another site cannot send this kind
        raise HTTPException(415, "Send the key as application/json.")
    return validate(SignInRequest, read_json(data)).key


def _answer(request: Request, signed_in: SignedIn) -> Response:
    request.state.caller = caller_of(signed_in.key)
    return _said(request.state.caller, signed_in.csrf_token, signed_in.until)


def _said(caller: Caller, csrf_token: str, until: float | None) -> Response:
    body = {
        "key_id": caller.key_id,
        "name": caller.name,
        "tenant": caller.tenant,
        "scopes": list(caller.scopes),
        "csrf_token": csrf_token,
        "expires_at": serializers.moment(until),
    }
    return Response(
        serializers.dumped(body), 200, {"Cache-Control": "no-store"}, "application/json"
    )
