"""Keys and tokens are in no log, no error, no record and no trail: everything is searched."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from meet_transcriber.observability.logging import formatter
from tests.unit.api.secured_app import PUBLIC, SecuredApp, open_secured_app
from tests.unit.api.service_fixture import work

STATIC = "static-secret-of-an-operator"


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    caplog.set_level(logging.DEBUG)
    before = caplog.handler.formatter  # one handler serves every test
    caplog.handler.setFormatter(formatter(as_json=True))
    yield caplog
    caplog.handler.setFormatter(before)


def used_everywhere(secured: SecuredApp, token: str) -> list[str]:
    """Use a token on every route in every place; returns what was answered."""
    answers = []
    job_id = secured.complete_job("")
    for each in secured.operations():
        path = each.about(job_id=job_id)
        if each.name.startswith("create") and "{" not in path and each.path.startswith("/v1"):
            continue  # waits for a worker
        for headers in ({"Authorization": f"Bearer {token}"}, {"X-API-Key": token}):
            answer = secured.call(each, path, headers)
            answers.append(answer.text + str(answer.headers))
        cookie = {"Cookie": f"mt_session={token}", "X-CSRF-Token": token}
        if each.name not in PUBLIC:
            answers.append(secured.client.request(each.method, path, headers=cookie).text)
    answers.append(secured.client.post("/session", json={"key": token, "x": token}).text)
    return answers


def test_no_key_is_found_anywhere_afterwards(
    tmp_path: Path, heard: pytest.LogCaptureFixture
) -> None:
    for secured in open_secured_app(tmp_path, api_keys=f"ops:{STATIC}:submit+read+admin:"):
        made, gone = secured.key(), secured.key()
        secured.guard.keyring.revoke(gone.key.id)
        wrong = f"{made.token[:-4]}AAAA"
        tokens = [made.token, gone.token, STATIC, wrong]
        answers = [text for token in tokens for text in used_everywhere(secured, token)]
        work(secured.service)
        secrets = [token.split("_", 2)[-1] for token in tokens]
        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        for secret in secrets:
            assert secret not in heard.text
            assert secret.encode() not in kept
            assert not [text for text in answers if secret in text]


def test_a_sessions_secrets_are_with_its_browser_alone(
    secured: SecuredApp, heard: pytest.LogCaptureFixture
) -> None:
    answer = secured.client.post("/session", json={"key": secured.key().token})
    secrets = [answer.cookies["mt_session"], answer.json()["csrf_token"]]
    for each in secured.operations():
        if each.name not in {"signOut", "watchTranscriptions"}:  # that one has no end
            secured.client.request(each.method, each.about(), headers={"X-CSRF-Token": secrets[1]})
    kept = b"".join(path.read_bytes() for path in secured.folder.rglob("*") if path.is_file())
    for secret in secrets:
        assert secret not in heard.text
        assert secret.encode() not in kept


def test_what_the_guard_is_made_of_tells_no_key_when_it_is_shown(tmp_path: Path) -> None:
    for secured in open_secured_app(
        tmp_path, api_keys=STATIC, api_key_pepper="pepper-of-an-operator"
    ):
        secured.client.get("/transcribe", headers={"X-API-Key": STATIC})
        settings = secured.client.app.state.settings  # type: ignore[attr-defined]
        shown = f"{secured.guard!r} {vars(secured.guard.keyring)!r} {settings!r} {settings}"
        assert STATIC not in shown
