"""What is refused before a job begins, from the settings alone."""

import pytest

from meet_transcriber.bootstrap.services import refuse
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.options import Options
from meet_transcriber.settings import Settings


@pytest.mark.parametrize("model", ["turbo", "/models/large-v3-turbo/", "small.en", "me/base.en"])
def test_a_model_whose_name_says_so_translates_nothing(model: str) -> None:
    settings = Settings(asr_engine="faster-whisper", whisper_model=model)
    with pytest.raises(InvalidOptions, match="WHISPER_MODEL"):
        refuse(settings, Options(task="translate"))
    refuse(settings, Options())


def test_other_models_translate() -> None:
    settings = Settings(asr_engine="faster-whisper", whisper_model="/srv/my.english/medium")
    refuse(settings, Options(task="translate"))


@pytest.mark.parametrize("engine", ["auto", "whisper", "faster-whisper"])
def test_every_name_of_the_engine_is_refused_alike(engine: str) -> None:
    settings = Settings.model_validate({"asr_engine": engine, "whisper_model": "turbo"})
    with pytest.raises(InvalidOptions):
        refuse(settings, Options(task="translate"))
