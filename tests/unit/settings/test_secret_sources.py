"""Environment, then .env, then files, then a manager."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from meet_transcriber.settings.secret_sources import DEFAULT_NAMES
from tests.unit.outbound.sites import Site
from tests.unit.settings.child import load

PLACES = ["environment", ".env", "files", "manager"]


@pytest.fixture
def vault() -> Iterator[Site]:
    """A Vault whose only secret has one field."""
    site = Site()
    fields = {"data": {"data": {"hf_token": "from manager"}}}
    answer = json.dumps(fields).encode()
    site.answers["/v1/secret/data/meet-transcriber"] = lambda request: request.send(answer)
    yield site
    site.close()


def placed(folder: Path, vault: Site, places: list[str]) -> dict[str, object]:
    """Put a token in each of the places; returns the environment that leads there."""
    environment: dict[str, object] = {}
    if "environment" in places:
        environment["HUGGINGFACE_ACCESS_TOKEN"] = "from environment"
    if ".env" in places:
        (folder / ".env").write_text("HUGGINGFACE_ACCESS_TOKEN=from .env\n")
    if "files" in places:
        (folder / "hf_token").write_text("from files")
        environment["SECRETS_DIR"] = folder
    if "manager" in places:
        environment |= {"SECRETS_FROM": "vault", "VAULT_ADDR": vault.url(""), "VAULT_TOKEN": "t"}
    return environment


@pytest.mark.parametrize("first", range(len(PLACES)))
def test_the_first_source_that_sets_it_wins(tmp_path: Path, vault: Site, first: int) -> None:
    environment = placed(tmp_path, vault, PLACES[first:])
    assert load(tmp_path, **environment).token == f"from {PLACES[first]}"


def test_sources_may_be_named_in_the_env_file(tmp_path: Path) -> None:
    (tmp_path / "hf_token").write_text("hf_mounted\n")
    (tmp_path / ".env").write_text(f"SECRETS_DIR={tmp_path}\n")
    assert load(tmp_path).token == "hf_mounted"


def test_an_empty_variable_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "hf_token").write_text("hf_mounted")
    loaded = load(tmp_path, SECRETS_DIR=tmp_path, HUGGINGFACE_ACCESS_TOKEN="", HF_TOKEN="")
    assert loaded.token == "hf_mounted"


def test_the_hubs_own_variable_is_accepted(tmp_path: Path) -> None:
    assert load(tmp_path, HF_TOKEN="hf_short").token == "hf_short"
    both = load(tmp_path, HF_TOKEN="hf_short", HUGGINGFACE_ACCESS_TOKEN="hf_long")
    assert both.token == "hf_long"


def test_a_manager_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    loaded = load(tmp_path, SECRETS_FROM="drawer")
    assert loaded.error.startswith("error: SECRETS_FROM is not usable")


def test_azure_needs_the_name_of_a_vault(tmp_path: Path) -> None:
    loaded = load(tmp_path, SECRETS_FROM="azure")
    assert loaded.error.startswith("error: SECRETS_FROM=azure needs SECRETS_NAME")


@pytest.mark.parametrize("manager", ["aws", "gcp", "vault"])
def test_the_guides_names_are_the_defaults(manager: str) -> None:
    guide = Path(__file__).parents[3] / "docs" / "guide" / "deployment-guide.md"
    said = {
        "aws": "--name meet-transcriber/hf-token",
        "gcp": "gcloud secrets create hf-token",
        "vault": "vault kv put secret/meet-transcriber hf_token=",
    }
    assert said[manager] in guide.read_text()
    assert DEFAULT_NAMES[manager] in said[manager]


def test_a_broken_env_file_is_refused_without_its_text(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"HF_TOKEN=hf_secret\xff")
    loaded = load(tmp_path)
    assert "UTF-8" in loaded.error
    assert "hf_secret" not in loaded.error
