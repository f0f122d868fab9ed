"""HashiCorp Vault, as a loopback server plays its key-value store, version 2."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.settings import Settings
from meet_transcriber.settings.secret_sources import VaultAccess, read_vault
from tests.unit.outbound.sites import Answer, Site

SECRET = "/v1/secret/data/meet-transcriber"


@pytest.fixture
def vault() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


def says(answer: Any, status: int = 200) -> Answer:
    body = json.dumps(answer).encode()
    return lambda request: request.send(body, status, content_type="application/json")


def fields(**kept: str) -> Answer:
    return says({"data": {"data": kept, "metadata": {"version": 1}}})


def read(
    vault: Site, access: dict[str, Any] | None = None, name: str = "secret/meet-transcriber"
) -> dict[str, Any]:
    said = {"addr": vault.url(""), "token": "hvs.theirs", **(access or {})}
    return read_vault(Settings, name, VaultAccess(_env_file=None, **said))


def test_the_guides_field_is_the_token(vault: Site) -> None:
    vault.answers[SECRET] = fields(hf_token="hf_kept")
    assert read(vault) == {"huggingface_access_token": "hf_kept"}
    assert vault.seen[0].headers["x-vault-token"] == "hvs.theirs"


def test_known_fields_are_settings_and_others_are_ignored(vault: Site) -> None:
    kept = fields(REDIS_PASSWORD="p", log_level="DEBUG", colour="red", api_port="")
    vault.answers[SECRET] = kept
    assert read(vault) == {"redis_password": "p", "log_level": "DEBUG"}


def test_another_secret_may_be_named(vault: Site) -> None:
    vault.answers["/v1/kv/data/team/meetings"] = fields(hf_token="hf_team")
    found = read(vault, {"namespace": "ours"}, "kv/team/meetings")
    assert found["huggingface_access_token"] == "hf_team"
    assert vault.seen[0].headers["x-vault-namespace"] == "ours"


def test_a_pod_signs_in_with_its_service_account(tmp_path: Path, vault: Site) -> None:
    (tmp_path / "jwt").write_text("pods.own.token\n")
    vault.answers["/v1/auth/kubernetes/login"] = says({"auth": {"client_token": "hvs.given"}})
    vault.answers[SECRET] = fields(hf_token="hf_kept")
    assert read(vault, {"token": None, "role": "meet", "jwt_file": tmp_path / "jwt"})
    assert json.loads(vault.seen[0].body) == {"role": "meet", "jwt": "pods.own.token"}
    assert vault.seen[1].headers["x-vault-token"] == "hvs.given"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (says({"errors": ["hvs.theirs denied"]}, 403), "answers 403. The token or role may not"),
        (says({"errors": []}, 404), "answers 404. It does not exist: SECRETS_NAME"),
        (says({}, 503), "answers 503. Vault is sealed"),
        (says({}, 500), "answers 500. Its log says why"),
        (says({"data": {"hf_token": "hf_of_version_1"}}), "key-value store, version 2"),
        (says([]), "key-value store, version 2"),
        (lambda request: request.send(b"<html>"), "does not answer in JSON"),
        (lambda request: request.send(b"", 307, location="/elsewhere"), "answers 307"),
    ],
)
def test_an_unusable_response_is_an_error(vault: Site, answer: Answer, said: str) -> None:
    vault.answers[SECRET] = answer
    with pytest.raises(InvalidOptions) as caught:
        read(vault)
    error = str(caught.value)
    assert error.startswith("The secret secret/meet-transcriber of Vault cannot be read: ")
    assert said in error
    assert "hvs.theirs" not in error
    assert "hf_of_version_1" not in error


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ({"addr": None}, "VAULT_ADDR is not set"),
        ({"token": None}, "no token is set. Set VAULT_TOKEN, or VAULT_ROLE"),
        ({"token": None, "role": "r", "jwt_file": "/nowhere"}, "/nowhere is not readable"),
        ({"addr": "http://127.0.0.1:9"}, "http://127.0.0.1:9 cannot be reached"),
        ({"addr": "http://me:hvs.theirs@127.0.0.1:9"}, "http://127.0.0.1:9 cannot"),
        ({"addr": "vault"}, "cannot be reached"),
        ({"cacert": "/nowhere"}, "cannot be reached (FileNotFoundError)"),
    ],
)
def test_missing_access_is_an_error(vault: Site, lacking: dict[str, str | None], said: str) -> None:
    with pytest.raises(InvalidOptions) as caught:
        read(vault, lacking)
    assert said in str(caught.value)
    assert "hvs.theirs" not in str(caught.value)
