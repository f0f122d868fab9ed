"""`demo`: the bundled sample through the HTTP API, and then the API itself."""

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from meet_transcriber.bootstrap import observability
from meet_transcriber.cli.client import Client
from meet_transcriber.cli.console import configured, exit_on_error, progress_bar, stderr
from meet_transcriber.cli.jobs import raise_unless_completed
from meet_transcriber.cli.serve import address, for_loopback, listen, make_server
from meet_transcriber.core.formats import export
from meet_transcriber.core.formats.readers import read_json
from meet_transcriber.core.scoring import MeetingErrors, meeting_errors
from meet_transcriber.core.transcript import Transcript
from meet_transcriber.settings import Settings

MAX_WER, MAX_CPWER, MAX_DER = 0.04, 0.06, 0.01
"""
Bounds of `doctor --full` on the sample. Whisper base and the diarizer onnx with CAM++ reach a WER
of 2.7 %, a cpWER of 3.5 % and a DER of 0.2 % (tests/system/test_sample.py).
"""

MIN_COVERAGE = 0.97
"""Share of speech with words; the sample is clear speech, all of which Whisper base covers."""

_SAMPLES = files("meet_transcriber") / "samples"


def sample_recording() -> AbstractContextManager[Path]:
    """The sample as a file."""
    return as_file(_SAMPLES / "standup.ogg")


def sample_reference() -> Transcript:
    """The reference transcript of the sample."""
    return read_json((_SAMPLES / "standup.json").read_text("utf-8"))


def score_sample(transcript: Transcript) -> MeetingErrors:
    """The errors of a transcript of the sample; see `meeting_errors`."""
    return meeting_errors(sample_reference(), transcript)


def demo(
    once: Annotated[
        bool, typer.Option(envvar="ONCE", help="Exit after the transcript instead of serving.")
    ] = False,
) -> None:
    """
    Start the service, send it the bundled sample meeting, print and score the transcript.

    Then it serves until Ctrl-C, unless stdout is not a terminal. Its jobs are in a temporary
    folder, removed at exit.
    """
    with exit_on_error(), tempfile.TemporaryDirectory(prefix="meet-transcriber-") as folder:
        # the embedded worker is a process of its own and reads the environment
        os.environ["DATA_DIR"] = folder
        os.environ.setdefault("LOG_LEVEL", "WARNING")
        with configured(logs=True) as settings:
            observability.share_metrics()
            with _served(settings) as server:
                _show(_transcribed(server))
                if once or not sys.stdout.isatty():
                    return
                message = f"Serving at {server}/ until Ctrl-C; try {server}/docs"
                stderr.print(message, soft_wrap=True)
                threading.Event().wait()


@contextmanager
def _served(settings: Settings) -> Iterator[str]:
    """The API with its worker on a free loopback port, for as long as the context lasts."""
    listener = listen("127.0.0.1", 0)
    server = make_server(for_loopback(settings, listener))
    thread = threading.Thread(target=server.run, args=([listener],), name="server")
    thread.start()
    try:
        yield address(listener)
    finally:
        server.should_exit = True
        thread.join()


def _transcribed(server: str) -> Transcript:
    with sample_recording() as path, Client(server) as client, progress_bar(path.name) as update:
        job = client.submit(Path(path), {}, update)
        raise_unless_completed(client.wait(job["job_id"], update))
        return read_json(client.download(job["job_id"], "json").decode())


def _show(transcript: Transcript) -> None:
    typer.echo(export(transcript, "txt").decode())
    errors = score_sample(transcript)
    typer.echo(
        f"{len(transcript.speakers)} speakers detected. WER {errors.words.rate:.1%}, "
        f"cpWER {errors.speakers.rate:.1%}, DER {errors.turns.rate:.1%} (collar 0.25 s, overlap "
        "scored)."
    )
    stderr.print(f"Recognizer: {transcript.engine}. Diarizer: {transcript.diarizer}.")
