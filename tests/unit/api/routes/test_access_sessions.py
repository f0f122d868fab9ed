"""Browsers sign in with a key, and what a page of another site makes them send does nothing."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from meet_transcriber.service import SubmissionRequest
from tests.unit.api.secured_app import SecuredApp, open_secured_app

CSRF = "X-CSRF-Token"


def signed_in(secured: SecuredApp, token: str | None = None) -> tuple[TestClient, dict[str, Any]]:
    """A browser with a session, and what it was told."""
    browser = TestClient(secured.client.app, raise_server_exceptions=False)
    answer = browser.post("/session", json={"key": token or secured.key().token})
    assert answer.status_code == 200
    return browser, answer.json()


def test_the_session_cookie_is_hidden_from_scripts_and_other_sites(
    secured: SecuredApp,
) -> None:
    made = secured.key("read", tenant="acme")
    answer = secured.client.post("/session", json={"key": made.token})
    cookie = answer.headers["Set-Cookie"].lower()
    assert {"httponly", "samesite=strict", "path=/"} <= set(cookie.split("; "))
    assert "secure" not in cookie
    assert 43_000 < int(cookie.partition("max-age=")[2].split(";")[0]) <= 43_200
    body = answer.json()
    assert (body["key_id"], body["tenant"], body["scopes"]) == (made.key.id, "acme", ["read"])
    assert made.token not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"


def test_over_https_the_cookie_is_for_https_only(secured: SecuredApp) -> None:
    browser = TestClient(secured.client.app, "https://meet.example")
    answer = browser.post("/session", headers=secured.bearer())
    assert "secure" in answer.headers["Set-Cookie"].lower().split("; ")
    assert browser.get("/transcribe").status_code == 200


def test_a_sibling_domain_cannot_sign_a_browser_in(secured: SecuredApp) -> None:
    theirs = secured.client.post("/session", headers=secured.bearer()).cookies["mt_session"]
    browser = TestClient(secured.client.app, "https://meet.example")
    planted = {"Cookie": f"mt_session={theirs}"}  # any host of the domain can set this name
    assert browser.get("/transcribe", headers=planted).status_code == 401
    answer = browser.post("/session", headers=secured.bearer())
    assert answer.headers["Set-Cookie"].startswith("__Host-mt_session=")
    gone = browser.delete("/session", headers={CSRF: answer.json()["csrf_token"]})
    assert gone.headers["Set-Cookie"].startswith('__Host-mt_session="";')
    assert "secure" in gone.headers["Set-Cookie"].lower().split("; ")


def test_players_and_event_streams_need_the_cookie_alone(secured: SecuredApp) -> None:
    job_id = secured.complete_job("")
    browser, _ = signed_in(secured)
    assert browser.get(f"/transcribe/{job_id}/audio").content == b"tape"
    assert "event: done" in browser.get(f"/transcribe/{job_id}/events").text
    assert browser.get(f"/transcribe/{job_id}").json()["status"] == "completed"


def test_nothing_is_changed_without_the_csrf_token(secured: SecuredApp) -> None:
    job_id = secured.complete_job("")
    browser, told = signed_in(secured)
    for each in secured.operations():
        if each.method in {"POST", "PATCH", "DELETE"} and each.name != "signIn":
            for headers in ({}, {CSRF: ""}, {CSRF: "x"}, {CSRF: told["csrf_token"][:-1]}):
                path = each.about(job_id=job_id, key_id=told["key_id"])
                answer = browser.request(each.method, path, headers=headers)
                assert answer.status_code == 403, each.name
    assert secured.service.queries.job(job_id).state == "completed"


def test_requests_with_the_csrf_token_are_accepted(secured: SecuredApp) -> None:
    path = f"/transcribe/{secured.complete_job('')}"
    browser, told = signed_in(secured)
    assert browser.delete(path, headers={CSRF: told["csrf_token"]}).status_code == 204
    assert browser.get(path).status_code == 404


def test_the_csrf_token_of_another_session_is_refused(secured: SecuredApp) -> None:
    browser, _ = signed_in(secured)
    _, other = signed_in(secured)
    answer = browser.post("/keys", json={"name": "a"}, headers={CSRF: other["csrf_token"]})
    assert answer.json()["code"] == "csrf_refused"


def test_a_reloaded_page_gets_its_csrf_token(secured: SecuredApp) -> None:
    browser, told = signed_in(secured)
    assert browser.get("/session").json() == told
    assert secured.client.get("/session").status_code == 401


def test_a_cookie_is_invalid_after_signing_out(secured: SecuredApp) -> None:
    browser, told = signed_in(secured)
    cookies = dict(browser.cookies)
    assert browser.delete("/session", headers={CSRF: told["csrf_token"]}).status_code == 204
    assert dict(browser.cookies) == {}
    again = TestClient(secured.client.app, cookies=cookies)
    assert again.get("/transcribe").status_code == 401


def test_a_session_ends_with_its_key(secured: SecuredApp) -> None:
    for end in (secured.guard.keyring.revoke, secured.guard.keyring.rotate):
        made = secured.key()
        browser, _ = signed_in(secured, made.token)
        assert browser.get("/transcribe").status_code == 200
        end(made.key.id)
        assert browser.get("/transcribe").status_code == 401


def test_a_session_has_its_keys_scopes_and_tenant(secured: SecuredApp) -> None:
    theirs = secured.complete_job("theirs")
    browser, told = signed_in(secured, secured.key("read", tenant="mine").token)
    assert browser.get(f"/transcribe/{theirs}").status_code == 404
    answer = browser.post("/keys", json={"name": "a"}, headers={CSRF: told["csrf_token"]})
    assert answer.json()["code"] == "scope_missing"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"json": {"key": "mt_aa_x"}}, 401),
        ({"json": {"key": 5}}, 422),
        ({"json": {}}, 422),
        ({"json": {"key": "x", "more": 1}}, 422),
        ({"content": b'{"key": "mt_aa_x"}', "headers": {"Content-Type": "text/plain"}}, 415),
        ({"data": {"key": "mt_aa_x"}}, 415),
        ({"json": {"key": "mt_aa_x"}, "headers": {"Origin": "https://evil.example"}}, 403),
    ],
)
def test_invalid_sign_ins_are_refused(
    secured: SecuredApp, request_: dict[str, Any], status: int
) -> None:
    answer = secured.client.post("/session", **request_)
    assert answer.status_code == status
    assert "Set-Cookie" not in answer.headers


def test_a_static_key_signs_in_too(tmp_path: Path) -> None:
    token = "static-secret-of-an-operator"
    for secured in open_secured_app(tmp_path, api_keys=f"ops:{token}"):
        browser, told = signed_in(secured, token)
        assert told["key_id"] == "static-ops"
        assert browser.get("/transcribe").status_code == 200


@pytest.mark.parametrize(("mode", "scopes"), [("open", 3), ("loopback", 4)])
def test_a_page_learns_that_no_key_is_required(tmp_path: Path, mode: str, scopes: int) -> None:
    for unlocked in open_secured_app(tmp_path, auth_mode=mode):
        browser = TestClient(
            unlocked.client.app, client=("127.0.0.1", 5), base_url="http://127.0.0.1:8000"
        )
        told = browser.get("/session").json()
        assert (told["key_id"], told["csrf_token"], told["expires_at"]) == ("", "", None)
        assert len(told["scopes"]) == scopes


def test_a_stream_ends_when_its_key_is_revoked(secured: SecuredApp) -> None:
    upload = secured.service.for_tenant("").submissions.start_upload("standup.wav")
    upload.write(b"tape")
    path = f"/transcribe/{upload.finish(SubmissionRequest()).id}/events"  # nobody works on it
    assert secured.stream_until_revoked(path, b"event: progress").count("event: progress") == 1
