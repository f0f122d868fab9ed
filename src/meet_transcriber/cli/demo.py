"""`meet-transcriber demo`: the bundled sample from recording to transcript."""

import typer

from meet_transcriber import bootstrap
from meet_transcriber.cli.console import errors_become_exit_codes, load_settings, stderr
from meet_transcriber.cli.sample import score_sample, transcribe_sample
from meet_transcriber.core.exporters import export
from meet_transcriber.core.options import Options


def demo() -> None:
    """Transcribe the bundled sample meeting and score it against what was really said."""
    with errors_become_exit_codes():
        settings = load_settings()
        engines = bootstrap.engines(settings, Options())
        transcript = transcribe_sample(settings, engines)
        typer.echo(export(transcript, "txt").decode())
        errors = score_sample(transcript)
        typer.echo(
            f"{len(transcript.speakers)} speakers found without a hint. "
            f"WER {errors.words.rate:.1%}, cpWER {errors.speakers.rate:.1%}, "
            f"DER {errors.turns.rate:.1%} (collar 0.25 s, overlap scored)."
        )
        stderr.print(f"Words: {transcript.engine}. Speakers: {transcript.diarizer}.")
