"""`voices`: people whom a server recognizes by their voices."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from meet_transcriber.cli.client import Client
from meet_transcriber.cli.console import AsJson, echo_json, progress_bar, stderr
from meet_transcriber.cli.jobs import LOCAL_SERVER, Key, Server, connected, raise_unless_completed
from meet_transcriber.core.errors import InvalidOptions

app = typer.Typer(no_args_is_help=True, help="People whom a server recognizes by their voices.")

VoiceId = Annotated[str, typer.Argument(help="The person's id, as `list` shows it.")]
Name = Annotated[str, typer.Argument(help="The person's name.")]


@app.command("list")
def list_voices(server: Server = LOCAL_SERVER, key: Key = None, as_json: AsJson = False) -> None:
    """List known people."""
    with connected(server, key) as client:
        people = client.voices("GET")["data"]
        if as_json:
            echo_json(people)
            return
        table = Table("id", "name", "samples", "seconds", "created", "consent")
        for each in people:
            table.add_row(*_row(each))
        Console().print(table)


def _row(person: dict[str, Any]) -> tuple[str, ...]:
    samples = person["samples"]
    seconds = sum(sample["seconds"] for sample in samples)
    note = samples[-1]["consent"]["note"] if samples else ""
    created = person["created_at"].partition("T")[0]
    name, consent = escape(person["name"]), escape(note or "given")
    return person["id"], name, str(len(samples)), f"{seconds:.0f}", created, consent


@app.command()
def add(
    name: Name,
    consent: Annotated[str, typer.Option(help="Who consented, when and how; or true. Required.")],
    job: Annotated[str | None, typer.Option(help="Job id of a completed meeting.")] = None,
    speaker: Annotated[str | None, typer.Option(help="Speaker in it, such as SPEAKER_00.")] = None,
    clip: Annotated[
        Path | None, typer.Option(help="A recording of the person alone, instead of a meeting.")
    ] = None,
    server: Server = LOCAL_SERVER,
    key: Key = None,
) -> None:
    """Enroll a speaker of a meeting, or the person in a clip; a known name gets another sample."""
    with connected(server, key) as client:
        if clip is not None and job is None and speaker is None:
            _add_clip(client, clip, name, consent)
        elif clip is None and job is not None and speaker is not None:
            fields = {"job_id": job, "speaker": speaker, "name": name, "consent": consent}
            typer.echo(client.voices("POST", json=fields)["id"])
        else:
            raise InvalidOptions("Give --job and --speaker, or only --clip.")


def _add_clip(client: Client, clip: Path, name: str, consent: str) -> None:
    job_id = client.enroll_clip(clip, name, consent)
    with progress_bar(clip.name) as update:
        ended = client.wait(job_id, update)
    raise_unless_completed(ended)
    for person in client.voices("GET")["data"]:
        if any(sample["job_id"] == job_id for sample in person["samples"]):
            typer.echo(person["id"])


@app.command()
def rename(voice_id: VoiceId, name: Name, server: Server = LOCAL_SERVER, key: Key = None) -> None:
    """Rename a person, in future meetings."""
    with connected(server, key) as client:
        client.voices("PATCH", f"/{voice_id}", json={"name": name})


@app.command()
def merge(
    voice_id: VoiceId,
    other: Annotated[str, typer.Argument(help="The other person's id, which is deleted.")],
    server: Server = LOCAL_SERVER,
    key: Key = None,
) -> None:
    """Merge two people: the first gets the samples of the other."""
    with connected(server, key) as client:
        client.voices("POST", f"/{voice_id}/merge", json={"voice_id": other})


@app.command()
def delete(voice_id: VoiceId, server: Server = LOCAL_SERVER, key: Key = None) -> None:
    """Delete a person's voice and the clips that were sent for it."""
    with connected(server, key) as client:
        client.delete_voice(voice_id)
        stderr.print(f"{voice_id} is deleted.", markup=False)


@app.command()
def export(
    voice_id: VoiceId,
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Include embeddings, which identify the voice.")
    ] = False,
    server: Server = LOCAL_SERVER,
    key: Key = None,
) -> None:
    """Print everything stored about a person as JSON."""
    with connected(server, key) as client:
        params = {"embeddings": "true" if embeddings else "false"}
        echo_json(client.voices("GET", f"/{voice_id}/export", params=params))
