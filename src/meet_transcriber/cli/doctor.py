"""`doctor`: check what works on this machine and, with `--full`, measure it on the sample."""

import time
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from meet_transcriber.bootstrap.doctor import examine
from meet_transcriber.cli.console import EXIT_OUT_OF_BOUNDS, configured, exit_code
from meet_transcriber.cli.demo import (
    MAX_CPWER,
    MAX_DER,
    MAX_WER,
    MIN_COVERAGE,
    sample_recording,
    sample_reference,
    score_sample,
)
from meet_transcriber.cli.transcribe import load_engines, transcribe_file
from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Transcript
from meet_transcriber.settings import Settings

Measurement = tuple[str, str, str, bool | None]
"""Name, value, bound, and whether the value is within it; None without a bound."""


def doctor(
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Fetch missing weights and compare WER, cpWER and DER on the bundled sample with "
            "the bounds that Whisper base and larger models keep.",
        ),
    ] = False,
) -> None:
    """
    Run every installed engine on a second of audio; say what is missing and how to fix it.

    Exits with 4 when a required engine is missing, with 6 when --full measures a value outside
    its bounds.
    """
    with configured(logs=full) as settings:
        within_bounds = not full or _measure(settings)
        if not _examine(settings):
            raise typer.Exit(exit_code(EngineUnavailable("")))
        if not within_bounds:
            raise typer.Exit(EXIT_OUT_OF_BOUNDS)


def _examine(settings: Settings) -> bool:
    """Print what works; returns whether everything does that the settings name."""
    table = Table("part", "", "detail")
    complete = True
    for finding in examine(settings):
        mark = "[green]works[/green]" if finding.works else "[yellow]missing[/yellow]"
        table.add_row(finding.part, mark, escape(finding.detail))
        complete = complete and (finding.works or not finding.needed)
    Console().print(table)
    return complete


def _measure(settings: Settings) -> bool:
    """Transcribe the sample and print its scores; returns whether all are within bounds."""
    engines = load_engines(settings, Options())
    started = time.perf_counter()
    with sample_recording() as path:
        transcript = transcribe_file(path, Options(), settings, engines)
    found = list(_measurements(transcript, time.perf_counter() - started))
    verdicts = {True: "[green]within[/green]", False: "[red]outside[/red]", None: ""}
    table = Table("value", "measured", "expected", "")
    for name, value, bound, passed in found:
        table.add_row(name, value, bound, verdicts[passed])
    console = Console()
    console.print(table)
    speakers = transcript.diarizer or "none"
    console.print(f"Recognizer: {transcript.engine}. Diarizer: {speakers}.", markup=False)
    return all(passed is not False for *_, passed in found)


def _measurements(transcript: Transcript, seconds: float) -> Iterator[Measurement]:
    errors, reference = score_sample(transcript), sample_reference()
    yield _at_most("WER", errors.words.rate, MAX_WER)
    if transcript.diarizer:
        yield _at_most("cpWER", errors.speakers.rate, MAX_CPWER)
        yield _at_most("DER", errors.turns.rate, MAX_DER)
        found, expected = len(transcript.speakers), len(reference.speakers)
        yield "speakers", str(found), str(expected), found == expected
    else:
        for name in ("cpWER", "DER", "speakers"):
            yield name, "not run", "", None
    coverage, minimum = transcript.coverage, f"at least {MIN_COVERAGE:.1%}"
    yield "speech with words", f"{coverage:.1%}", minimum, coverage >= MIN_COVERAGE
    language = transcript.language or "unknown"
    yield "language", language, "en", language == "en"
    yield "RTF", f"{seconds / transcript.duration:.2f}", "depends on the machine", None


def _at_most(name: str, rate: float, limit: float) -> Measurement:
    return name, f"{rate:.1%}", f"at most {limit:.1%}", rate <= limit
