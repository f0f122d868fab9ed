"""`meet-transcriber voices`: people whom a server knows by their voices."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from meet_transcriber.cli.client import Client
from meet_transcriber.cli.console import errors_become_exit_codes, progress_bar, stderr
from meet_transcriber.cli.jobs import HERE, Key, Server, report
from meet_transcriber.core.errors import InvalidOptions

app = typer.Typer(no_args_is_help=True, help="People whom a server knows by their voices.")

VoiceId = Annotated[str, typer.Argument(help="The person's id, as `list` shows it.")]
Name = Annotated[str, typer.Argument(help="The person's name.")]


@app.command("list")
def list_voices(
    server: Server = HERE,
    key: Key = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON for programs.")] = False,
) -> None:
    """Show who is remembered."""
    with _asking(server, key) as client:
        people = client.voices("GET")["data"]
        if as_json:
            typer.echo(_dumped(people))
            return
        table = Table("id", "name", "samples", "seconds", "remembered", "consent")
        for each in people:
            table.add_row(*_row(each))
        Console().print(table)


def _row(person: dict[str, Any]) -> tuple[str, ...]:
    samples = person["samples"]
    seconds = sum(sample["seconds"] for sample in samples)
    note = samples[-1]["consent"]["note"] if samples else ""
    made = person["created_at"].partition("T")[0]
    name, said = escape(person["name"]), escape(note or "given")
    return person["id"], name, str(len(samples)), f"{seconds:.0f}", made, said


@app.command()
def add(
    name: Name,
    consent: Annotated[
        str, typer.Option(help="Who agreed to it, when and how; or true. Nothing goes without.")
    ],
    job: Annotated[str | None, typer.Option(help="A finished meeting, by its id.")] = None,
    speaker: Annotated[str | None, typer.Option(help="Who in it, such as SPEAKER_00.")] = None,
    clip: Annotated[
        Path | None, typer.Option(help="A recording of the person alone, in place of a meeting.")
    ] = None,
    server: Server = HERE,
    key: Key = None,
) -> None:
    """Remember a speaker of a meeting, or the person in a clip; a known name gets a sample more."""
    with _asking(server, key) as client:
        if clip is not None and job is None and speaker is None:
            _add_clip(client, clip, name, consent)
        elif clip is None and job is not None and speaker is not None:
            wish = {"job_id": job, "speaker": speaker, "name": name, "consent": consent}
            typer.echo(client.voices("POST", json=wish)["id"])
        else:
            raise InvalidOptions("Name --job and --speaker, or --clip alone.")


def _add_clip(client: Client, clip: Path, name: str, consent: str) -> None:
    job_id = client.remember_clip(clip, name, consent)
    with progress_bar(clip.name) as tell:
        ended = client.wait(job_id, tell)
    report(ended)
    for person in client.voices("GET")["data"]:
        if any(sample["job_id"] == job_id for sample in person["samples"]):
            typer.echo(person["id"])


@app.command()
def rename(voice_id: VoiceId, name: Name, server: Server = HERE, key: Key = None) -> None:
    """Rename somebody, in meetings to come."""
    with _asking(server, key) as client:
        client.voices("PATCH", f"/{voice_id}", json={"name": name})


@app.command()
def merge(
    voice_id: VoiceId,
    other: Annotated[str, typer.Argument(help="The other's id, which is deleted.")],
    server: Server = HERE,
    key: Key = None,
) -> None:
    """Merge two people: the samples of the other go to the first."""
    with _asking(server, key) as client:
        client.voices("POST", f"/{voice_id}/merge", json={"voice_id": other})


@app.command()
def delete(voice_id: VoiceId, server: Server = HERE, key: Key = None) -> None:
    """Forget somebody's voice, with the clips that were sent for it."""
    with _asking(server, key) as client:
        client.voices("DELETE", f"/{voice_id}")
        stderr.print(f"{voice_id} is forgotten.", markup=False)


@app.command()
def export(
    voice_id: VoiceId,
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="With the embeddings, which are the voice itself.")
    ] = False,
    server: Server = HERE,
    key: Key = None,
) -> None:
    """Print all that is known of somebody, as JSON."""
    with _asking(server, key) as client:
        params = {"embeddings": "true" if embeddings else "false"}
        typer.echo(_dumped(client.voices("GET", f"/{voice_id}/export", params=params)))


@contextmanager
def _asking(server: str, key: str | None) -> Iterator[Client]:
    with errors_become_exit_codes(), Client(server, key) as client:
        yield client


def _dumped(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
