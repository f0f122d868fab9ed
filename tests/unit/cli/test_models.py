"""`meet-transcriber models list` on a terminal of 80 columns."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from meet_transcriber.cli.models import app


@pytest.fixture
def listed(tmp_path: Path) -> list[str]:
    """The lines for a folder that holds one model, which nobody knows."""
    place = tmp_path / "Systran--faster-distil-whisper-large-v3"
    place.mkdir()
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.json"):
        (place / name).write_bytes(b"x" * (1 << 20))
    variables = {"MODELS_DIR": str(tmp_path), "COLUMNS": "80", "HF_HUB_OFFLINE": "1"}
    result = CliRunner().invoke(app, ["list"], env=variables)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def line_of(name: str, listed: list[str]) -> list[str]:
    return next(line.split() for line in listed if line.startswith(f"{name} "))


def test_the_size_is_left_out_where_that_of_a_file_is_not_known(listed: list[str]) -> None:
    assert line_of("base", listed) == ["base", "recognition", "MIT", "141", "MiB", "no"]
    assert line_of("small", listed) == ["small", "recognition", "MIT", "no"]


def test_makers_and_licences_are_shown(listed: list[str]) -> None:
    assert "By OpenAI; converted by SYSTRAN: base, tiny.en, small." in listed
    assert any(line.startswith("By those whom the hub names: ") for line in listed)


def test_lines_fit_and_nothing_is_cut_off(listed: list[str], tmp_path: Path) -> None:
    table = listed[: next(at for at, line in enumerate(listed) if line.startswith("By "))]
    assert max(map(len, table)) <= 80
    assert "…" not in "".join(listed)
    assert f"Kept in {tmp_path}." in listed
