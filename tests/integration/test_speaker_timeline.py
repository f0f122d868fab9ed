"""A speaker timeline with the commands and the library."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from meet_transcriber import transcribe
from meet_transcriber.core.formats.readers import read_transcript
from meet_transcriber.core.transcript import Transcript
from meet_transcriber.settings import Settings
from tests.integration.hearing import TINY
from tests.simulated.system import System, recording

DATA = Path(__file__).parents[1] / "data"
PEOPLE = {"SPEAKER_00": "Ann Lee", "SPEAKER_01": "Bob Ray", "SPEAKER_02": "Cem Oz"}
LATE_SECONDS = 300.0  # the conference's clock began so much earlier than the recording


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "meet_transcriber", *map(str, words)]
    environment = {**os.environ, **TINY}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def clock(seconds: float) -> str:
    return f"{int(seconds // 3600):02d}:{int(seconds // 60 % 60):02d}:{seconds % 60:06.3f}"


@pytest.fixture
def truth() -> Transcript:
    return read_transcript(DATA / "budget.json")


@pytest.fixture
def minutes(truth: Transcript, tmp_path: Path) -> Path:
    """What Teams writes of the bundled meeting."""
    cues = [
        f"{clock(turn.start + LATE_SECONDS)} --> {clock(turn.end + LATE_SECONDS)}\n"
        f"<v {PEOPLE[turn.speaker]}>So it was.</v>\n"
        for turn in truth.turns
    ]
    path = tmp_path / "minutes.vtt"
    path.write_text("WEBVTT\n\n" + "\n".join(cues), encoding="utf-8")
    return path


def named_rightly(names: dict[str, str], found: Transcript, truth: Transcript) -> bool:
    """Whether each person's first words have that person's name."""
    return all(
        names.get(word.speaker or "") == PEOPLE[turn.speaker]
        for word in found.words
        for turn in truth.turns
        if turn.start + 0.5 < word.middle < turn.end - 0.5
    )


@pytest.mark.xdist_group("sample")  # recognized there too; one at a time
def test_transcribe_names_people_by_a_timeline_on_another_clock(
    minutes: Path, truth: Transcript, tmp_path: Path
) -> None:
    asked = ("--speaker-timeline", minutes, "-f", "json", "-o", tmp_path)
    result = run("transcribe", DATA / "budget.ogg", *asked)
    assert result.returncode == 0, result.stderr
    found = read_transcript(tmp_path / "budget.json")
    assert set(found.names.values()) == set(PEOPLE.values())
    assert named_rightly(dict(found.names), found, truth)


@pytest.mark.xdist_group("sample")
def test_the_library_takes_a_timeline_as_entries(truth: Transcript) -> None:
    settings = Settings(whisper_model="tiny.en", diarization_engine="onnx")
    entries = [
        {"name": PEOPLE[turn.speaker], "start": turn.start, "end": turn.end} for turn in truth.turns
    ]
    found = transcribe(DATA / "budget.ogg", settings=settings, speaker_timeline=entries)
    assert named_rightly(dict(found.names), found, truth)


def test_submit_sends_a_timeline_along(tmp_path: Path) -> None:
    (tmp_path / "standup.wav").write_bytes(recording(4))
    (tmp_path / "minutes.csv").write_text("name,start,end\nAnn Lee,0,4\n", encoding="utf-16")
    with System(tmp_path / "system") as system:
        server = str(system.api().base_url)
        system.worker()
        wanted = ("--speaker-timeline", str(tmp_path / "minutes.csv"), "--wait")
        result = system.run("submit", str(tmp_path / "standup.wav"), "--server", server, *wanted)
    assert result.returncode == 0, result.stderr
    assert "Ann Lee: word0" in result.stdout


@pytest.mark.parametrize("command", ["transcribe", "submit"])
def test_a_timeline_that_is_none_is_refused_before_anything_is_done(
    command: str, tmp_path: Path
) -> None:
    diary = tmp_path / "diary.txt"
    diary.write_text("Dear diary", encoding="utf-8")
    sound = str(DATA / "budget.ogg")
    for words, why in (
        ((sound, "--speaker-timeline", str(diary)), "its format is unknown"),
        ((sound, "--speaker-timeline", str(tmp_path / "gone")), "No such file"),
        ((sound, sound, "--speaker-timeline", str(diary)), "belongs to one recording"),
    ):
        result = run(command, *words)
        assert result.returncode == 2
        assert why in " ".join(result.stderr.split())
