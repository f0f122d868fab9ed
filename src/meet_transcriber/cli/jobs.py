"""`submit`, `status`, `download`, `cancel` and `list`: commands that talk to a server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from meet_transcriber.cli import console
from meet_transcriber.cli.client import Client
from meet_transcriber.cli.console import (
    check_format,
    check_stems,
    echo_json,
    exit_code,
    exit_on_error,
    print_error,
    print_warning,
    progress_bar,
    read_timeline,
    write_output,
)
from meet_transcriber.core.errors import ServerError, TranscriptionError

Server = Annotated[
    str, typer.Option(envvar="MEET_TRANSCRIBER_SERVER", help="Address of the server.")
]
Key = Annotated[
    str | None,
    typer.Option(
        envvar="MEET_TRANSCRIBER_KEY",
        help="API key; prefer the variable, as other users of this machine can see command lines.",
    ),
]
JobId = Annotated[str, typer.Argument(help="The job's id, as submit printed it.")]
LOCAL_SERVER = "http://127.0.0.1:8000"


def submit(
    files: Annotated[list[Path], typer.Argument(help="Recordings, audio or video.")],
    server: Server = LOCAL_SERVER,
    key: Key = None,
    wait: Annotated[bool, typer.Option(help="Wait for the transcripts and write them.")] = False,
    form: console.Format = "txt",
    output: console.Output = None,
    language: console.Language = None,
    languages: console.Languages = None,
    task: console.TaskOption = "transcribe",
    diarization: console.Diarization = True,
    num_speakers: console.NumSpeakers = None,
    min_speakers: console.MinSpeakers = None,
    max_speakers: console.MaxSpeakers = None,
    hotwords: console.Hotwords = None,
    initial_prompt: console.InitialPrompt = None,
    channels: console.Channels = "auto",
    speaker_timeline: console.SpeakerTimeline = None,
    webhook_url: Annotated[str | None, typer.Option(help="Address to notify of the end.")] = None,
) -> None:
    """Send recordings to a server; print a job id per line, or with --wait the transcripts."""
    options = {
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
    fields = {name: str(value) for name, value in options.items() if value is not None}
    codes: list[int] = []
    with connected(server, key, form) as client:
        check_stems(files, output if wait else None)
        if timeline := read_timeline(speaker_timeline, len(files)):
            fields["speaker_timeline"] = timeline[0]
        for path in files:
            try:
                _send(client, path, fields, form, output, wait=wait)
            except TranscriptionError as error:
                print_error(error, str(path))
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
    with progress_bar(path.name) as update:
        job = client.submit(path, fields, update)
        if not wait:
            typer.echo(job["job_id"])
            return
        ended = client.wait(job["job_id"], update)
    raise_unless_completed(ended)
    write_output(client.download(job["job_id"], form), form, output, path.stem)


def raise_unless_completed(status: dict[str, Any]) -> None:
    """Raise ServerError unless the job completed; print its warnings."""
    if status["status"] != "completed":
        reason = (status.get("error") or {}).get("message", "")
        raise ServerError(f"Job {status['job_id']} is {status['status']}. {reason}".strip())
    for warning in status.get("warnings", []):
        print_warning(warning["message"])


def status(job_id: JobId, server: Server = LOCAL_SERVER, key: Key = None) -> None:
    """Print the status of a job as JSON."""
    with connected(server, key) as client:
        echo_json(client.status(job_id))


def download(
    job_id: JobId,
    server: Server = LOCAL_SERVER,
    key: Key = None,
    form: console.Format = "txt",
    output: console.Output = None,
) -> None:
    """Write the transcript of a completed job."""
    with connected(server, key, form) as client:
        write_output(client.download(job_id, form), form, output, job_id)


def cancel(job_id: JobId, server: Server = LOCAL_SERVER, key: Key = None) -> None:
    """Cancel a job."""
    with connected(server, key) as client:
        typer.echo(client.cancel(job_id)["status"])


def list_jobs(
    server: Server = LOCAL_SERVER,
    key: Key = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Maximum number of jobs.")] = 20,
    only: Annotated[str | None, typer.Option("--status", help="Only jobs in this state.")] = None,
) -> None:
    """List the latest jobs of a server."""
    with connected(server, key) as client:
        table = Table("job", "status", "", "created", "recording")
        for job in client.jobs(limit, only):
            share, created = f"{job['progress']:.0f} %", job["created_at"].partition(".")[0]
            row = job["job_id"], job["status"], share, created.replace("T", " "), job["name"]
            table.add_row(*map(escape, row))
        Console().print(table)


@contextmanager
def connected(server: str, key: str | None, form: str = "txt") -> Iterator[Client]:
    """A client of a server; errors become exit codes."""
    with exit_on_error():
        check_format(form)
        with Client(server, key) as client:
            yield client
