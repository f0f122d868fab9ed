"""Which engines, and which decoder, the settings mean."""

import pytest
from pydantic import SecretStr

from meet_transcriber.audio.confined.decoder import ConfinedDecoder
from meet_transcriber.bootstrap import decoder, diarizer, token_in_vain, without_drafts
from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.settings import Settings

PLACEHOLDER = SecretStr("hf_your_token_here")


def test_without_drafts_auto_is_the_real_engine() -> None:
    found, left_out = without_drafts(Settings(asr_engine="auto", diarization_engine="none"))
    assert found.asr_engine == "faster-whisper"
    assert left_out == ("pyannote, because DIARIZATION_ENGINE is none.",)


def test_an_engine_that_was_named_stays_and_what_it_replaces_is_said() -> None:
    settings = Settings(asr_engine="pocketsphinx", diarization_engine="acoustic")
    found, left_out = without_drafts(settings)
    assert found == settings
    assert [engine.split(",")[0] for engine in left_out] == ["Whisper", "pyannote"]


def test_a_diarization_model_that_was_named_is_never_left_out() -> None:
    settings = Settings(diarization_engine="auto", diarization_model="pyannote/some-pipeline")
    found, left_out = without_drafts(settings)
    assert found.diarization_engine == "pyannote"
    assert not any("pyannote" in engine for engine in left_out)


def test_recordings_are_decoded_in_a_process_of_their_own() -> None:
    chosen = decoder(Settings(decoder_memory_mb=512, max_audio_duration_seconds=60))
    assert isinstance(chosen, ConfinedDecoder)
    assert (chosen.memory_bytes, chosen.max_duration) == (512 << 20, 60)


def test_without_pyannote_and_without_a_token_speakers_come_from_the_draft_engine() -> None:
    chosen = diarizer(Settings(huggingface_access_token=PLACEHOLDER), draft=False)
    assert chosen is not None
    assert chosen.engine.name == "acoustic"
    assert [note.code for note in chosen.notes] == ["draft_diarizer"]


def test_a_token_asks_for_pyannote_and_for_nothing_less() -> None:
    settings = Settings(huggingface_access_token=SecretStr("hf_real_looking"))
    assert "PYANNOTE=1" in token_in_vain(settings)
    with pytest.raises(EngineUnavailable):
        diarizer(settings, draft=False)


def test_a_token_is_not_in_vain_where_another_diarizer_is_named() -> None:
    token = SecretStr("hf_real_looking")
    assert not token_in_vain(Settings(huggingface_access_token=token, diarization_engine="none"))
