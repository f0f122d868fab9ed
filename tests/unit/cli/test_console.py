"""Errors of commands are messages and exit codes, never tracebacks."""

import json
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from meet_transcriber.cli import app
from meet_transcriber.cli.client import Client
from tests.unit.outbound.sites import Request, Site

TRANSCRIPT = json.dumps({"segments": [{"start": 0.0, "end": 1.0, "text": "Hello"}]})


def run(*words: str | Path, **variables: str) -> tuple[int, str]:
    """Exit code and output."""
    result = CliRunner(env=variables).invoke(app, list(map(str, words)))
    return result.exit_code, " ".join(result.output.split())


def test_two_recordings_of_one_name_are_not_written_to_one_file(tmp_path: Path) -> None:
    files = [tmp_path / "monday" / "standup.mp3", tmp_path / "tuesday" / "standup.wav"]
    code, said = run("submit", "--wait", *files, "--output", tmp_path)
    assert (code, "Several recordings are named 'standup'" in said) == (2, True)
    # in a process of its own, as it configures logging
    command = [sys.executable, "-m", "meet_transcriber", "transcribe", *map(str, files)]
    done = subprocess.run(
        [*command, "-o", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Several recordings are named" in done.stderr) == (2, True)


def test_a_speaker_name_without_a_label_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(TRANSCRIPT)
    code, said = run("export", tmp_path / "a.json", "--name", "Ann")
    assert (code, "SPEAKER_00=Ann" in said) == (2, True)


def test_a_server_that_is_another_program_is_an_error() -> None:
    site = Site()
    site.answers["/transcribe/1"] = lambda request: request.send(b"<html>")
    code, said = run("status", "1", "--server", site.url(""))
    site.close()
    assert (code, "does not answer in JSON" in said) == (7, True)


def test_a_rate_limit_delays_a_command_and_does_not_end_it() -> None:
    site = Site()
    ended = {"job_id": "1", "status": "completed", "stage": "done", "progress": 100}

    def answer(request: Request) -> None:
        if len(site.seen) == 1:
            request.send(b"{}", 429, retry_after="1")
        else:
            request.send(json.dumps(ended).encode())

    site.answers["/transcribe/1"] = answer
    with Client(site.url("")) as client:
        assert client.wait("1", lambda _stage, _share: None) == ended
    site.close()


def test_a_transcript_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    site = Site()
    site.answers["/transcribe/1/download"] = lambda request: request.send(b"Hello")
    (tmp_path / "file").touch()
    code, said = run("download", "1", "--server", site.url(""), "-o", tmp_path / "file")
    site.close()
    assert (code, "cannot be written" in said) == (5, True)


def test_an_audit_log_that_cannot_be_restored_is_an_error(tmp_path: Path) -> None:
    old, new = {"DATA_DIR": str(tmp_path / "old")}, {"DATA_DIR": str(tmp_path / "new")}
    assert run("keys", "create", "laptop", **old)[0] == 0
    assert run("backup", tmp_path / "backup", **old)[0] == 0
    (tmp_path / "file").touch()
    unusable = {"AUDIT_LOG": str(tmp_path / "file" / "audit.jsonl")}
    code, said = run("restore", tmp_path / "backup", **new, **unusable)
    assert (code, "audit.jsonl cannot be copied" in said) == (5, True)
