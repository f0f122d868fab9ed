"""The command line: thin commands over the service and the HTTP API."""

from typing import Annotated

import typer

from meet_transcriber import __version__
from meet_transcriber.cli import (
    demo,
    doctor,
    jobs,
    keys,
    models,
    operations,
    serve,
    transcribe,
    voices,
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Meeting transcription: who said what, when.",
)
app.command()(transcribe.transcribe)
app.command()(transcribe.score)
app.command()(transcribe.export)
app.command()(demo.demo)
app.command()(jobs.submit)
app.command()(jobs.status)
app.command()(jobs.download)
app.command()(jobs.cancel)
app.command("list")(jobs.list_jobs)
app.command()(doctor.doctor)
app.command()(serve.serve)
app.command()(serve.worker)
app.command()(operations.queue)
app.command()(operations.health)
app.command()(operations.backup)
app.command()(operations.restore)
app.add_typer(models.app, name="models")
app.add_typer(keys.app, name="keys")
app.add_typer(voices.app, name="voices")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Meeting transcription: who said what, when."""
