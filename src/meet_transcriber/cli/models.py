"""`meet-transcriber models list|pull|check|path`: weights on this machine."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from meet_transcriber import bootstrap
from meet_transcriber.cli.console import errors_become_exit_codes, load_settings, progress_bar
from meet_transcriber.core.errors import EngineUnavailable

app = typer.Typer(no_args_is_help=True, help="Weights: see, fetch and check them.")

_MEBIBYTE = 1 << 20
_Model = Annotated[
    str | None, typer.Argument(help="A size, a folder or a hub id; WHISPER_MODEL if left out.")
]


@app.command("list")
def list_models() -> None:
    """Show the Whisper models that are complete on this machine, and how to fetch others."""
    with errors_become_exit_codes():
        found = bootstrap.local_whisper_models()
        table = Table("model", "size", "folder")
        for model in found:
            table.add_row(model.name, f"{model.size_bytes / _MEBIBYTE:.0f} MiB", str(model.folder))
        Console().print(table if found else "No Whisper model is on this machine yet.")
        typer.echo(f"Fetch one with: meet-transcriber models pull {load_settings().whisper_model}")


@app.command()
def pull(model: _Model = None) -> None:
    """Fetch a model into the cache; HF_ENDPOINT names a mirror, HF_HUB_OFFLINE forbids it."""
    with errors_become_exit_codes():
        settings = load_settings()
        name = model or settings.whisper_model
        with progress_bar(name) as tell:
            folder = bootstrap.fetch_model(
                settings, name, lambda done, total: tell("", done / max(total, 1))
            )
        typer.echo(folder)


@app.command()
def check(model: _Model = None) -> None:
    """Load a Whisper model and let it hear a second of audio."""
    with errors_become_exit_codes():
        settings = load_settings()
        name = model or settings.whisper_model
        typer.echo(bootstrap.try_whisper(settings, name))


@app.command()
def path(model: _Model = None) -> None:
    """Print the folder of a model that is on this machine."""
    with errors_become_exit_codes():
        name = model or load_settings().whisper_model
        folder = bootstrap.whisper_folder(name)
        if folder is None:
            raise EngineUnavailable(
                f"{name} is not on this machine; run: meet-transcriber models pull {name}"
            )
        typer.echo(folder)
