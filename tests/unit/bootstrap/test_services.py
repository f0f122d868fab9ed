"""Settings to the policy of a service."""

import pytest

from meet_transcriber.bootstrap.services import policy
from meet_transcriber.settings import Settings


@pytest.mark.parametrize("model", ["turbo", "/models/large-v3-turbo/", "small.en", "me/base.en"])
def test_turbo_and_english_models_refuse_to_translate(model: str) -> None:
    assert "WHISPER_MODEL" in policy(Settings(whisper_model=model)).translation_problem


def test_other_models_translate() -> None:
    assert policy(Settings(whisper_model="/srv/my.english/medium")).translation_problem == ""


@pytest.mark.parametrize("engine", ["auto", "whisper", "faster-whisper"])
def test_every_engine_name_refuses_alike(engine: str) -> None:
    settings = Settings.model_validate({"asr_engine": engine, "whisper_model": "turbo"})
    assert policy(settings).translation_problem
