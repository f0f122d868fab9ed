"""`meet-transcriber demo`: the bundled sample through the HTTP API, and then the API itself."""

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from meet_transcriber import bootstrap
from meet_transcriber.bootstrap import watching
from meet_transcriber.cli.console import (
    errors_become_exit_codes,
    load_settings,
    progress_bar,
    stderr,
)
from meet_transcriber.cli.http import Client
from meet_transcriber.cli.jobs import report
from meet_transcriber.cli.sample import sample_recording, score_sample
from meet_transcriber.cli.serve import address, for_this_machine, listen, make_server
from meet_transcriber.core.exporters import export
from meet_transcriber.core.readers import read_json
from meet_transcriber.core.transcript import Transcript
from meet_transcriber.settings import Settings


def demo(
    once: Annotated[
        bool, typer.Option(envvar="ONCE", help="End after the transcript instead of serving on.")
    ] = False,
) -> None:
    """
    Start the service, send it the bundled sample meeting, print and score the transcript.

    Then it serves until Ctrl-C, unless there is no terminal. Its jobs are kept in a folder that
    goes with it.
    """
    with (
        errors_become_exit_codes(),
        tempfile.TemporaryDirectory(prefix="meet-transcriber-") as name,
    ):
        # the embedded worker is a process of its own and reads the environment
        os.environ["DATA_DIR"] = name
        os.environ.setdefault("LOG_LEVEL", "WARNING")
        settings = load_settings()
        bootstrap.set_up_logging(settings)
        watching.share_figures()
        with _served(settings) as server:
            _show(_transcribed(server))
            if once or not sys.stdout.isatty():
                return
            stderr.print(f"Serving at {server}/ until Ctrl-C; try {server}/docs", soft_wrap=True)
            threading.Event().wait()


@contextmanager
def _served(settings: Settings) -> Iterator[str]:
    """The API with its worker on a free port of this machine, as long as the context lasts."""
    listener = listen("127.0.0.1", 0)
    server = make_server(for_this_machine(settings, listener))
    thread = threading.Thread(target=server.run, args=([listener],), name="server")
    thread.start()
    try:
        yield address(listener)
    finally:
        server.should_exit = True
        thread.join()


def _transcribed(server: str) -> Transcript:
    with sample_recording() as path, Client(server) as client, progress_bar(path.name) as tell:
        job = client.submit(Path(path), {}, tell)
        ended = client.wait(job["job_id"], tell)
        report(ended)
        return read_json(client.download(job["job_id"], "json").decode())


def _show(transcript: Transcript) -> None:
    typer.echo(export(transcript, "txt").decode())
    errors = score_sample(transcript)
    typer.echo(
        f"{len(transcript.speakers)} speakers found without a hint. "
        f"WER {errors.words.rate:.1%}, cpWER {errors.speakers.rate:.1%}, "
        f"DER {errors.turns.rate:.1%} (collar 0.25 s, overlap scored)."
    )
    stderr.print(f"Words: {transcript.engine}. Speakers: {transcript.diarizer}.")
