"""Whisper in a child process, which is replaced when its GPU fails."""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from meet_transcriber.core.errors import EngineUnavailable, InvalidOptions
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Segment, Span, TranscriptWarning
from meet_transcriber.engines.whisper.loader import ChildRecognizer, Load
from meet_transcriber.ports.engines import Finding, Progress
from tests.unit.engines.whisper.failing_recognizers import (
    OUT_OF_MEMORY,
    missing,
    script,
    slow,
    small_gpu,
)

ROOT = Path(__file__).parents[4]
SPEECH = [Span(0.9, 3.0)]


def silent(_share: float) -> None:
    """Ignores progress."""


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the child import the loaders."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def started() -> Iterator[Any]:
    """Starts recognizers and closes them."""
    running: list[ChildRecognizer] = []

    def start(loader: Load, **arguments: Any) -> ChildRecognizer:
        running.append(ChildRecognizer(partial(loader, **arguments)))
        return running[-1]

    yield start
    for each in running:
        each.close()


def heard(
    recognizer: ChildRecognizer, options: Options | None = None, progress: Progress = silent
) -> list[Finding]:
    audio = script().audio(4.0)
    wanted = options or Options(language="en")
    return list(recognizer.recognize(audio, SPEECH, wanted, progress))


def text_of(findings: list[Finding]) -> str:
    return " ".join(each.text for each in findings if isinstance(each, Segment))


def test_findings_and_progress_come_from_the_process(started: Any) -> None:
    recognizer = started(small_gpu, fits=8, how="error")
    shares: list[float] = []
    assert text_of(heard(recognizer, progress=shares.append)) == "six words that everybody may hear"
    assert shares[-1] == 1.0
    assert recognizer.name == "scripted"


@pytest.mark.parametrize(
    ("how", "reason"),
    [("error", OUT_OF_MEMORY), ("SIGKILL", "signal 9 (Killed)"), ("SIGRTMAX", "signal 64")],
)
def test_after_a_failure_a_new_process_continues_with_half_the_batch_and_a_warning(
    started: Any, how: str, reason: str
) -> None:
    recognizer = started(small_gpu, fits=2, how=how)
    findings = heard(recognizer)
    assert text_of(findings) == "six words that everybody may hear"
    notes = [each for each in findings if isinstance(each, TranscriptWarning)]
    assert [note.code for note in notes] == ["batch_reduced"] * 2
    assert "batch size of 2 instead of 4" in notes[-1].message
    assert reason in notes[0].message
    again = heard(recognizer)
    assert [each for each in again if isinstance(each, TranscriptWarning)] == []


def test_if_not_even_one_window_fits_the_error_says_what_to_do(started: Any) -> None:
    recognizer = started(small_gpu, fits=0, how="error")
    with pytest.raises(EngineUnavailable, match="WHISPER_MODEL") as raised:
        heard(recognizer)
    assert OUT_OF_MEMORY in str(raised.value)


def test_errors_while_loading_reach_the_parent(started: Any) -> None:
    with pytest.raises(EngineUnavailable, match="no weights here"):
        started(missing)


def test_a_process_that_cannot_be_started_is_an_engine_error(started: Any) -> None:
    _, hard = limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, hard))  # one socket of a pair
    try:
        with pytest.raises(EngineUnavailable, match="Too many open files"):
            started(small_gpu, fits=8, how="error")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_options_are_checked_without_the_child(started: Any) -> None:
    recognizer = started(small_gpu, fits=8, how="error")
    with pytest.raises(InvalidOptions, match="none of the languages"):
        heard(recognizer, Options(language="sw"))


class Cancelled(Exception):
    """The job was cancelled."""


def test_a_cancelled_part_ends_at_once(started: Any) -> None:
    recognizer = started(slow)

    def cancel(share: float) -> None:
        if share > 0:
            raise Cancelled

    began = time.monotonic()
    with pytest.raises(Cancelled):
        heard(recognizer, progress=cancel)
    assert time.monotonic() - began < 10
    assert _children() == []


def _children() -> list[str]:
    """Command lines of this process' children that run the engine."""
    found = []
    for task in Path(f"/proc/{os.getpid()}/task").iterdir():
        for child in (task / "children").read_text().split():
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                line = Path(f"/proc/{child}/cmdline").read_bytes().decode()
                found += [line] if "run_child" in line else []
    return found
