"""What people see: data on stdout, everything else on stderr, and exit codes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from meet_transcriber.core.errors import (
    EngineError,
    InvalidAudio,
    InvalidOptions,
    ServerError,
    StorageError,
    TranscriptionError,
)
from meet_transcriber.settings import load_settings

__all__ = [
    "EXIT_CODES",
    "EXIT_OUTSIDE",
    "errors_become_exit_codes",
    "exit_code",
    "load_settings",
    "progress_bar",
    "say_error",
    "say_warning",
    "stderr",
]

stderr = Console(stderr=True, highlight=False)

EXIT_CODES: dict[type[TranscriptionError], int] = {
    InvalidOptions: 2,
    InvalidAudio: 3,
    EngineError: 4,
    StorageError: 5,
    ServerError: 7,
}
"""Kind of error to exit code; any other of ours exits with 1, Ctrl-C with 130."""

EXIT_OUTSIDE = 6
"""`verify` measured a figure outside its expected range."""


def exit_code(error: TranscriptionError) -> int:
    """The code of the nearest class in `EXIT_CODES`."""
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), 1)


def say_error(error: object, about: str | None = None) -> None:
    """One sentence on stderr."""
    prefix = f"{about}: " if about else ""
    stderr.print(f"[red]error:[/red] {escape(prefix + str(error))}", soft_wrap=True)


def say_warning(message: str) -> None:
    """One sentence on stderr."""
    stderr.print(f"[yellow]warning:[/yellow] {escape(message)}", soft_wrap=True)


@contextmanager
def errors_become_exit_codes() -> Iterator[None]:
    """Our errors end the command with a sentence and a code, never with a traceback."""
    try:
        yield
    except TranscriptionError as error:
        say_error(error)
        raise typer.Exit(exit_code(error)) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(130) from error


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[str, float], None]]:
    """A bar on stderr that hears a stage and the share of all work; nothing where nobody looks."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[stage]}"),
        TimeElapsedColumn(),
    )
    unseen = not stderr.is_terminal
    with Progress(*columns, console=stderr, transient=True, disable=unseen) as progress:
        task = progress.add_task(title, total=1.0, stage="")

        def tell(stage: str, share: float) -> None:
            progress.update(task, completed=share, stage=stage)

        yield tell
