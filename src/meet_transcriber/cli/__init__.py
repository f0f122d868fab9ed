"""The command line: thin commands over the same parts as everything else."""

from typing import Annotated

import typer

from meet_transcriber import __version__
from meet_transcriber.cli import (
    backup,
    demo,
    doctor,
    jobs,
    keys,
    models,
    plan,
    queue,
    results,
    serve,
    transcribe,
    verify,
    voices,
    worker,
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Meeting transcription: who said what, when.",
)
app.command()(transcribe.transcribe)
app.command()(results.score)
app.command()(results.export)
app.command()(demo.demo)
app.command()(jobs.submit)
app.command()(jobs.status)
app.command()(jobs.download)
app.command()(jobs.cancel)
app.command("list")(jobs.list_jobs)
app.command()(doctor.doctor)
app.command()(verify.verify)
app.command()(plan.plan)
app.command()(serve.serve)
app.command()(worker.worker)
app.command()(queue.queue)
app.command()(queue.health)
app.command()(backup.backup)
app.command()(backup.restore)
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
