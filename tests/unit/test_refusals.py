"""Options that are refused before a job is created, from the settings alone."""

import pytest

from meet_transcriber.bootstrap.services import refuse
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.options import Options
from meet_transcriber.settings import Settings


@pytest.mark.parametrize("model", ["turbo", "/models/large-v3-turbo/", "small.en", "me/base.en"])
def test_turbo_and_english_models_refuse_to_translate(model: str) -> None:
    settings = Settings(asr_engine="faster-whisper", whisper_model=model)
    with pytest.raises(InvalidOptions, match="WHISPER_MODEL"):
        refuse(settings, Options(task="translate"))
    refuse(settings, Options())


def test_other_models_translate() -> None:
    settings = Settings(asr_engine="faster-whisper", whisper_model="/srv/my.english/medium")
    refuse(settings, Options(task="translate"))


@pytest.mark.parametrize("engine", ["auto", "whisper", "faster-whisper"])
def test_every_engine_name_refuses_alike(engine: str) -> None:
    settings = Settings.model_validate({"asr_engine": engine, "whisper_model": "turbo"})
    with pytest.raises(InvalidOptions):
        refuse(settings, Options(task="translate"))
