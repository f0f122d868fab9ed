"""`meet-transcriber demo`: the bundled sample from recording to transcript."""

from importlib.resources import as_file, files

import typer

from meet_transcriber import bootstrap
from meet_transcriber.cli.console import errors_become_exit_codes, load_settings, stderr
from meet_transcriber.cli.transcribe import transcribe_file
from meet_transcriber.core.exporters import export
from meet_transcriber.core.options import Options
from meet_transcriber.core.readers import read_json
from meet_transcriber.core.scoring import (
    all_words,
    cp_word_errors,
    diarization_errors,
    streams,
    word_errors,
)

_SAMPLES = files("meet_transcriber") / "samples"


def demo() -> None:
    """Transcribe the bundled sample meeting and score it against what was really said."""
    with errors_become_exit_codes():
        settings = load_settings()
        options = Options()
        engines = bootstrap.engines(settings, options)
        with as_file(_SAMPLES / "standup.ogg") as path:
            transcript = transcribe_file(path, options, settings, engines)
        typer.echo(export(transcript, "txt").decode())
        truth = read_json((_SAMPLES / "standup.json").read_text("utf-8"))
        words = word_errors(all_words(truth), all_words(transcript))
        speakers = cp_word_errors(streams(truth), streams(transcript))
        turns = diarization_errors(truth.turns, transcript.turns, collar=0.25)
        typer.echo(
            f"{len(transcript.speakers)} speakers found without a hint. "
            f"WER {words.rate:.1%}, cpWER {speakers.rate:.1%}, "
            f"DER {turns.rate:.1%} (collar 0.25 s, overlap scored)."
        )
        stderr.print(f"Words: {transcript.engine}. Speakers: {transcript.diarizer}.")
