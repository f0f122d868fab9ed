"""The audit log: the table of audited operations, and the middleware that records them."""

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meet_transcriber.bootstrap.auth import AuthContext
from meet_transcriber.core.auth import AuditEntry, Caller
from meet_transcriber.core.errors import StorageError
from meet_transcriber.observability.logging import get_logger

log = get_logger(__name__)

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
    "readAudit": "read_audit",
}
"""Action recorded for each operation id."""

ACTIONS_IF_CONTENT_READ: Mapping[str, str] = {
    "getTranscription": "read",
    "listTranscriptions": "search",
}
"""The same for operations that are recorded only if they called `mark_content_read`."""

_REFUSALS = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
_TEXT_LENGTH = 200


def mark_content_read(request: Request) -> None:
    """Note that the response contains words of a recording."""
    request.state.content_read = True


class AuditMiddleware:
    """Middleware: records an operation before its response is sent."""

    def __init__(self, app: ASGIApp, auth: AuthContext) -> None:
        self._app = app
        self._auth = auth

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_audited(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry = entry_of(scope, message["status"], self._auth.names)
                if entry is not None:
                    await run_in_threadpool(self._append, entry)
            await send(message)

        await self._app(scope, receive, send_audited)

    def _append(self, entry: AuditEntry) -> None:
        try:
            self._auth.trail.append(entry)
        except StorageError as error:  # refusing all requests would be worse than a gap
            log.critical("audit_failed", action=entry.action, key=entry.key, error=str(error))


def entry_of(scope: Scope, status: int, names: bool) -> AuditEntry | None:
    """The entry for a request with this response status; None where it is not audited."""
    action, target = _action(scope, status)
    if action is None:
        return None
    state: dict[str, Any] = scope.get("state", {})
    caller: Caller = state.get("caller") or Caller()
    own: dict[str, str] = scope.get("path_params", {})
    job = state.get("job")
    return AuditEntry(
        at=time.time(),
        action=action,
        key=caller.key_id,
        tenant=caller.tenant,
        job=job.id if job else own.get("job_id", own.get("upload_id", ""))[:_TEXT_LENGTH],
        target=target
        or state.get("target")
        or own.get("key_id", own.get("voice_id", ""))[:_TEXT_LENGTH],
        status=status,
        address=(scope.get("client") or ("",))[0],
        request_id=state.get("request_id", ""),
        name=job.name if job and names else None,
    )


def _first(parameters: dict[str, str], *names: str) -> str:
    """The first of these path parameters, shortened; empty without any."""
    return next((parameters[name] for name in names if name in parameters), "")[:_TEXT_LENGTH]


def _action(scope: Scope, status: int) -> tuple[str | None, str]:
    operation = getattr(scope.get("route"), "unique_id", "")
    if status in _REFUSALS:
        return "refused", f"{scope['method']} {operation or scope['path'][:_TEXT_LENGTH]}"
    if status >= HTTPStatus.BAD_REQUEST or status == HTTPStatus.NOT_MODIFIED:
        return None, ""
    if scope.get("state", {}).get("content_read"):
        return ACTIONS_IF_CONTENT_READ.get(operation, ACTIONS.get(operation)), ""
    return ACTIONS.get(operation), ""
