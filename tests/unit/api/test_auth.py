"""Keys at the door: missing, wrong, expired, revoked, for something else; on every route."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from meet_transcriber.api.app import create_app
from meet_transcriber.core.auth import SCOPES
from meet_transcriber.settings import Settings
from tests.unit.api.secured_app import OWN_SESSION, PUBLIC, SecuredApp, open_secured_app
from tests.unit.api.service_fixture import make_service, note_worker

CODES = {401: {"key_required", "invalid_api_key"}, 403: {"scope_missing", "csrf_refused"}}


def code_in(answer: object) -> str:
    body = answer.json()  # type: ignore[attr-defined]
    return str(body.get("code") or body["error"]["code"])


@pytest.fixture(params=["open", "loopback"])
def unlocked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SecuredApp]:
    yield from open_secured_app(tmp_path, auth_mode=request.param)


def test_every_route_says_which_scope_it_needs_or_is_known_to_need_none(
    secured: SecuredApp,
) -> None:
    for each in secured.operations():
        if each.name in PUBLIC | OWN_SESSION:
            assert each.security == ()
        else:
            assert [set(way) for way in each.security] == [
                {"ApiKey"},
                {"ApiKeyHeader"},
                {"Session"},
            ]
            assert set(each.scopes) <= set(SCOPES), each.name
            assert each.scopes, each.name


def test_without_a_key_every_route_is_closed_but_the_public_ones(secured: SecuredApp) -> None:
    job_id = secured.complete_job("")
    for each in secured.operations():
        answer = secured.call(each, each.about(job_id=job_id), {})
        assert (answer.status_code == 401) is (each.name not in PUBLIC - {"signIn"}), each.name
    assert len(list(secured.service.queries.job(job_id).objects)) > 1


def test_no_route_takes_a_key_that_is_wrong_expired_or_revoked(secured: SecuredApp) -> None:
    expired, revoked = secured.key(), secured.key()
    secured.service.context.jobs.keys.change_key(expired.key.id, partial(replace, expires_at=1.0))
    secured.guard.keyring.revoke(revoked.key.id)
    for token in ("mt_000000000000_" + "x" * 43, expired.token, revoked.token, "-"):
        for each in secured.operations():
            if each.name not in PUBLIC:
                answer = secured.call(each, each.about(), {"Authorization": f"Bearer {token}"})
                assert answer.status_code == 401, each.name


def test_a_key_opens_nothing_that_is_out_of_its_scopes(secured: SecuredApp) -> None:
    job_id = secured.complete_job("")
    for scope in SCOPES:
        headers = secured.bearer(scope)
        for each in secured.operations():
            if set(each.scopes) - {scope}:
                answer = secured.call(each, each.about(job_id=job_id), headers)
                assert answer.status_code == 403, (scope, each.name)


def test_a_key_opens_what_is_in_its_scopes(secured: SecuredApp) -> None:
    headers = secured.bearer()
    for each in secured.operations():
        if each.security and not each.path.startswith("/v1/audio"):
            answer = secured.call(each, each.about(), headers)
            assert answer.status_code not in {401, 403, 500}, each.name


def test_refusals_say_what_to_do(secured: SecuredApp) -> None:
    missing = secured.client.get("/transcribe")
    assert "meet-transcriber keys create" in missing.json()["detail"]
    assert missing.headers["WWW-Authenticate"] == "Bearer"
    wrong = secured.client.get("/transcribe", headers={"X-API-Key": "mt_aa_x"})
    assert (wrong.json()["code"], wrong.status_code) == ("invalid_api_key", 401)
    narrow = secured.client.get("/keys", headers=secured.bearer("read"))
    assert "scope 'admin'" in narrow.json()["detail"]


def test_openais_routes_refuse_in_their_envelope(secured: SecuredApp) -> None:
    missing = secured.client.get("/v1/models")
    assert missing.json()["error"]["type"] == "authentication_error"
    assert missing.json()["error"]["code"] == "invalid_api_key"
    assert missing.headers["WWW-Authenticate"] == "Bearer"
    narrow = secured.client.get("/v1/models", headers=secured.bearer("submit"))
    assert (narrow.status_code, narrow.json()["error"]["type"]) == (403, "permission_error")


def test_a_key_may_come_in_either_header(secured: SecuredApp) -> None:
    token = secured.key("read").token
    for headers in ({"Authorization": f"bearer  {token}"}, {"X-API-Key": token}):
        assert secured.client.get("/transcribe", headers=headers).status_code == 200
    for headers in ({"Authorization": f"Basic {token}"}, {"Authorization": token}):
        assert secured.client.get("/transcribe", headers=headers).status_code == 401
    assert secured.client.get(f"/transcribe?api_key={token}&key={token}").status_code == 401


def test_a_revoked_key_is_refused_at_its_next_request(secured: SecuredApp) -> None:
    made = secured.key()
    headers = {"Authorization": f"Bearer {made.token}"}
    assert secured.client.get("/transcribe", headers=headers).status_code == 200
    assert secured.client.delete(f"/keys/{made.key.id}", headers=headers).status_code == 204
    assert secured.client.get("/transcribe", headers=headers).status_code == 401


def test_an_upload_without_a_key_is_answered_before_it_is_read(secured: SecuredApp) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": "9999999"}
    answer = secured.client.post("/transcribe", content=b"--b\r\n", headers=kind)
    assert answer.status_code == 401
    assert answer.headers["Connection"] == "close"
    assert secured.service.context.media.keys("jobs") == []


def test_what_is_wrong_inside_is_told_to_readers_only(secured: SecuredApp) -> None:
    note_worker(secured.service, problem="/srv/models is empty")
    outside = secured.client.get("/health/ready")
    inside = secured.client.get("/health/ready", headers=secured.bearer("read"))
    assert (outside.status_code, inside.status_code) == (503, 503)
    assert "/srv/models" in inside.text
    assert "/srv/models" not in outside.text
    assert outside.json()["workers"] == []


def test_the_default_is_to_ask_for_a_key(tmp_path: Path) -> None:
    app = create_app(make_service(tmp_path), Settings(_env_file=None, data_dir=tmp_path))
    with TestClient(app) as client:
        assert client.get("/transcribe").status_code == 401


def test_open_to_all_no_key_is_asked_for_and_none_is_looked_at(tmp_path: Path) -> None:
    for unlocked in open_secured_app(tmp_path, auth_mode="open"):
        for headers in ({}, {"Authorization": "Bearer -"}):
            assert unlocked.client.get("/transcribe", headers=headers).status_code == 200
            assert unlocked.client.post(
                "/keys", json={"name": "a"}, headers=headers
            ).is_client_error
        assert "grants no one" in unlocked.client.get("/audit").json()["detail"]


def test_loopback_serves_this_machine_alone(tmp_path: Path) -> None:
    for unlocked in open_secured_app(tmp_path, auth_mode="loopback"):
        app = unlocked.client.app
        for peer, status in (("127.0.0.1", 200), ("::1", 200), ("10.0.0.7", 403), ("127", 403)):
            client = TestClient(app, client=(peer, 5), base_url="http://127.0.0.1:8000")
            assert client.get("/transcribe").status_code == status, peer
            assert client.get("/keys").status_code == status


@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({"Origin": "https://evil.example"}, True),
        ({"Origin": "null"}, True),
        ({"Origin": "http://127.0.0.1.evil.example"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:9000"}, True),
        ({"Origin": "http://127.0.0.1:8000"}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://outside.example"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({}, False),
    ],
)
def test_a_page_of_another_site_changes_nothing_where_no_key_is_asked_for(
    unlocked: SecuredApp, headers: dict[str, str], foreign: bool
) -> None:
    client = TestClient(unlocked.client.app, "http://127.0.0.1:8000", client=("127.0.0.1", 5))
    answer = client.post(
        "/transcribe", data={"url": "https://media.example/a.mp3"}, headers=headers
    )
    assert answer.status_code == (403 if foreign else 202)
    assert len(client.get("/transcribe", headers=headers).json()["data"]) == (not foreign)


def test_a_site_that_may_call_may_change_things(tmp_path: Path) -> None:
    for unlocked in open_secured_app(tmp_path, auth_mode="open", cors_origins="https://a.example"):
        for origin, status in (("https://a.example", 202), ("https://b.example", 403)):
            headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
            body = {"url": "https://media.example/a.mp3"}
            assert unlocked.client.post("/transcribe", json=body, headers=headers).status_code == (
                status
            )
