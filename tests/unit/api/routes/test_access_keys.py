"""Keys over HTTP."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from meet_transcriber.bootstrap.services import webhook_secret
from meet_transcriber.settings import Settings
from tests.unit.api.secured_app import SecuredApp, open_secured_app


def test_a_new_key_is_shown_once_and_works(secured: SecuredApp) -> None:
    admin = secured.bearer("admin")
    answer = secured.client.post("/keys", json={"name": "ci", "scopes": ["read"]}, headers=admin)
    made = answer.json()
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    assert (made["name"], made["tenant"], made["scopes"]) == ("ci", "ci", ["read"])
    assert made["key"].startswith(f"mt_{made['id']}_")
    used = secured.client.get("/transcribe", headers={"X-API-Key": made["key"]})
    assert used.status_code == 200
    listed = secured.client.get("/keys", headers=admin)
    assert made["key"] not in listed.text
    assert "digest" not in listed.text


def test_keys_are_listed_with_their_state(secured: SecuredApp) -> None:
    admin = secured.bearer("admin")
    body = {"name": "ci", "tenant": "acme", "expires_in_days": 1}
    made = secured.client.post("/keys", json=body, headers=admin).json()
    secured.client.get("/transcribe", headers={"X-API-Key": made["key"]})
    secured.client.delete(f"/keys/{made['id']}", headers=admin)
    rows = secured.client.get("/keys", headers=admin).json()["data"]
    (row,) = [row for row in rows if row["id"] == made["id"]]
    assert row["tenant"] == "acme"
    assert all(row[moment] for moment in ("created_at", "expires_at", "revoked_at", "used_at"))


def test_a_key_is_rotated_with_an_overlap(secured: SecuredApp) -> None:
    made, admin = secured.key("read"), secured.bearer("admin")
    path = f"/keys/{made.key.id}/rotate"
    new = secured.client.post(path, json={"overlap_seconds": 60}, headers=admin).json()["key"]
    for token, status in ((made.token, 200), (new, 200)):
        assert secured.client.get("/transcribe", headers={"X-API-Key": token}).status_code == status
    newest = secured.client.post(path, headers=admin).json()["key"]
    for token, status in ((made.token, 401), (new, 401), (newest, 200)):
        assert secured.client.get("/transcribe", headers={"X-API-Key": token}).status_code == status


def test_an_unknown_key_is_not_found(secured: SecuredApp) -> None:
    admin = secured.bearer("admin")
    for method, path in (("DELETE", "/keys/none"), ("POST", "/keys/none/rotate")):
        answer = secured.client.request(method, path, headers=admin)
        assert (answer.status_code, answer.json()["code"]) == (404, "key_not_found")


def test_a_revoked_key_cannot_be_rotated(secured: SecuredApp) -> None:
    made, admin = secured.key(), secured.bearer("admin")
    secured.client.delete(f"/keys/{made.key.id}", headers=admin)
    answer = secured.client.post(f"/keys/{made.key.id}/rotate", headers=admin)
    assert (answer.status_code, answer.json()["code"]) == (409, "key_conflict")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "a b"},
        {"name": 5},
        {"name": "../a"},
        {"name": "a", "tenant": "a\nb"},
        {"name": "a", "scopes": ["root"]},
        {"name": "a", "scopes": []},
        {"name": "a", "scopes": [" read"]},
        {"name": "a", "scopes": [["read"]]},
        {"name": "a", "scopes": "read"},
        {"name": "a", "expires_in_days": 0},
        {"name": "a", "expires_in_days": True},
        {"name": "a", "more": 1},
    ],
)
def test_an_invalid_request_creates_no_key(secured: SecuredApp, body: dict[str, Any]) -> None:
    admin = secured.bearer("admin")
    assert secured.client.post("/keys", json=body, headers=admin).status_code == 422
    assert len(secured.guard.keyring.list_keys()) == 1


@pytest.mark.parametrize("seconds", [-1, 1.5, "5", True, False, 86_401])
def test_an_invalid_overlap_rotates_nothing(secured: SecuredApp, seconds: object) -> None:
    made, admin = secured.key(), secured.bearer("admin")
    answer = secured.client.post(
        f"/keys/{made.key.id}/rotate", json={"overlap_seconds": seconds}, headers=admin
    )
    assert answer.status_code == 422
    assert secured.guard.keyring.authenticate(made.token).id == made.key.id


def test_a_tenant_reads_its_own_webhook_secret_alone(secured: SecuredApp) -> None:
    answers = {
        tenant: secured.client.get("/webhook-secret", headers=secured.bearer(tenant=tenant))
        for tenant in ("", "alice", "bob")
    }
    for tenant, answer in answers.items():
        body = answer.json()
        assert (answer.status_code, body["tenant"]) == (200, tenant)
        assert answer.headers["Cache-Control"] == "no-store"
        wanted = webhook_secret(Settings(_env_file=None), secured.service.context.jobs, tenant)
        assert body["secret"] == wanted
    assert len({answer.json()["secret"] for answer in answers.values()}) == 3
    (entry, *_) = secured.trail(action="read_webhook_secret", tenant="bob")
    assert entry.status == 200


def test_the_installations_webhook_secret_needs_an_administrator(secured: SecuredApp) -> None:
    for scopes, tenant, status in (
        (("submit",), "alice", 200),
        (("read",), "alice", 403),
        (("submit",), "", 403),
        (("submit", "admin"), "", 200),
    ):
        headers = secured.bearer(*scopes, tenant=tenant)
        answer = secured.client.get("/webhook-secret", headers=headers)
        assert answer.status_code == status, (scopes, tenant)


def test_in_open_mode_nobody_reads_the_webhook_secret(tmp_path: Path) -> None:
    for unlocked in open_secured_app(tmp_path, auth_mode="open"):
        assert unlocked.client.get("/webhook-secret").json()["code"] == "scope_missing"


def test_without_keys_the_webhook_secret_is_that_of_the_installation(tmp_path: Path) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    for unlocked in open_secured_app(tmp_path, auth_mode="loopback", webhook_secret=secret):
        app = unlocked.client.app
        client = TestClient(app, client=("127.0.0.1", 5), base_url="http://127.0.0.1:8000")
        assert client.get("/webhook-secret").json()["secret"] == secret
