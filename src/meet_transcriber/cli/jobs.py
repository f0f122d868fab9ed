"""`submit`, `status`, `download`, `cancel` and `list`: commands that talk to a server."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from meet_transcriber.cli import options
from meet_transcriber.cli.client import Client
from meet_transcriber.cli.console import (
    errors_become_exit_codes,
    exit_code,
    progress_bar,
    say_error,
    say_warning,
    stderr,
)
from meet_transcriber.core.errors import InvalidOptions, ServerError, TranscriptionError
from meet_transcriber.core.formats import EXPORTERS

Server = Annotated[
    str, typer.Option(envvar="MEET_TRANSCRIBER_SERVER", help="Address of the server.")
]
Key = Annotated[
    str | None,
    typer.Option(
        envvar="MEET_TRANSCRIBER_KEY",
        help="API key; other users of this machine can see what a command line says, so better "
        "set the variable.",
    ),
]
JobId = Annotated[str, typer.Argument(help="The job's id, as submit printed it.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Folder for results; stdout if left out.")
]

HERE = "http://127.0.0.1:8000"


def submit(
    files: Annotated[list[Path], typer.Argument(help="Recordings, audio or video.")],
    server: Server = HERE,
    key: Key = None,
    wait: Annotated[bool, typer.Option(help="Wait for the transcripts and write them.")] = False,
    form: options.Format = "txt",
    output: Output = None,
    language: options.Language = None,
    languages: options.Languages = None,
    task: options.WhichTask = "transcribe",
    diarization: options.Diarization = True,
    num_speakers: options.NumSpeakers = None,
    min_speakers: options.MinSpeakers = None,
    max_speakers: options.MaxSpeakers = None,
    hotwords: options.Hotwords = None,
    initial_prompt: options.InitialPrompt = None,
    channels: options.Channels = "auto",
    speaker_timeline: options.SpeakerTimeline = None,
    webhook_url: Annotated[str | None, typer.Option(help="Who is told of the end.")] = None,
) -> None:
    """Send recordings to a server; prints a job id per line, or with --wait the transcripts."""
    asked = {
        "language": language,
        "languages": languages,
        "task": task,
        "enable_diarization": "true" if diarization else "false",
        "num_speakers": num_speakers,
        "min_speakers": min_speakers,
        "max_speakers": max_speakers,
        "hotwords": hotwords,
        "initial_prompt": initial_prompt,
        "channels": channels,
        "webhook_url": webhook_url,
    }
    fields = {name: str(value) for name, value in asked.items() if value is not None}
    codes: list[int] = []
    with _talking(server, key, form) as client:
        if text := options.timeline_text(speaker_timeline, len(files)):
            fields["speaker_timeline"] = text
        for path in files:
            try:
                _send(client, path, fields, form, output, wait=wait)
            except TranscriptionError as error:
                say_error(error, str(path))
                codes.append(exit_code(error))
    if codes:
        raise typer.Exit(max(codes))


def _send(
    client: Client,
    path: Path,
    fields: dict[str, str],
    form: str,
    output: Path | None,
    *,
    wait: bool,
) -> None:
    with progress_bar(path.name) as tell:
        job = client.submit(path, fields, tell)
        if not wait:
            typer.echo(job["job_id"])
            return
        ended = client.wait(job["job_id"], tell)
    report(ended)
    write_result(client, job["job_id"], form, output, path.stem)


def report(status: dict[str, Any]) -> None:
    """Warnings of a job that ended well; an error for any other end."""
    if status["status"] != "completed":
        failure = status.get("error") or {}
        reason = failure.get("message", "")
        raise ServerError(f"Job {status['job_id']} is {status['status']}. {reason}".strip())
    for warning in status.get("warnings", []):
        say_warning(warning["message"])


def write_result(client: Client, job_id: str, form: str, output: Path | None, stem: str) -> None:
    """A transcript to stdout, or as a file into a folder."""
    data = client.download(job_id, form)
    if output is None:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        return
    output.mkdir(parents=True, exist_ok=True)
    target = output / f"{stem}.{EXPORTERS[form].extension}"
    target.write_bytes(data)
    stderr.print(f"{target}", markup=False)


def status(job_id: JobId, server: Server = HERE, key: Key = None) -> None:
    """Print what a server says of a job, as JSON."""
    with _talking(server, key) as client:
        typer.echo(json.dumps(client.status(job_id), indent=2, ensure_ascii=False))


def download(
    job_id: JobId,
    server: Server = HERE,
    key: Key = None,
    form: options.Format = "txt",
    output: Output = None,
) -> None:
    """Write the transcript of a job that is completed."""
    with _talking(server, key, form) as client:
        write_result(client, job_id, form, output, job_id)


def cancel(job_id: JobId, server: Server = HERE, key: Key = None) -> None:
    """End a job."""
    with _talking(server, key) as client:
        typer.echo(client.cancel(job_id)["status"])


def list_jobs(
    server: Server = HERE,
    key: Key = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many.")] = 20,
    only: Annotated[str | None, typer.Option("--status", help="Only jobs in this state.")] = None,
) -> None:
    """Show a server's latest jobs."""
    with _talking(server, key) as client:
        table = Table("job", "status", "", "made", "recording")
        for job in client.jobs(limit, only):
            share, name = f"{job['progress']:.0f} %", escape(job["name"])
            table.add_row(job["job_id"], job["status"], share, _local(job["created_at"]), name)
        Console().print(table)


def _local(moment: str) -> str:
    """An ISO 8601 moment without its fractions."""
    return moment.partition(".")[0].replace("T", " ")


@contextmanager
def _talking(server: str, key: str | None, form: str = "txt") -> Iterator[Client]:
    with errors_become_exit_codes():
        if form not in EXPORTERS:
            raise InvalidOptions(f"There is no format {form!r}; use {', '.join(EXPORTERS)}.")
        with Client(server, key) as client:
            yield client
