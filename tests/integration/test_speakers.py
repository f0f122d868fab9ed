"""The diarizer that the settings mean where its weights are there."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from meet_transcriber import transcribe
from meet_transcriber.bootstrap.engines import diarizer
from meet_transcriber.settings import Settings
from tests.integration.hearing import ONNX

DATA = Path(__file__).parents[1] / "data"


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"diarization_engine": "onnx"},
        {"huggingface_access_token": SecretStr("hf_your_token_here")},
        {"huggingface_access_token": SecretStr("hf_real_looking")},
        {"diarization_model": "pyannote/other"},
    ],
)
def test_speakers_come_from_onnx_whatever_is_set_for_pyannote(more: dict[str, object]) -> None:
    chosen = diarizer(Settings.model_validate(more))
    assert chosen is not None
    assert chosen.engine.name == ONNX
    assert (chosen.notes, chosen.is_stopgap) == ((), False)


def test_without_weights_for_speakers_there_are_words_and_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "tiny.en").symlink_to(Path(os.environ["MODELS_DIR"]).resolve() / "tiny.en")
    settings = Settings(models_dir=tmp_path, whisper_model="tiny.en")
    found = transcribe(DATA / "budget.ogg", settings=settings)
    assert "budget" in found.text.lower()
    assert {word.speaker for word in found.words} == {None}
    assert (found.speakers, found.turns, found.diarizer) == ((), (), None)
    assert [warning.code for warning in found.warnings] == ["speakers_unavailable"]
