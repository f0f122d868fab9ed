"""Files of SECRETS_DIR are settings, and what is wrong with them is said in a sentence."""

from pathlib import Path

import pytest

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.settings import Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secrets").mkdir()
    return tmp_path / "secrets"


def token_in(folder: Path) -> str | None:
    settings = Settings(_env_file=None, secrets_dir=folder)
    token = settings.huggingface_access_token
    return token.get_secret_value() if token else None


@pytest.mark.parametrize(
    "name", ["HUGGINGFACE_ACCESS_TOKEN", "huggingface_access_token", "hf_token", "HF_TOKEN"]
)
def test_a_file_is_the_setting_of_its_name(folder: Path, name: str) -> None:
    (folder / name).write_text("hf_mounted")
    assert token_in(folder) == "hf_mounted"


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n\n", " "])
def test_a_trailing_newline_is_removed(folder: Path, ending: str) -> None:
    (folder / "hf_token").write_text("hf_mounted" + ending)
    assert token_in(folder) == "hf_mounted"


def test_the_links_of_kubernetes_are_followed(folder: Path) -> None:
    (folder / "..2026_11_24").mkdir()
    (folder / "..2026_11_24" / "HUGGINGFACE_ACCESS_TOKEN").write_text("hf_mounted")
    (folder / "..data").symlink_to("..2026_11_24")
    (folder / "HUGGINGFACE_ACCESS_TOKEN").symlink_to("..data/HUGGINGFACE_ACCESS_TOKEN")
    assert token_in(folder) == "hf_mounted"


def test_the_folder_itself_may_be_a_link(folder: Path) -> None:
    (folder / "hf_token").write_text("hf_mounted")
    (folder.parent / "link").symlink_to("secrets")
    assert token_in(folder.parent / "link") == "hf_mounted"


def test_an_empty_file_is_ignored(folder: Path) -> None:
    (folder / "hf_token").write_text("\n")
    (folder / "api_port").write_text("")
    assert token_in(folder) is None


def test_unknown_files_are_ignored(folder: Path) -> None:
    (folder / "tls.crt").write_bytes(b"\xff\xfe")
    assert token_in(folder) is None


def test_a_link_out_of_the_folder_is_refused(folder: Path) -> None:
    (folder.parent / "shadow").write_text("root:secret")
    (folder / "hf_token").symlink_to("../shadow")
    with pytest.raises(InvalidOptions, match="outside"):
        token_in(folder)


def test_a_binary_file_is_refused_without_its_bytes(folder: Path) -> None:
    (folder / "hf_token").write_bytes(b"hf_secret\xff")
    with pytest.raises(InvalidOptions, match="UTF-8") as caught:
        token_in(folder)
    assert "hf_secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_folder_where_a_file_should_be_is_refused(folder: Path) -> None:
    (folder / "hf_token").mkdir()
    with pytest.raises(InvalidOptions, match="cannot be used"):
        token_in(folder)


def test_links_in_a_circle_are_refused(folder: Path) -> None:
    (folder / "hf_token").symlink_to("redis_password")
    (folder / "redis_password").symlink_to("hf_token")
    with pytest.raises(InvalidOptions, match="cannot be used"):
        token_in(folder)


def test_a_missing_folder_is_an_error(folder: Path) -> None:
    folder.rmdir()
    with pytest.raises(InvalidOptions, match="is not a folder"):
        token_in(folder)
