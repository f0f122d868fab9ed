"""Commands as a person runs them."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from meet_transcriber import transcribe
from meet_transcriber.settings import Settings
from scripts.make_tiny_whisper import build

DATA = Path(__file__).parents[1] / "data"
DRAFT = {"ASR_ENGINE": "pocketsphinx", "DIARIZATION_ENGINE": "acoustic", "HF_HUB_OFFLINE": "1"}


def run(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "meet_transcriber", *map(str, words)],
        env={**os.environ, **DRAFT, **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_doctor_passes_where_the_named_engines_work() -> None:
    result = run("doctor")
    assert result.returncode == 0
    assert "pocketsphinx" in result.stdout


def test_doctor_fails_where_a_named_engine_is_missing() -> None:
    result = run("doctor", ASR_ENGINE="faster-whisper", WHISPER_MODEL="tiny")
    assert result.returncode == 4
    assert "models pull tiny" in " ".join(result.stdout.replace("│", " ").split())


def test_doctor_fails_where_a_token_asks_for_pyannote_that_is_not_there() -> None:
    asked = {"DIARIZATION_ENGINE": "auto", "HUGGINGFACE_ACCESS_TOKEN": "hf_real_looking"}
    result = run("doctor", **asked)
    assert result.returncode == 4
    assert "PYANNOTE=1" in " ".join(result.stdout.replace("│", " ").split())
    placeholder = {**asked, "HUGGINGFACE_ACCESS_TOKEN": "hf_your_token_here"}
    assert run("doctor", **placeholder).returncode == 0


def test_doctor_gives_up_a_hub_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        result = run("doctor", HF_ENDPOINT=address, HF_HUB_OFFLINE="0", NO_PROXY="127.0.0.1")
    assert result.returncode == 0
    assert "no answer within 8 seconds" in " ".join(result.stdout.replace("│", " ").split())


def test_a_model_in_a_folder_is_found_and_tried(tmp_path: Path) -> None:
    folder = build(tmp_path / "tiny-whisper")
    assert run("models", "path", folder).stdout.strip() == str(folder)
    assert run("models", "check", folder).stdout.startswith("faster-whisper tiny-whisper")


def test_offline_a_pull_says_so_at_once() -> None:
    result = run("models", "pull", "tiny")
    assert result.returncode == 4
    assert "HF_HUB_OFFLINE" in result.stderr


def test_scoring_a_transcript_against_itself_finds_no_error() -> None:
    result = run("score", DATA / "budget.json", DATA / "budget.json")
    assert result.returncode == 0
    assert result.stdout.count("0.0%") == 3


@pytest.mark.parametrize("form", ["txt", "srt", "docx", "diarized_json"])
def test_a_transcript_is_exported_with_names(form: str) -> None:
    command = [sys.executable, "-m", "meet_transcriber", "export", str(DATA / "budget.json")]
    done = subprocess.run(
        [*command, "-f", form, "--name", "SPEAKER_00=Ann"], capture_output=True, check=True
    )
    assert form == "docx" or b"Ann" in done.stdout


def test_whisper_on_the_command_line_with_a_model_in_a_folder(tmp_path: Path) -> None:
    folder = build(tmp_path / "tiny-whisper")
    result = run(
        "transcribe",
        DATA / "budget.ogg",
        "--format",
        "json",
        ASR_ENGINE="faster-whisper",
        WHISPER_MODEL=str(folder),
    )
    assert result.returncode == 0, result.stderr
    assert "INFO faster_whisper" not in result.stderr
    found = json.loads(result.stdout)
    assert found["engine"].startswith("faster-whisper tiny-whisper int8")
    assert len(found["speakers"]) == 3


@pytest.mark.xdist_group("sample")  # recognized there too; one at a time
def test_verify_finds_the_draft_engines_within_their_bounds_and_says_what_did_not_run() -> None:
    result = run("verify")
    assert result.returncode == 0, result.stdout
    assert result.stdout.count("within") == 6
    assert "not run: Whisper, because ASR_ENGINE is pocketsphinx." in result.stdout
    assert "not run: pyannote, because DIARIZATION_ENGINE is acoustic." in result.stdout


def test_verify_exits_with_6_for_a_model_that_knows_nothing(tmp_path: Path) -> None:
    folder = build(tmp_path / "tiny-whisper", multilingual=True)
    real = {"ASR_ENGINE": "auto", "DIARIZATION_ENGINE": "none", "WHISPER_MODEL": str(folder)}
    result = run("verify", **real)
    assert result.returncode == 6, result.stderr
    assert "outside" in next(line for line in result.stdout.splitlines() if "WER" in line)
    assert "Words: faster-whisper tiny-whisper int8 cpu." in result.stdout
    assert "not run: Whisper" not in result.stdout


def test_verify_never_falls_back_where_weights_cannot_be_had() -> None:
    result = run("verify", ASR_ENGINE="auto", WHISPER_MODEL="tiny")
    assert (result.returncode, result.stdout) == (4, "")
    assert "Cannot fetch Systran/faster-whisper-tiny" in result.stderr


def test_a_plan_is_made_from_the_factor_that_is_given() -> None:
    result = run("plan", "--recordings", "100", "--rtf", "0.5")
    assert result.returncode == 0, result.stderr
    figures = dict(line.split("│")[1:3] for line in result.stdout.splitlines() if "│" in line)
    told = {what.strip(): how_much.strip() for what, how_much in figures.items()}
    assert (told["work"], told["workers"]) == ("50.0 h a day", "3")
    assert "RTF 0.5 as given." in result.stdout


def test_a_plan_measures_the_factor_of_this_machine(tmp_path: Path) -> None:
    folder = build(tmp_path / "tiny-whisper", multilingual=True)
    real = {"ASR_ENGINE": "auto", "DIARIZATION_ENGINE": "none", "WHISPER_MODEL": str(folder)}
    result = run("plan", "--recordings", "1", **real)
    assert result.returncode == 0, result.stderr
    assert "on this machine. Words: faster-whisper tiny-whisper int8 cpu." in result.stdout


def test_the_library_takes_a_recording_to_its_transcript() -> None:
    settings = Settings(asr_engine="pocketsphinx", diarization_engine="acoustic")
    found = transcribe(DATA / "budget.ogg", settings=settings, num_speakers=3)
    assert found.speakers == ("SPEAKER_00", "SPEAKER_01", "SPEAKER_02")
    assert found.engine == "pocketsphinx en-us"
