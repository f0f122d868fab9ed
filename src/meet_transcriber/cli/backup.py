"""`meet-transcriber backup` and `restore`: all of DATA_DIR into a folder, and back."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from meet_transcriber.bootstrap import services
from meet_transcriber.cli.console import errors_become_exit_codes, load_settings, say_error

_Folder = Annotated[Path, typer.Argument(help="The folder of the backup.")]
_AUDIT = "audit.jsonl"


def backup(folder: _Folder) -> None:
    """Copy all jobs, recordings, results and keys into an empty folder; the service may run."""
    with errors_become_exit_codes():
        settings = load_settings()
        copied = services.back_up(settings, folder)
        audit = settings.audit_log or settings.data_dir / _AUDIT
        if audit.is_file():
            shutil.copy2(audit, folder / _AUDIT)
        for key in copied.missing:
            say_error(f"{key} is named by a job and is nowhere.")
        typer.echo(f"{copied.jobs} meetings with {copied.objects} objects are in {folder}.")
        if copied.missing:
            raise typer.Exit(1)


def restore(folder: _Folder) -> None:
    """Put a backup where these settings keep jobs and recordings; nothing may run there."""
    with errors_become_exit_codes():
        settings = load_settings()
        copied = services.put_back(settings, folder)
        audit = settings.audit_log or settings.data_dir / _AUDIT
        if (folder / _AUDIT).is_file() and not audit.exists():
            shutil.copy2(folder / _AUDIT, audit)
        typer.echo(f"{copied.jobs} meetings with {copied.objects} objects were put back.")
