"""What is recorded of every request: its id, metrics, a log line, and an entry of the audit log."""

import os
import re
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meet_transcriber.bootstrap.auth import AuthContext
from meet_transcriber.core.auth import AuditEntry, Caller
from meet_transcriber.core.errors import StorageError
from meet_transcriber.core.executors import Batcher
from meet_transcriber.observability.logging import bind, get_logger
from meet_transcriber.ports.observability import Meters

log = get_logger(__name__)

UNKNOWN = "unknown"
"""Route label of requests that match no route, so that arbitrary paths create no series."""

_VALID_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")  # cannot forge a header or a log line
_HEADER = b"x-request-id"
QUIET_PATHS = frozenset({"/health", "/health/ready", "/metrics", "/queue"})
"""Paths polled every few seconds, which get no span and are logged at debug level only."""


class RequestLogMiddleware:
    """
    The outermost middleware: accepts a valid X-Request-ID or makes one, returns it, and binds it
    to every log line of the request; records audited operations before their response is sent;
    counts and logs the response.
    """

    def __init__(self, app: ASGIApp, meters: Meters, auth: AuthContext) -> None:
        self._app = app
        self._meters = meters
        self._auth = auth
        self._batcher = Batcher(self._append, "audit")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == _HEADER), b"")
        request_id = given if _VALID_ID.fullmatch(given) else os.urandom(16).hex().encode()
        scope.setdefault("state", {})["request_id"] = request_id.decode()
        bind(request_id=request_id.decode())
        status, started = int(HTTPStatus.INTERNAL_SERVER_ERROR), time.perf_counter()

        async def send_recorded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if (entry := _audit_entry(scope, status, self._auth.names)) is not None:
                    await self._batcher.ask(entry)
                kept = [pair for pair in message["headers"] if pair[0] != _HEADER]
                message["headers"] = [*kept, (_HEADER, request_id)]
            await send(message)

        try:
            await self._app(scope, receive, send_recorded)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    def _append(self, entries: Sequence[AuditEntry]) -> Sequence[None]:
        try:
            self._auth.trail.append(*entries)
        except StorageError as error:  # refusing all requests would be worse than a gap
            for entry in entries:
                log.critical("audit_failed", action=entry.action, key=entry.key, error=str(error))
        return [None] * len(entries)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", UNKNOWN)
        self._meters.request(scope["method"], route, status, seconds)
        quiet = route in QUIET_PATHS and status < HTTPStatus.INTERNAL_SERVER_ERROR
        state: dict[str, Any] = scope["state"]
        caller, job = state.get("caller"), state.get("job")
        job_id = job.id if job else scope.get("path_params", {}).get("job_id", "")
        known = {"key": caller.key_id if caller else "", "job_id": job_id}
        (log.debug if quiet else log.info)(
            "request_answered",
            method=scope["method"],
            route=route,
            status=status,
            seconds=round(seconds, 4),
            **{name: value for name, value in known.items() if value},
        )


# -- audit log -----------------------------------------------------------------------------------

ACTIONS: Mapping[str, str] = {
    "submitTranscription": "submit",
    "createUpload": "upload",
    "appendUpload": "append",
    "deleteUpload": "discard",
    "createTranscription": "submit",
    "createTranslation": "submit",
    "downloadTranscription": "export",
    "followTranscription": "follow",
    "getAudio": "listen",
    "listEdits": "read",
    "cancelTranscription": "cancel",
    "rerunTranscription": "rerun",
    "deleteTranscription": "delete",
    "nameSpeakers": "rename",
    "listSpeakers": "read",
    "listVoices": "list_voices",
    "getVoice": "read_voice",
    "rememberVoice": "remember_voice",
    "renameVoice": "rename_voice",
    "mergeVoices": "merge_voices",
    "forgetVoice": "forget_voice",
    "exportVoice": "export_voice",
    "editSegment": "edit",
    "editSegments": "edit",
    "undoEdit": "edit",
    "redoEdit": "edit",
    "fetchModels": "fetch_models",
    "signIn": "sign_in",
    "signOut": "sign_out",
    "listKeys": "list_keys",
    "createKey": "create_key",
    "revokeKey": "revoke_key",
    "rotateKey": "rotate_key",
    "readWebhookSecret": "read_webhook_secret",
    "readAudit": "read_audit",
}
"""Action recorded for each operation id."""

ACTIONS_IF_CONTENT_READ: Mapping[str, str] = {
    "getTranscription": "read",
    "listTranscriptions": "search",
}
"""The same for operations that are recorded only if they called `mark_content_read`."""

_REFUSALS = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
_TEXT_LENGTH = 200  # of the ids in a path, which may be any text


def mark_content_read(request: Request) -> None:
    """Note that the response contains words of a recording."""
    request.state.content_read = True


def _audit_entry(scope: Scope, status: int, names: bool) -> AuditEntry | None:
    """The entry for a request with this response status; None where it is not audited."""
    operation = getattr(scope.get("route"), "unique_id", "")
    state: dict[str, Any] = scope["state"]
    action = _action(operation, status, state.get("content_read", False))
    if action is None:
        return None
    caller: Caller = state.get("caller") or Caller()
    own: dict[str, str] = scope["path_params"]
    job, target = state.get("job"), state.get("target", own.get("key_id", own.get("voice_id", "")))
    if action == "refused":
        target = f"{scope['method']} {operation}"
    return AuditEntry(
        at=time.time(),
        action=action,
        key=caller.key_id,
        tenant=caller.tenant,
        job=job.id if job else own.get("job_id", own.get("upload_id", ""))[:_TEXT_LENGTH],
        target=target[:_TEXT_LENGTH],
        status=status,
        address=(scope.get("client") or ("",))[0],
        request_id=state["request_id"],
        name=job.name if job and names else None,
    )


def _action(operation: str, status: int, content_read: bool) -> str | None:
    if not operation:  # refused before it was routed: strangers must not fill the log
        return None
    if status in _REFUSALS:
        return "refused"
    if status >= HTTPStatus.BAD_REQUEST or status == HTTPStatus.NOT_MODIFIED:
        return None
    read = ACTIONS_IF_CONTENT_READ.get(operation) if content_read else None
    return read or ACTIONS.get(operation)
