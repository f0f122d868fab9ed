"""The options of a transcription as the command line takes them."""

from pathlib import Path
from typing import Annotated

import typer

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.formats import EXPORTERS
from meet_transcriber.core.options import ChannelMode, Task
from meet_transcriber.core.speaker_timeline import Timeline, decoded, parse

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
SpeakerTimeline = Annotated[
    Path | None,
    typer.Option(help="Who was speaking when: JSON, RTTM, WebVTT with names, or CSV."),
]
Channels = Annotated[ChannelMode, typer.Option(help="Whether each channel is one speaker.")]


def timeline_text(path: Path | None, recordings: int) -> str | None:
    """
    The text of a speaker timeline, seen to be one before anything long begins.

    Raises:
        InvalidOptions: it cannot be read, is none, or there are several recordings.
    """
    if path is None:
        return None
    if recordings > 1:
        raise InvalidOptions("--speaker-timeline belongs to one recording; name one at a time.")
    try:
        text = decoded(path.read_bytes())
    except OSError as error:
        reason = error.strerror or error
        raise InvalidOptions(f"--speaker-timeline {path} cannot be read: {reason}.") from error
    parse(text)
    return text


def timeline(path: Path | None, recordings: int) -> Timeline | None:
    """The speaker timeline itself; raises as `timeline_text` does."""
    text = timeline_text(path, recordings)
    return None if text is None else parse(text)


def listed(text: str | None) -> tuple[str, ...]:
    """The items of a comma-separated list."""
    return tuple(item.strip() for item in (text or "").split(",") if item.strip())
