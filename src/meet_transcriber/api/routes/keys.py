"""API keys over HTTP, for administrators; a key is shown once, when it is made."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from meet_transcriber.api import serializers
from meet_transcriber.api.auth import ToAdminister, guard_of
from meet_transcriber.api.http import json_object, reject_unknown_keys
from meet_transcriber.api.openapi import problems, request_body, response
from meet_transcriber.core.auth import EVERYDAY, ApiKey, NewKey, Scope, checked_scopes
from meet_transcriber.core.errors import InvalidOptions

router = APIRouter(tags=["access"])

KeyId = Annotated[str, Path(description="The key's id.", examples=["0b8f6a3e5c1d"])]

_DAY_SECONDS = 86_400.0
_MOST_DAYS = 36_500
_NO_STORE = {"Cache-Control": "no-store"}


@router.get(
    "/keys",
    operation_id="listKeys",
    summary="List the API keys",
    response_class=Response,
    responses={**response(200, "All of them, without their secrets.", "KeyList"), **problems()},
)
def list_keys(request: Request, _service: ToAdminister) -> Response:
    """Every key, revoked and expired ones too."""
    keys = guard_of(request).keyring.keys()
    return _json({"object": "list", "data": [_shown(key) for key in keys]})


@router.post(
    "/keys",
    operation_id="createKey",
    summary="Make an API key",
    response_class=Response,
    status_code=201,
    responses={
        **response(201, "The key; nobody can show it again.", "NewKey"),
        **problems(400, 413, 422),
    },
    openapi_extra=request_body("KeyWish"),
)
async def create_key(request: Request, service: ToAdminister) -> Response:
    """Make a key; without `tenant` its jobs are seen by keys of its own name's tenant alone."""
    body = reject_unknown_keys(
        await json_object(request), "name", "tenant", "scopes", "expires_in_days"
    )
    name, days = _text(body, "name", ""), _whole(body, "expires_in_days", 1, _MOST_DAYS)
    expires_at = None if days is None else service.context.clock() + days * _DAY_SECONDS
    keyring, tenant, scopes = guard_of(request).keyring, _text(body, "tenant", name), _scopes(body)
    made = await run_in_threadpool(keyring.create, name, tenant, scopes, expires_at)
    return _told(request, made, 201)


@router.delete(
    "/keys/{key_id}",
    operation_id="revokeKey",
    summary="Revoke an API key",
    response_class=Response,
    status_code=204,
    responses={
        **response(204, "It holds no more, and its sessions are over."),
        **problems(404, 409),
    },
)
def revoke_key(request: Request, _service: ToAdminister, key_id: KeyId) -> Response:
    """Let a key hold no more, from this moment on."""
    guard_of(request).keyring.revoke(key_id)
    return Response(status_code=204)


@router.post(
    "/keys/{key_id}/rotate",
    operation_id="rotateKey",
    summary="Give an API key another secret",
    response_class=Response,
    responses={
        **response(200, "The key with its new secret.", "NewKey"),
        **problems(400, 404, 409, 413, 422),
    },
    openapi_extra=request_body("Rotation", required=False),
)
async def rotate_key(request: Request, _service: ToAdminister, key_id: KeyId) -> Response:
    """The old secret counts for `overlap_seconds` more, none where left out; sessions end."""
    body = reject_unknown_keys(await json_object(request), "overlap_seconds")
    seconds = _whole(body, "overlap_seconds", 0, round(_DAY_SECONDS)) or 0
    keyring = guard_of(request).keyring
    made = await run_in_threadpool(keyring.rotate, key_id, float(seconds))
    return _told(request, made, 200)


def _text(body: dict[str, object], name: str, default: str) -> str:
    value = default if body.get(name) is None else body[name]
    if not isinstance(value, str):
        raise InvalidOptions(f"{name} must be a text.")
    return value


def _scopes(body: dict[str, object]) -> tuple[Scope, ...]:
    names = body.get("scopes")
    if names is None:
        return EVERYDAY
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidOptions("scopes must be a list of names.")
    return checked_scopes(names)


def _whole(body: dict[str, object], name: str, least: int, most: int) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool) and value % 1 == 0
    if not number or not least <= float(str(value)) <= most:
        raise InvalidOptions(f"{name} must be a whole number from {least} to {most}.")
    return int(float(str(value)))


def _told(request: Request, made: NewKey, status: int) -> Response:
    request.state.target = made.key.id
    return _json({**_shown(made.key), "key": made.token}, status)


def _json(body: object, status: int = 200) -> Response:
    return Response(serializers.dumped(body), status, _NO_STORE, "application/json")


def _shown(key: ApiKey) -> dict[str, Any]:
    """A key as an administrator sees it; its digest is nobody's business."""
    return {
        "id": key.id,
        "object": "key",
        "name": key.name,
        "tenant": key.tenant,
        "scopes": list(key.scopes),
        "created_at": serializers.moment(key.created_at) if key.created_at else None,
        "expires_at": serializers.moment(key.expires_at),
        "revoked_at": serializers.moment(key.revoked_at),
        "used_at": serializers.moment(key.used_at),
        "static": key.static,
    }
