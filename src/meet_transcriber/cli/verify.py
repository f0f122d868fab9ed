"""`meet-transcriber verify`: the real engines on the bundled sample, against expected figures."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from meet_transcriber.bootstrap import observability
from meet_transcriber.cli.console import EXIT_OUTSIDE, errors_become_exit_codes, load_settings
from meet_transcriber.cli.demo import (
    LEAST_COVERAGE,
    MOST_CPWER,
    MOST_DER,
    MOST_WER,
    sample_reference,
    score_sample,
    transcribe_sample,
)
from meet_transcriber.cli.transcribe import load_engines
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure beside what is expected; `within` is None where nothing is."""

    name: str
    measured: str
    expected: str
    within: bool | None


def verify() -> None:
    """
    Run the real engines on the bundled sample and hold the figures against what is expected.

    Fetches the weights that the settings name: WHISPER_MODEL, and those of the diarizer. The
    bounds are those that a Whisper of size base or larger keeps. Exits with 6 when a figure lies
    outside, with 4 when weights cannot be had.
    """
    with errors_become_exit_codes():
        settings = load_settings()
        observability.set_up_logging(settings)
        engines = load_engines(settings, Options())
        started = time.perf_counter()
        transcript = transcribe_sample(settings, engines)
        figures = list(_figures(transcript, time.perf_counter() - started))
        _show(figures, transcript)
        if any(figure.within is False for figure in figures):
            raise typer.Exit(EXIT_OUTSIDE)


def _figures(transcript: Transcript, seconds: float) -> Iterator[Figure]:
    errors, reference = score_sample(transcript), sample_reference()
    yield _at_most("WER", errors.words.rate, MOST_WER)
    if transcript.diarizer:
        yield _at_most("cpWER", errors.speakers.rate, MOST_CPWER)
        yield _at_most("DER", errors.turns.rate, MOST_DER)
        found, said = len(transcript.speakers), len(reference.speakers)
        yield Figure("speakers found", str(found), str(said), found == said)
    else:
        for name in ("cpWER", "DER", "speakers found"):
            yield Figure(name, "not run", "", None)
    coverage = transcript.coverage
    expected = f"at least {LEAST_COVERAGE:.1%}"
    yield Figure("speech with words", f"{coverage:.1%}", expected, coverage >= LEAST_COVERAGE)
    language = transcript.language or "unknown"
    yield Figure("language", language, "en", language == "en")
    yield Figure("RTF", f"{seconds / transcript.duration:.2f}", "depends on the machine", None)


def _at_most(name: str, rate: float, most: float) -> Figure:
    return Figure(name, f"{rate:.1%}", f"at most {most:.1%}", rate <= most)


def _show(figures: list[Figure], transcript: Transcript) -> None:
    verdicts = {True: "[green]within[/green]", False: "[red]outside[/red]", None: ""}
    table = Table("figure", "measured", "expected", "")
    for figure in figures:
        table.add_row(figure.name, figure.measured, figure.expected, verdicts[figure.within])
    console = Console()
    console.print(table)
    speakers = transcript.diarizer or "not looked for"
    console.print(f"Words: {transcript.engine}. Speakers: {speakers}.", markup=False)
    for warning in transcript.warnings:
        console.print(f"[yellow]note:[/yellow] {escape(warning.message)}", soft_wrap=True)
