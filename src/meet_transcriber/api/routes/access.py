"""Browser sessions, API keys, the secret of webhooks, and the audit log."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Path, Query
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from meet_transcriber.api.auth import (
    AdminService,
    SubmitService,
    authenticate,
    check_csrf_token,
    cookie_name,
    find_session,
    get_auth,
    read_session_token,
    read_token,
    reject_cross_site,
    settings_of,
)
from meet_transcriber.api.bodies import content_type, json_body, read_json, small_body, validate
from meet_transcriber.api.compute import run_compute
from meet_transcriber.api.middleware.rate_limit import count_key
from meet_transcriber.api.openapi import problems, request_body, response, tagged_router
from meet_transcriber.api.schemas import KeyRequest, RotationRequest, SignInRequest
from meet_transcriber.api.serializers import JsonResponse, moment
from meet_transcriber.bootstrap.services import webhook_secret
from meet_transcriber.core.auth import (
    DEFAULT_SCOPES,
    ApiKey,
    AuditEntry,
    AuditQuery,
    Caller,
    NewKey,
    SignedIn,
    caller_of,
    validate_scopes,
)
from meet_transcriber.core.errors import InvalidOptions, ScopeMissing
from meet_transcriber.core.serialization import to_plain

router = tagged_router("access")

KeyId = Annotated[str, Path(description="The key's id.", examples=["0b8f6a3e5c1d"])]

_DAY_SECONDS = 86_400.0
_SESSION = response(200, "Who is signed in, and the token for X-CSRF-Token.", "SignedIn")


@router.post(
    "/session",
    summary="Sign a browser in",
    responses=_SESSION | problems(400, 413, 415, 422),
    openapi_extra=request_body(SignInRequest),
)
async def sign_in(request: Request) -> Response:
    """
    Begin a session with a key, from the body or `Authorization`; the response sets a cookie.

    It lasts twelve hours, and ends earlier if its key is revoked, rotated or expires.
    """
    # Another site must not sign its visitors in with a key of its own, under which they would
    # submit.
    reject_cross_site(request)
    keyring = get_auth(request).keyring
    token = await _key_in_body(request) or read_token(request)
    if token is None:
        raise InvalidOptions('Send the key to sign in with: {"key": "mt_..."}.')
    signed_in = await run_in_threadpool(keyring.sign_in, token)
    # Without a session or a header no dependency has counted this request for its key.
    await count_key(request, signed_in.key.id)
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
    summary="Who is signed in",
    responses=_SESSION | problems(),
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
    summary="Sign a browser out",
    status_code=204,
    responses=response(204, "The session has ended.") | problems(),
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
        "expires_at": moment(until),
    }
    return JsonResponse(body)


@router.get(
    "/keys",
    summary="List the API keys",
    responses=response(200, "All keys, without their secrets.", "KeyList") | problems(),
)
def list_keys(request: Request, _service: AdminService) -> Response:
    """All keys, including revoked and expired ones."""
    keys = get_auth(request).keyring.list_keys()
    return JsonResponse({"object": "list", "data": [*map(_key, keys)]})


@router.post(
    "/keys",
    summary="Create an API key",
    status_code=201,
    responses=response(201, "The key; it cannot be shown again.", "NewKey")
    | problems(400, 413, 422),
    openapi_extra=request_body(KeyRequest),
)
async def create_key(
    request: Request, service: AdminService, body: Annotated[KeyRequest, json_body(KeyRequest)]
) -> Response:
    """Create a key; without `tenant`, its name is its tenant, and it shares jobs with no other."""
    days = body.expires_in_days
    expires_at = None if days is None else service.context.clock() + days * _DAY_SECONDS
    tenant = body.name if body.tenant is None else body.tenant
    scopes = DEFAULT_SCOPES if body.scopes is None else validate_scopes(body.scopes)
    create = get_auth(request).keyring.create
    made = await run_in_threadpool(create, body.name, tenant, scopes, expires_at)
    return _new_key(request, made, 201)


@router.delete(
    "/keys/{key_id}",
    summary="Revoke an API key",
    status_code=204,
    responses=response(204, "The key and its sessions are no longer valid.") | problems(404, 409),
)
def revoke_key(request: Request, _service: AdminService, key_id: KeyId) -> Response:
    """Revoke a key, effective at once."""
    get_auth(request).keyring.revoke(key_id)
    return Response(status_code=204)


@router.post(
    "/keys/{key_id}/rotate",
    summary="Replace the secret of an API key",
    responses=response(200, "The key with its new secret.", "NewKey")
    | problems(400, 404, 409, 413, 422),
    openapi_extra=request_body(RotationRequest),
)
async def rotate_key(
    request: Request,
    _service: AdminService,
    key_id: KeyId,
    body: Annotated[RotationRequest, json_body(RotationRequest)],
) -> Response:
    """The old secret remains valid for `overlap_seconds`, 0 if left out; sessions end."""
    keyring = get_auth(request).keyring
    made = await run_in_threadpool(keyring.rotate, key_id, float(body.overlap_seconds or 0))
    return _new_key(request, made, 200)


def _new_key(request: Request, made: NewKey, status: int) -> Response:
    request.state.target = made.key.id
    return JsonResponse({**_key(made.key), "key": made.token}, status)


def _key(key: ApiKey) -> dict[str, Any]:
    """A key as an administrator sees it, without its digest."""
    return {
        "id": key.id,
        "object": "key",
        "name": key.name,
        "tenant": key.tenant,
        "scopes": list(key.scopes),
        "created_at": moment(key.created_at) if key.created_at else None,
        "expires_at": moment(key.expires_at),
        "revoked_at": moment(key.revoked_at),
        "used_at": moment(key.used_at),
        "static": key.static,
    }


# -- webhooks ------------------------------------------------------------------------------------


@router.get(
    "/webhook-secret",
    summary="The secret of your webhooks",
    responses=response(200, "The secret that signs the tenant's webhooks.", "WebhookSecret")
    | problems(),
)
def read_webhook_secret(request: Request, service: SubmitService) -> Response:
    """
    The secret that verifies the webhooks of the key's tenant, and those of no other tenant.

    The tenant without a name is the operator's. Its secret is the installation's, from which those
    of tenants are derived, so it needs the scope `admin` as well.
    """
    caller: Caller = request.state.caller
    if not caller.tenant and "admin" not in caller.scopes:
        raise ScopeMissing(
            "The tenant without a name has the secret of the whole installation, which only "
            "callers with the scope 'admin' may read. Where the service runs, "
            "'meet-transcriber keys webhook-secret' shows it."
        )
    secrets = webhook_secret(settings_of(request), service.context.jobs, caller.tenant)
    body = {"object": "webhook_secret", "tenant": caller.tenant, "secret": secrets.split()[0]}
    return JsonResponse(body)


# -- audit log -----------------------------------------------------------------------------------


@router.get(
    "/audit",
    summary="Who did what",
    responses=response(200, "Entries, the latest first.", "AuditPage") | problems(422),
)
async def read_audit(
    request: Request,
    _service: AdminService,
    limit: Annotated[int, Query(ge=1, le=500, description="Entries in a page.")] = 50,
    after: Annotated[str | None, Query(description="`after` of the page before.")] = None,
    action: Annotated[str, Query(description="Only this action.")] = "",
    key: Annotated[str, Query(description="Only what this key did.")] = "",
    tenant: Annotated[str | None, Query(description="Only this tenant's.")] = None,
    job: Annotated[str, Query(description="Only what was done to this job.")] = "",
    since: Annotated[str | None, Query(description="Not before; ISO 8601, UTC by default.")] = None,
    until: Annotated[str | None, Query(description="Before; ISO 8601, UTC by default.")] = None,
) -> Response:
    """A page may be short although more follows: continue while `after` is not null."""
    begin, end = _parse_time(since, 0.0), _parse_time(until, float("inf"))
    query = AuditQuery(limit, after or None, action, key, tenant, job, begin, end)
    page = await run_compute(request, get_auth(request).trail.read_page, query)
    entries = [_audit_entry(entry) for entry in page.entries]
    return JsonResponse({"object": "list", "data": entries, "after": page.after})


def _parse_time(text: str | None, default: float) -> float:
    if text is None:
        return default
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        why = "since and until must be times such as 2026-11-24T09:00:00Z."
        raise InvalidOptions(why) from error


def _audit_entry(entry: AuditEntry) -> dict[str, Any]:
    body = {**to_plain(entry), "at": moment(entry.at)}
    return {name: value for name, value in body.items() if value is not None}
