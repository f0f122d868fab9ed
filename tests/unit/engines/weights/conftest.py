"""A package index in a folder, no hub, and a folder of models."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from meet_transcriber.engines.weights.catalogue import ModelsFolder

OFFLINE: Mapping[str, str] = {
    "HF_HUB_OFFLINE": "1",
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_NO_INDEX": "1",
    "PIP_INDEX_URL": "",
    "PIP_EXTRA_INDEX_URL": "",
    "PIP_NO_CACHE_DIR": "1",
}
"""No hub and no index, regardless of this machine's configuration."""


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that is pip's only source of wheels."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name, value in {**OFFLINE, "PIP_FIND_LINKS": str(folder)}.items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture
def models(tmp_path: Path) -> ModelsFolder:
    return ModelsFolder(tmp_path / "models")


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts a `pip.py` into the current folder; returns the file that it would write."""
    folder = tmp_path / "current"
    folder.mkdir()
    caught = tmp_path / "caught"
    (folder / "pip.py").write_text(f"open({str(caught)!r}, 'w')")
    monkeypatch.chdir(folder)
    return caught
