"""The options of a transcription as the command line takes them."""

from typing import Annotated

import typer

from meet_transcriber.core.exporters import EXPORTERS
from meet_transcriber.core.options import ChannelMode, Task

Format = Annotated[str, typer.Option("--format", "-f", help=f"One of {', '.join(EXPORTERS)}.")]
Language = Annotated[str | None, typer.Option(help="ISO 639-1 code of the speech.")]
Languages = Annotated[
    str | None, typer.Option(help="Languages that detection may choose from: en,de,nl.")
]
WhichTask = Annotated[Task, typer.Option(help="Write as spoken, or translate to English.")]
Diarization = Annotated[bool, typer.Option(help="Find out who spoke.")]
NumSpeakers = Annotated[int | None, typer.Option(help="How many people speak.")]
MinSpeakers = Annotated[int | None, typer.Option(help="Fewest people that speak.")]
MaxSpeakers = Annotated[int | None, typer.Option(help="Most people that speak.")]
Hotwords = Annotated[str | None, typer.Option(help="Names and words: Ann,Keycloak.")]
InitialPrompt = Annotated[str | None, typer.Option(help="Text that came before.")]
Channels = Annotated[ChannelMode, typer.Option(help="Whether each channel is one speaker.")]


def listed(text: str | None) -> tuple[str, ...]:
    """The items of a comma-separated list."""
    return tuple(item.strip() for item in (text or "").split(",") if item.strip())
