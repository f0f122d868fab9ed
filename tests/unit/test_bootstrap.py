"""Which engines, and which decoder, the settings mean."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from meet_transcriber.audio.confined.decoder import ConfinedDecoder
from meet_transcriber.bootstrap import (
    decoder,
    diarizer,
    recognizer,
    services,
    token_in_vain,
)
from meet_transcriber.bootstrap.trials import heard, told_apart, tried
from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.pipeline import Chosen
from meet_transcriber.service import Engines
from meet_transcriber.settings import Settings
from meet_transcriber.worker.process import WorkerProcess
from tests.simulated.house import wait_for
from tests.unit.doubles import Ear, Judge, Scribe

PLACEHOLDER = SecretStr("hf_your_token_here")


def test_recordings_are_decoded_in_a_process_of_their_own() -> None:
    chosen = decoder(Settings(decoder_memory_mb=512, max_audio_duration_seconds=60))
    assert isinstance(chosen, ConfinedDecoder)
    assert (chosen.memory_bytes, chosen.max_duration) == (512 << 20, 60)


def test_what_the_operator_says_of_old_results_and_of_audio_is_the_services_rule() -> None:
    usual = services.rules(Settings())
    assert (usual.keep_audio, usual.drop_recording, usual.result_ttl_seconds) == (True, False, None)
    rules = services.rules(
        Settings(
            audio_retention="delete",
            media_url="redis",
            result_ttl_hours=2,
            result_ttl_edited=True,
            max_audio_hours_per_day=3,
            max_stored_mb=4,
        )
    )
    assert (rules.keep_audio, rules.drop_recording, rules.expire_edited) == (False, True, True)
    assert (rules.result_ttl_seconds, rules.max_audio_seconds) == (7200.0, 10_800.0)
    assert rules.max_stored_bytes == 4 << 20


def test_an_engine_that_works_is_tried_before_it_is_given_out() -> None:
    scribe, judge = Scribe(), Judge()
    assert tried(Chosen(scribe), heard).engine is scribe
    assert scribe.parts == 1
    assert tried(Chosen(judge), told_apart).engine is judge


def test_an_engine_that_fails_when_it_is_tried_is_not_there_and_readiness_says_why(
    tmp_path: Path,
) -> None:
    broken = Judge(RuntimeError("no kernel image is available"))
    engines = Engines(
        lambda: tried(Chosen(Scribe()), heard), lambda: tried(Chosen(broken), told_apart), Ear
    )
    queue = services.embedded_queue()
    worker = WorkerProcess(
        Settings(data_dir=tmp_path), queue, ("recognize", "cpu"), lambda *_: engines, "w"
    )
    worker.start()
    problem = _problem(worker)
    worker.wind_down()
    worker.close()
    assert "judge was loaded, but failed on a second of audio" in problem
    assert "no kernel image is available" in problem
    with pytest.raises(EngineUnavailable, match="doctor"):
        tried(Chosen(broken), told_apart)


def _problem(worker: WorkerProcess) -> str:
    jobs = worker.ground.jobs
    (seen,) = wait_for(lambda: [each for each in jobs.workers(0.0) if each.problem])
    return seen.problem


def test_without_pyannote_and_without_a_token_speakers_come_from_acoustic() -> None:
    chosen = diarizer(Settings(huggingface_access_token=PLACEHOLDER))
    assert chosen is not None
    assert chosen.engine.name == "acoustic"
    assert [note.code for note in chosen.notes] == ["acoustic_diarizer"]


def test_a_diarizer_or_its_model_that_was_named_never_falls_back() -> None:
    for named in ({"diarization_engine": "pyannote"}, {"diarization_model": "pyannote/other"}):
        with pytest.raises(EngineUnavailable):
            diarizer(Settings.model_validate(named))


def test_without_weights_there_is_no_recognizer_and_every_place_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(EngineUnavailable) as raised:
        recognizer(Settings(models_dir=tmp_path, whisper_model="base"))
    for place in (str(tmp_path), "HF_HUB_OFFLINE", "package index"):
        assert place in str(raised.value)


def test_a_token_asks_for_pyannote_and_for_nothing_less() -> None:
    settings = Settings(huggingface_access_token=SecretStr("hf_real_looking"))
    assert "PYANNOTE=1" in token_in_vain(settings)
    with pytest.raises(EngineUnavailable):
        diarizer(settings)


def test_a_token_is_not_in_vain_where_another_diarizer_is_named() -> None:
    token = SecretStr("hf_real_looking")
    assert not token_in_vain(Settings(huggingface_access_token=token, diarization_engine="none"))


def test_a_new_data_dir_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "share" / "meetings"
    services.stores(Settings(_env_file=None, data_dir=folder))
    assert folder.stat().st_mode & 0o777 == 0o700
