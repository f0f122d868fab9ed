"""`meet-transcriber score` and `meet-transcriber export`."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from meet_transcriber.cli.console import errors_become_exit_codes
from meet_transcriber.core.formats import EXPORTERS
from meet_transcriber.core.formats import export as write
from meet_transcriber.core.formats.readers import read_transcript
from meet_transcriber.core.scoring import COLLAR, meeting_errors


def score(
    reference: Annotated[Path, typer.Argument(help="What was said: .json, .stm or .rttm.")],
    hypothesis: Annotated[Path, typer.Argument(help="What was written: .json, .stm or .rttm.")],
    collar: Annotated[
        float, typer.Option(help="Seconds each side of a reference boundary that do not count.")
    ] = COLLAR,
    skip_overlap: Annotated[
        bool, typer.Option(help="Leave out where several people speak.")
    ] = False,
) -> None:
    """Score a transcript against a reference: WER, cpWER and DER, with their counts."""
    with errors_become_exit_codes():
        said, written = read_transcript(reference), read_transcript(hypothesis)
        found = meeting_errors(said, written, collar, skip_overlap=skip_overlap)
        table = Table("", "rate", "counts")
        if said.segments:
            for name, errors in (("WER", found.words), ("cpWER", found.speakers)):
                counts = (
                    f"{errors.substitutions} substituted, {errors.deletions} deleted, "
                    f"{errors.insertions} inserted of {errors.total} words"
                )
                table.add_row(name, f"{errors.rate:.1%}", counts)
        if said.turns:
            der = found.turns
            counts = (
                f"{der.missed:.1f} missed, {der.false_alarm:.1f} false alarm, "
                f"{der.confusion:.1f} confused of {der.total:.1f} seconds"
            )
            table.add_row("DER", f"{der.rate:.1%}", counts)
        Console().print(table)


def export(
    transcript: Annotated[Path, typer.Argument(help="A transcript in our JSON.")],
    form: Annotated[
        str, typer.Option("--format", "-f", help=f"One of {', '.join(EXPORTERS)}.")
    ] = "txt",
    name: Annotated[
        list[str] | None, typer.Option(help="A person's name: SPEAKER_00=Ann; repeatable.")
    ] = None,
) -> None:
    """Write a transcript in another format to stdout, with people's names."""
    with errors_become_exit_codes():
        found = read_transcript(transcript)
        names = dict(item.split("=", 1) for item in name or () if "=" in item)
        sys.stdout.buffer.write(write(replace(found, names={**found.names, **names}), form))
        sys.stdout.flush()
