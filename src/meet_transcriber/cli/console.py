"""What commands share: options, output on stdout and stderr, exit codes."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from meet_transcriber.bootstrap import observability
from meet_transcriber.core.errors import (
    EngineError,
    InvalidAudio,
    InvalidOptions,
    ServerError,
    StorageError,
    TranscriptionError,
)
from meet_transcriber.core.formats import EXPORTERS
from meet_transcriber.core.options import ChannelMode, Task
from meet_transcriber.core.speaker_timeline import Timeline, decode_text, parse_timeline
from meet_transcriber.settings import Settings, load_settings

stderr = Console(stderr=True, highlight=False)

EXIT_CODES: dict[type[TranscriptionError], int] = {
    InvalidOptions: 2,
    InvalidAudio: 3,
    EngineError: 4,
    StorageError: 5,
    ServerError: 7,
}
"""Error class to exit code; other errors of this package exit with 1, Ctrl-C with 130."""

EXIT_OUT_OF_BOUNDS = 6
"""`doctor --full` measured a value outside its bounds."""

# -- options -----------------------------------------------------------------------------------

Format = Annotated[str, typer.Option("--format", "-f", help=f"One of {', '.join(EXPORTERS)}.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Folder for results, one file per recording; else stdout."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON for programs.")]
Language = Annotated[str | None, typer.Option(help="ISO 639-1 code of the speech.")]
Languages = Annotated[
    str | None, typer.Option(help="Languages that detection may choose from: en,de,nl.")
]
TaskOption = Annotated[Task, typer.Option(help="Write as spoken, or translate to English.")]
Diarization = Annotated[bool, typer.Option(help="Detect who speaks when.")]
NumSpeakers = Annotated[int | None, typer.Option(help="Number of speakers.")]
MinSpeakers = Annotated[int | None, typer.Option(help="Minimum number of speakers.")]
MaxSpeakers = Annotated[int | None, typer.Option(help="Maximum number of speakers.")]
Hotwords = Annotated[str | None, typer.Option(help="Names and words: Ann,Keycloak.")]
InitialPrompt = Annotated[str | None, typer.Option(help="Text that precedes the recording.")]
SpeakerTimeline = Annotated[
    Path | None, typer.Option(help="Who was speaking when: JSON, RTTM, WebVTT with names, or CSV.")
]
Channels = Annotated[ChannelMode, typer.Option(help="Whether each channel is one speaker.")]


def check_format(form: str) -> None:
    """Raise InvalidOptions unless there is an exporter of this name."""
    if form not in EXPORTERS:
        raise InvalidOptions(f"There is no format {form!r}; use {', '.join(EXPORTERS)}.")


def check_stems(files: Iterable[str | Path], folder: Path | None) -> None:
    """Raise InvalidOptions where two recordings would have the same file in `folder`."""
    stems = [Path(file).stem for file in files]
    if folder is not None and (twice := [stem for stem in stems if stems.count(stem) > 1]):
        raise InvalidOptions(
            f"Several recordings are named {twice[0]!r}, so one transcript would overwrite "
            "another in --output; rename them, or name one at a time."
        )


def read_timeline(path: Path | None, recordings: int) -> tuple[str, Timeline] | None:
    """Read a speaker timeline, and its text; raises InvalidOptions, also for several recordings."""
    if path is None:
        return None
    if recordings > 1:
        raise InvalidOptions("--speaker-timeline belongs to one recording; name one at a time.")
    try:
        text = decode_text(path.read_bytes())
    except OSError as error:
        reason = error.strerror or error
        raise InvalidOptions(f"--speaker-timeline {path} cannot be read: {reason}.") from error
    return text, parse_timeline(text)


# -- output ------------------------------------------------------------------------------------


def write_output(data: bytes, form: str, folder: Path | None, stem: str) -> None:
    """Write a transcript to stdout, or to a file in a folder."""
    if folder is None:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        return
    target = folder / f"{stem}.{EXPORTERS[form].extension}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    except OSError as error:
        raise StorageError(f"{target} cannot be written: {error.strerror or error}.") from error
    stderr.print(f"{target}", markup=False)


def echo_json(value: object) -> None:
    """Write a value to stdout as JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_error(error: object, subject: str | None = None) -> None:
    """Print an error on stderr."""
    prefix = f"{subject}: " if subject else ""
    stderr.print(f"[red]error:[/red] {escape(prefix + str(error))}", soft_wrap=True)


def print_warning(message: str) -> None:
    """Print a warning on stderr."""
    stderr.print(f"[yellow]warning:[/yellow] {escape(message)}", soft_wrap=True)


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[str, float], None]]:
    """A bar on stderr, updated with a stage and the completed share; hidden without a terminal."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[stage]}"),
        TimeElapsedColumn(),
    )
    hidden = not stderr.is_terminal
    with Progress(*columns, console=stderr, transient=True, disable=hidden) as progress:
        task = progress.add_task(title, total=1.0, stage="")

        def update(stage: str, share: float) -> None:
            progress.update(task, completed=share, stage=stage)

        yield update


# -- errors ------------------------------------------------------------------------------------


def exit_code(error: TranscriptionError) -> int:
    """The code of the nearest class in `EXIT_CODES`."""
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), 1)


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Turn an error into a message and an exit code, without a traceback."""
    try:
        yield
    except TranscriptionError as error:
        print_error(error)
        raise typer.Exit(exit_code(error)) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(130) from error


@contextmanager
def configured(*, logs: bool = False) -> Iterator[Settings]:
    """The settings of a command, with logging where asked; errors become exit codes."""
    with exit_on_error():
        settings = load_settings()
        if logs:
            observability.set_up_logging(settings)
        yield settings
