"""An app that asks for keys, and what is needed to try every one of its operations."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from meet_transcriber.api.app import create_app
from meet_transcriber.bootstrap.auth import AuthContext, build_auth
from meet_transcriber.core.auth import SCOPES, AuditEntry, AuditQuery, NewKey, Scope
from meet_transcriber.service import Service
from meet_transcriber.settings import Settings
from tests.unit.api.service_fixture import complete_job, make_service, stream

PUBLIC = {"getHealth", "getReadiness", "signIn"}
"""Operations that anybody may call; a session's own ones ask for its cookie by themselves."""

OWN_SESSION = {"getSession", "signOut"}
_BODIES: dict[str, dict[str, Any]] = {
    "submitTranscription": {"json": {"url": "https://media.example/a.mp3"}},
    "createUpload": {"json": {"name": "a.wav", "size_bytes": 4}},
    "appendUpload": {
        "content": b"tape",
        "headers": {"Content-Type": "application/partial-upload", "Upload-Offset": "0"},
    },
    "nameSpeakers": {"json": {"SPEAKER_00": "Ann"}},
    "editSegment": {"json": {"text": "other words"}},
    "editSegments": {"json": {"replace": {"find": "ends", "with": "finishes"}}},
    "rememberVoice": {
        "json": {"job_id": "none", "speaker": "SPEAKER_00", "name": "Ann", "consent": True}
    },
    "renameVoice": {"json": {"name": "Ann"}},
    "mergeVoices": {"json": {"voice_id": "other"}},
    "createKey": {"json": {"name": "new"}},
    "createTranscription": {"files": {"model": (None, "base"), "file": ("a.wav", b"tape")}},
    "createTranslation": {"files": {"model": (None, "base"), "file": ("a.wav", b"tape")}},
    "signIn": {"json": {"key": "mt_000000000000_x"}},
}


@dataclass(frozen=True)
class Operation:
    """One operation of the OpenAPI document."""

    name: str
    method: str
    path: str
    security: tuple[dict[str, list[str]], ...]

    @property
    def scopes(self) -> tuple[str, ...]:
        """What a key needs for it."""
        return tuple(
            sorted(
                {scope for each in self.security for scopes in each.values() for scope in scopes}
            )
        )

    def about(self, **values: str) -> str:
        """Its path, with these values in it."""
        ids = dict.fromkeys(("job_id", "key_id", "upload_id", "voice_id"), "nothing")
        known = {"number": "0", "model": "whisper-1", **ids}
        return self.path.format(**{**known, **values})


@dataclass(frozen=True)
class SecuredApp:
    """A service behind a lock, and a client of it that keeps no cookies of its own accord."""

    service: Service
    guard: AuthContext
    client: TestClient
    folder: Path

    def key(self, *scopes: Scope, tenant: str = "") -> NewKey:
        """A new key, for everything where no scope is named."""
        return self.guard.keyring.create("test", tenant, scopes or SCOPES, None)

    def bearer(self, *scopes: Scope, tenant: str = "") -> dict[str, str]:
        """Headers with a new key."""
        return {"Authorization": f"Bearer {self.key(*scopes, tenant=tenant).token}"}

    def operations(self) -> Iterator[Operation]:
        """Every operation that there is."""
        document = self.client.get("/openapi.json").json()
        for path, methods in document["paths"].items():
            for method, each in methods.items():
                security = tuple(each.get("security", ()))
                yield Operation(each["operationId"], method.upper(), path, security)

    def call(self, operation: Operation, path: str, headers: dict[str, str]) -> Any:
        """Do what the operation is for, as far as a request goes."""
        body = dict(_BODIES.get(operation.name, {}))
        headers = {**headers, **body.pop("headers", {})}
        stopping = self.client.app.state.stopping  # type: ignore[attr-defined]
        if operation.name == "watchTranscriptions":
            stopping.set()  # it has no end of its own
        answer = self.client.request(operation.method, path, headers=headers, **body)
        stopping.clear()
        return answer

    def stream_until_revoked(self, path: str, event: bytes) -> str:
        """All that a stream sends whose key is revoked as soon as it has sent this event."""
        made = self.key("read")
        revoke = partial(self.guard.keyring.revoke, made.key.id)
        return str(stream(self.client, path, {event: revoke}, {"X-API-Key": made.token}).text)

    def complete_job(self, tenant: str) -> str:
        """The id of a completed job."""
        return complete_job(self.service.for_tenant(tenant)).id

    def trail(self, **query: Any) -> list[AuditEntry]:
        """What was written down, the latest first."""
        return list(self.guard.trail.read_page(AuditQuery(limit=500, **query)).entries)


def open_secured_app(folder: Path, **settings: Any) -> Iterator[SecuredApp]:
    """An app on `folder` that asks for keys unless told otherwise."""
    # every route is tried with wrong keys, which is more than one address may do in a minute
    usual = {"auth_mode": "required", "data_dir": folder, "rate_limit_failed_auth": "0"}
    wanted = Settings(_env_file=None, **{**usual, **settings})
    service = make_service(folder)
    known = build_auth(wanted, service.context.jobs)
    app = create_app(service, wanted, guard=known)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield SecuredApp(service, known, client, folder)
