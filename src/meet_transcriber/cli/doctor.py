"""`meet-transcriber doctor`: what works here, what is missing, and what mends it."""

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from meet_transcriber.bootstrap.doctor import examine
from meet_transcriber.cli.console import errors_become_exit_codes, load_settings


def doctor() -> None:
    """Try every installed engine on a second of audio; say what is missing and what mends it."""
    with errors_become_exit_codes():
        settings = load_settings()
        table = Table("part", "", "detail")
        broken = False
        for finding in examine(settings):
            mark = "[green]works[/green]" if finding.works else "[yellow]missing[/yellow]"
            table.add_row(finding.part, mark, escape(finding.detail))
            broken = broken or (finding.needed and not finding.works)
        Console().print(table)
        if broken:
            raise typer.Exit(4)
