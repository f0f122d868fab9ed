"""Values of settings that are checked or changed when they are read."""

from pathlib import Path

import pytest

from meet_transcriber import transcribe
from meet_transcriber.core.errors import InvalidOptions
from tests.unit.settings.child import load


def test_more_speakers_at_least_than_at_most_are_refused_at_the_start(tmp_path: Path) -> None:
    assert load(tmp_path, MIN_SPEAKERS=1, MAX_SPEAKERS=1).settings["max_speakers"] == "1"
    error = load(tmp_path, MIN_SPEAKERS=6, MAX_SPEAKERS=5).error
    assert error == "error: MIN_SPEAKERS is above MAX_SPEAKERS."


def test_a_tilde_is_the_home_folder(tmp_path: Path) -> None:
    found = load(tmp_path, HOME="/home/ann", AUDIT_LOG="~/audit.jsonl", DATA_DIR="~/data").settings
    assert (found["audit_log"], found["data_dir"]) == ("/home/ann/audit.jsonl", "/home/ann/data")


def test_the_library_raises_its_own_error_for_unusable_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_SPEAKERS", "many")
    with pytest.raises(InvalidOptions, match="MAX_SPEAKERS is not usable"):
        transcribe(tmp_path / "standup.mp3")
