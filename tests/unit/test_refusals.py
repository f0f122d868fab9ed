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


def test_auto_counts_as_whisper_where_no_draft_may_stand_in() -> None:
    settings = Settings(asr_engine="auto", whisper_model="turbo")
    refuse(settings, Options(task="translate"))
    with pytest.raises(InvalidOptions):
        refuse(settings, Options(task="translate", allow_drafts=False))
