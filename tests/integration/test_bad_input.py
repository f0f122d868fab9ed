"""Bad input gets a sentence and an exit code, and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from tests.integration.hearing import TINY

MODELS = os.environ["MODELS_DIR"]


def transcribe(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command as a person runs it."""
    return subprocess.run(
        [sys.executable, "-m", "meet_transcriber", "transcribe", *map(str, words)],
        env={"PATH": "", "HOME": "/nonexistent", "MODELS_DIR": MODELS, **TINY, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def refused(result: subprocess.CompletedProcess[str], code: int, *says: str) -> None:
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 1
    for words in says:
        assert words in result.stderr


def tone(path: Path, seconds: float = 3.0, level: float = 0.3) -> Path:
    time = np.arange(round(seconds * 16_000)) / 16_000
    soundfile.write(path, level * np.sin(2 * np.pi * 440 * time), 16_000)
    return path


def video_without_sound(path: Path) -> Path:
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(10):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def speech_in(path: Path) -> Path:
    """A sound file in the container that the path names."""
    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=16_000)
        noise = np.random.default_rng(0).normal(0, 0.2, (200, 1, 1024)).astype(np.float32)
        for block in noise:
            frame = av.AudioFrame.from_ndarray(block, "fltp", "mono")
            frame.sample_rate = 16_000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("notes.txt", b"These are the minutes of our meeting.\n" * 20, "text"),
        ("empty.wav", b"", "empty"),
        ("photo.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(range(256)) * 8, "picture"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:9,\n/etc/passwd\n", "playlist"),
        ("list.ffconcat", b"ffconcat version 1.0\nfile /etc/passwd\n", "playlist"),
        ("broken.wav", b"RIFF\xff\xff\xff\xffWAVEfmt \x10\x00\x00\x00" + b"\x00" * 40, "damaged"),
        ("cut.mp4", b"\x00\x00\x00\x20ftypisom" + b"\x00" * 300, "index"),
        (
            "noise.bin",
            bytes(np.random.default_rng(0).integers(0, 256, 5000, np.uint8)),
            "not audio or video in a supported format",
        ),
    ],
)
def test_a_file_that_is_no_recording(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    refused(transcribe(written(tmp_path / name, data)), 3, says, name)


def test_a_video_without_sound(tmp_path: Path) -> None:
    refused(transcribe(video_without_sound(tmp_path / "silent.mp4")), 3, "without sound")


def test_a_truncated_mp4(tmp_path: Path) -> None:
    whole = speech_in(tmp_path / "whole.mp4").read_bytes()
    refused(transcribe(written(tmp_path / "cut.mp4", whole[: len(whole) // 2])), 3, "index")


def test_a_recording_over_the_length_limit(tmp_path: Path) -> None:
    result = transcribe(tone(tmp_path / "long.wav", 30), MAX_AUDIO_DURATION_SECONDS="10")
    refused(result, 3, "30 seconds long; the limit is 10 seconds", "MAX_AUDIO_DURATION_SECONDS")


def test_a_folder_a_missing_file_and_an_address(tmp_path: Path) -> None:
    refused(transcribe(tmp_path), 3, "folder")
    refused(transcribe(tmp_path / "gone.wav"), 3, "no such file")
    refused(transcribe("http://[not an address"), 3, "not supported here")


def test_options_that_make_no_sense_exit_with_2(tmp_path: Path) -> None:
    recording = tone(tmp_path / "a.wav")
    refused(transcribe(recording, "--num-speakers", "0"), 2, "num_speakers")
    refused(transcribe(recording, "--format", "pdf"), 2, "pdf")
    refused(transcribe(recording, "--language", "fr"), 2, "English")
    refused(transcribe(recording, MIN_SPEAKERS="many"), 2, "MIN_SPEAKERS")


def test_a_model_that_does_not_exist_exits_with_4(tmp_path: Path) -> None:
    result = transcribe(tone(tmp_path / "a.wav"), WHISPER_MODEL="huge")
    refused(result, 4, "no Whisper model 'huge'", "tiny.en")


def test_weights_that_cannot_be_had_exit_with_4(tmp_path: Path) -> None:
    recording = tone(tmp_path / "a.wav")
    result = transcribe(recording, WHISPER_MODEL="tiny", MODELS_DIR=str(tmp_path / "models"))
    refused(result, 4, "HF_HUB_OFFLINE is set", str(tmp_path / "models"))


def test_silence_gives_an_empty_transcript(tmp_path: Path) -> None:
    result = transcribe(tone(tmp_path / "silence.wav", 20, level=0.0))
    assert (result.returncode, result.stdout) == (0, "")


def test_one_bad_file_does_not_cost_the_others(tmp_path: Path) -> None:
    good = tone(tmp_path / "good.wav")
    result = transcribe(tmp_path / "gone.wav", good, "--format", "json")
    assert result.returncode == 3
    assert '"segments": []' in result.stdout
