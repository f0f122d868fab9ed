"""Which engines, and which decoder, the settings mean."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from meet_transcriber.audio.sandbox.client import ConfinedDecoder
from meet_transcriber.bootstrap import services
from meet_transcriber.bootstrap.doctor import check, check_diarizer, check_recognizer, verified
from meet_transcriber.bootstrap.engines import (
    LazyEngine,
    decoder,
    diarizer,
    group_models,
    pyannote_problem,
    recognizer,
    required_models,
    without_speakers,
)
from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.core.transcript import TranscriptWarning
from meet_transcriber.pipeline import Chosen, NoDiarizer
from meet_transcriber.ports.engines import Diarizer
from meet_transcriber.service import FETCH_ASKED
from meet_transcriber.service.task_runner import Engines
from meet_transcriber.settings import Settings
from meet_transcriber.worker.runtime import WorkerProcess
from tests.simulated.system import wait_for
from tests.unit.fakes import FakeDiarizer, FakeRecognizer, FakeVad

PLACEHOLDER = SecretStr("hf_your_token_here")
REAL_LOOKING = SecretStr("hf_real_looking")
UNKNOWN = TranscriptWarning("speakers_unavailable", "Speakers are unknown.")


def test_recordings_are_decoded_in_a_separate_process() -> None:
    chosen = decoder(Settings(decoder_memory_mb=512, max_audio_duration_seconds=60))
    assert isinstance(chosen, ConfinedDecoder)
    assert (chosen.memory_bytes, chosen.max_duration) == (512 << 20, 60)


def test_retention_settings_become_the_policy() -> None:
    usual = services.policy(Settings())
    assert (usual.keep_audio, usual.drop_recording, usual.result_ttl_seconds) == (True, False, None)
    rules = services.policy(
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


def test_a_working_engine_is_checked_before_use() -> None:
    recognizer, diarizer = FakeRecognizer(), FakeDiarizer()
    assert verified(Chosen(recognizer), check_recognizer).engine is recognizer
    assert recognizer.parts == 1
    assert verified(Chosen(diarizer), check_diarizer).engine is diarizer


def test_an_engine_that_fails_its_check_is_unavailable_with_the_reason(
    tmp_path: Path,
) -> None:
    broken = FakeDiarizer(RuntimeError("no kernel image is available"))
    engines = Engines(
        lambda: verified(Chosen(FakeRecognizer()), check_recognizer),
        lambda: verified(Chosen(broken), check_diarizer),
        FakeVad,
    )
    queue = services.embedded_queue()
    worker = WorkerProcess(
        Settings(data_dir=tmp_path), queue, ("recognize", "cpu"), lambda *_: engines, "w"
    )
    worker.start()
    problem = _problem(worker)
    worker.wind_down()
    worker.close()
    assert "fake-diarizer was loaded, but failed on a second of audio" in problem
    assert "no kernel image is available" in problem
    with pytest.raises(EngineUnavailable, match="doctor"):
        verified(Chosen(broken), check_diarizer)


def test_an_engine_that_breaks_is_a_finding_of_doctor() -> None:
    found = check("speakers", lambda: check_diarizer(FakeDiarizer(OSError("libcudnn.so.9"))))
    assert (found.works, found.detail) == (False, "libcudnn.so.9")


def _problem(worker: WorkerProcess) -> str:
    jobs = worker.context.jobs
    (seen,) = wait_for(lambda: [each for each in jobs.workers(0.0) if each.problem])
    return seen.problem


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for models on a machine that reaches no place that has any."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return tmp_path / "models"


def test_without_weights_auto_omits_speakers_and_warns_once(nowhere: Path) -> None:
    chosen = diarizer(Settings(models_dir=nowhere))
    assert chosen is not None
    assert (chosen.engine.name, chosen.is_stopgap) == ("", True)
    (note,) = chosen.notes
    assert note.code == "speakers_unavailable"
    assert str(nowhere) in note.message


@pytest.mark.parametrize("name", ["onnx", "pyannote"])
def test_a_diarizer_that_was_named_never_falls_back(name: str, nowhere: Path) -> None:
    named = {"diarization_engine": name, "models_dir": nowhere}
    with pytest.raises(EngineUnavailable):
        diarizer(Settings.model_validate(named))


def test_with_none_there_is_no_diarizer(nowhere: Path) -> None:
    assert diarizer(Settings(models_dir=nowhere, diarization_engine="none")) is None


def test_without_weights_there_is_no_recognizer_and_every_place_is_named(nowhere: Path) -> None:
    with pytest.raises(EngineUnavailable) as raised:
        recognizer(Settings(models_dir=nowhere, whisper_model="base"))
    for place in (str(nowhere), "HF_HUB_OFFLINE", "package index"):
        assert place in str(raised.value)


def test_pyannote_is_required_only_when_configured() -> None:
    assert "PYANNOTE=1" in pyannote_problem(Settings(diarization_engine="pyannote"))
    assert not pyannote_problem(Settings(huggingface_access_token=REAL_LOOKING))


@pytest.mark.parametrize(
    ("named", "wanted"),
    [
        ({}, [("base",), ("segmentation-3.0", "campplus")]),
        ({"speaker_embedding": "wespeaker"}, [("base",), ("segmentation-3.0", "wespeaker")]),
        ({"diarization_engine": "none"}, [("base",)]),
        (
            {"diarization_engine": "pyannote", "diarization_model": "pyannote/it"},
            [("base",), ("pyannote/it",)],
        ),
        (
            {"diarization_engine": "pyannote", "diarization_model": str(Path(__file__).parent)},
            [("base",)],
        ),
    ],
)
def test_the_configured_models_are_fetched(
    named: dict[str, str], wanted: list[tuple[str, ...]]
) -> None:
    assert required_models(Settings.model_validate(named)) == wanted


def test_models_of_one_wheel_are_fetched_together() -> None:
    asked = ["campplus", "tiny", "segmentation-3.0"]
    assert group_models(Settings(), asked) == [("tiny",), ("campplus", "segmentation-3.0")]


def test_a_stopgap_is_retried_and_a_final_engine_is_kept() -> None:
    made: list[int] = []

    def make() -> int:
        made.append(len(made))
        return made[-1]

    get = LazyEngine(make, lambda number: number == 1)
    assert (get(), get()) == (0, 0), "a task waits for no other try"
    assert (get.retry(), get(), get.retry()) == (1, 1, 1)


def test_a_missing_engine_is_retried_after_a_minute() -> None:
    now, problems = 0.0, [EngineUnavailable("no weights")]

    def make() -> int:
        if problems:
            raise problems.pop()
        return 1

    get = LazyEngine(make, clock=lambda: now)
    for _ in range(2):
        with pytest.raises(EngineUnavailable, match="no weights"):
            get()
    now = 61.0
    assert get() == 1


def test_auto_continues_without_speakers_when_the_diarizer_fails() -> None:
    problem = EngineUnavailable("it stopped")
    chosen = without_speakers(Settings(), problem)
    assert chosen.is_stopgap
    assert [note.code for note in chosen.notes] == ["speakers_unavailable"]
    with pytest.raises(EngineUnavailable, match="it stopped"):
        without_speakers(Settings(diarization_engine="onnx"), problem)


def test_a_worker_with_a_stopgap_retries_on_request(
    tmp_path: Path,
) -> None:
    stopgap = Chosen[Diarizer](NoDiarizer(), (UNKNOWN,), is_stopgap=True)
    rounds = [stopgap, Chosen[Diarizer](FakeDiarizer())]
    queue = services.embedded_queue()

    def engines(*_: object) -> Engines:
        chosen = rounds.pop(0)
        return Engines(lambda: Chosen(FakeRecognizer()), lambda: chosen, FakeVad)

    worker = WorkerProcess(Settings(data_dir=tmp_path), queue, ("recognize", "cpu"), engines, "w")
    worker.start()
    jobs = worker.context.jobs
    (seen,) = wait_for(lambda: [each for each in jobs.workers(0.0) if each.notes])
    assert (seen.problem, seen.notes, seen.diarizer) == ("", (UNKNOWN.message,), "")
    jobs.set_fact(FETCH_ASKED, "now")
    (seen,) = wait_for(lambda: [each for each in jobs.workers(0.0) if each.diarizer])
    assert (seen.notes, seen.diarizer) == ((), "fake-diarizer")
    worker.wind_down()
    worker.close()


def test_a_new_data_dir_is_private_to_its_owner(tmp_path: Path) -> None:
    folder = tmp_path / "share" / "meetings"
    services.stores(Settings(_env_file=None, data_dir=folder))
    assert folder.stat().st_mode & 0o777 == 0o700
