"""`meet-transcriber models list` on a terminal of 80 columns."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds one model, which nobody knows."""
    root = tmp_path_factory.mktemp("models")
    place = root / "Systran--faster-distil-whisper-large-v3"
    place.mkdir()
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.json"):
        (place / name).write_bytes(b"x" * (1 << 20))
    return root


@pytest.fixture(scope="module")
def listed(models_dir: Path) -> list[str]:
    """The lines that the command prints for it."""
    done = subprocess.run(
        [sys.executable, "-m", "meet_transcriber", "models", "list"],
        env={**os.environ, "MODELS_DIR": str(models_dir), "COLUMNS": "80", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def line_of(name: str, listed: list[str]) -> list[str]:
    return next(line.split() for line in listed if line.startswith(f"{name} "))


def test_an_unknown_size_is_omitted(listed: list[str]) -> None:
    assert line_of("base", listed) == ["base", "recognition", "MIT", "141", "MiB", "no"]
    assert line_of("small", listed) == ["small", "recognition", "MIT", "no"]


def test_authors_and_licences_are_listed(listed: list[str]) -> None:
    assert "By OpenAI; converted by SYSTRAN: base, tiny.en, small." in listed
    assert "By CNRS (pyannote): segmentation-3.0." in listed
    assert "By Alibaba (3D-Speaker): campplus." in listed
    assert line_of("segmentation-3.0", listed) == [
        "segmentation-3.0",
        "speakers",
        "MIT",
        "6",
        "MiB",
        "no",
    ]
    assert line_of("campplus", listed) == ["campplus", "speakers", "Apache-2.0", "27", "MiB", "no"]
    assert line_of("wespeaker", listed) == ["wespeaker", "speakers", "CC-BY-4.0", "no"]
    assert any(line.startswith("By the authors named on the hub: ") for line in listed)


def test_lines_fit_without_truncation(listed: list[str], models_dir: Path) -> None:
    table = listed[: next(at for at, line in enumerate(listed) if line.startswith("By "))]
    assert max(map(len, table)) <= 80
    assert "…" not in "".join(listed)
    assert f"Folder: {models_dir}" in listed
