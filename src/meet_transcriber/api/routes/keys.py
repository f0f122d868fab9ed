"""API keys, for administrators; a key is shown once, when it is created."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from meet_transcriber.api import serializers
from meet_transcriber.api.auth import AdminService, get_auth
from meet_transcriber.api.http import json_body
from meet_transcriber.api.openapi import problems, request_body, response
from meet_transcriber.api.schemas import KeyRequest, RotationRequest
from meet_transcriber.api.serializers import JsonResponse
from meet_transcriber.core.auth import DEFAULT_SCOPES, ApiKey, NewKey, validate_scopes

router = APIRouter(tags=["access"], default_response_class=Response)

KeyId = Annotated[str, Path(description="The key's id.", examples=["0b8f6a3e5c1d"])]

_DAY_SECONDS = 86_400.0
_NO_STORE = {"Cache-Control": "no-store"}


@router.get(
    "/keys",
    operation_id="listKeys",
    summary="List the API keys",
    responses={**response(200, "All keys, without their secrets.", "KeyList"), **problems()},
)
def list_keys(request: Request, _service: AdminService) -> Response:
    """All keys, including revoked and expired ones."""
    keys = get_auth(request).keyring.list_keys()
    return JsonResponse({"object": "list", "data": [*map(_entry, keys)]}, 200, _NO_STORE)


@router.post(
    "/keys",
    operation_id="createKey",
    summary="Create an API key",
    status_code=201,
    responses={
        **response(201, "The key; it cannot be shown again.", "NewKey"),
        **problems(400, 413, 422),
    },
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
    operation_id="revokeKey",
    summary="Revoke an API key",
    status_code=204,
    responses={
        **response(204, "The key and its sessions are no longer valid."),
        **problems(404, 409),
    },
)
def revoke_key(request: Request, _service: AdminService, key_id: KeyId) -> Response:
    """Revoke a key, effective at once."""
    get_auth(request).keyring.revoke(key_id)
    return Response(status_code=204)


@router.post(
    "/keys/{key_id}/rotate",
    operation_id="rotateKey",
    summary="Replace the secret of an API key",
    responses={
        **response(200, "The key with its new secret.", "NewKey"),
        **problems(400, 404, 409, 413, 422),
    },
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
    return JsonResponse({**_entry(made.key), "key": made.token}, status, _NO_STORE)


def _entry(key: ApiKey) -> dict[str, Any]:
    """A key as an administrator sees it, without its digest."""
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
