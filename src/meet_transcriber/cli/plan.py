"""`meet-transcriber plan`: how many workers, how much memory and disk a load takes."""

import time
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from meet_transcriber.bootstrap import observability
from meet_transcriber.cli.console import errors_become_exit_codes, load_settings
from meet_transcriber.cli.demo import transcribe_sample
from meet_transcriber.cli.transcribe import load_engines
from meet_transcriber.core.capacity import API_GB, BUSY, PROXY_GB, REDIS_GB, WORKER_GB, Load
from meet_transcriber.core.options import Options

_MOST = 1e6


def plan(
    recordings: Annotated[float, typer.Option(min=1, max=_MOST, help="Recordings a day.")],
    minutes: Annotated[
        float, typer.Option(min=0.1, max=_MOST, help="Length of an average recording.")
    ] = 60.0,
    rtf: Annotated[
        float | None,
        typer.Option(
            min=0.0001,
            max=_MOST,
            help="Seconds of work for each second of a recording; measured here by default.",
        ),
    ] = None,
    hours: Annotated[
        float, typer.Option(min=0.1, max=24, help="Hours of the day for the work.")
    ] = 24.0,
    kept_days: Annotated[
        float, typer.Option(min=0, max=_MOST, help="Days that recordings and results stay.")
    ] = 30.0,
    kbps: Annotated[
        float, typer.Option(min=1, max=_MOST, help="Kilobits a second of an average recording.")
    ] = 128.0,
) -> None:
    """
    Work out the workers, the memory and the disk that a load takes.

    Without --rtf the configured engines transcribe the bundled sample on this machine, to see
    how fast they are.
    """
    with errors_become_exit_codes():
        known = f"RTF {rtf:g} as given." if rtf is not None else ""
        if rtf is None:
            rtf, known = _measured()
        _show(Load(recordings, minutes, rtf, hours, kept_days, kbps))
        Console().print(known, markup=False)


def _measured() -> tuple[float, str]:
    """The real-time factor of this machine, and what it was measured with."""
    settings = load_settings()
    observability.set_up_logging(settings)
    engines = load_engines(settings, Options())
    started = time.perf_counter()
    transcript = transcribe_sample(settings, engines)
    rtf = (time.perf_counter() - started) / transcript.duration
    speakers = transcript.diarizer or "not looked for"
    return rtf, f"RTF {rtf:.3f} on this machine. Words: {transcript.engine}. Speakers: {speakers}."


def _show(load: Load) -> None:
    table = Table("what", "how much", "how")
    table.add_row(
        "work",
        f"{load.work_hours:.1f} h a day",
        f"{load.recordings:g} x {load.minutes:g} min x RTF {load.rtf:.3g}",
    )
    table.add_row(
        "workers", str(load.workers), f"{load.work_hours:.1f} h / ({load.hours:g} h x {BUSY:g})"
    )
    rest = API_GB + REDIS_GB + PROXY_GB
    table.add_row(
        "memory", f"{load.memory_gb:.2f} GB", f"{rest:g} GB + {load.workers} x {WORKER_GB:g} GB"
    )
    table.add_row("disk", f"{load.disk_gb:.1f} GB", f"{load.kept_days:g} days; weights on top")
    Console().print(table)
