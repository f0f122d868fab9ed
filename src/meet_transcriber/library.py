"""The library: transcribes a recording in this process."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meet_transcriber.bootstrap import engines
from meet_transcriber.core.options import Options
from meet_transcriber.core.speaker_timeline import read_timeline
from meet_transcriber.core.transcript import Segment, Transcript, Turn, Word
from meet_transcriber.pipeline import StageProgress, run
from meet_transcriber.settings import Settings, load_settings

__all__ = ["Options", "Segment", "Transcript", "Turn", "Word", "transcribe"]


def transcribe(
    recording: str | Path,
    *,
    settings: Settings | None = None,
    progress: StageProgress | None = None,
    speaker_timeline: str | Sequence[Mapping[str, object]] | None = None,
    **options: Any,
) -> Transcript:
    """
    Transcribe one recording in this process: who said what, when.

    Args:
        recording: an audio or video file.
        settings: engines and models; by default from the environment.
        progress: receives the stage and the overall share.
        speaker_timeline: who spoke when, as the text of a file or as entries with `name`, `start`
            and `end`; it names the speakers it matches.
        options: fields of `Options`, such as `language` or `num_speakers`.

    Raises:
        TranscriptionError: the message says what happened and what to do.
    """
    settings = settings or load_settings()
    wanted = Options(**options)
    timeline = None if speaker_timeline is None else read_timeline(speaker_timeline)
    loaded = engines.load_engines(settings, wanted)
    with tempfile.TemporaryDirectory(prefix="meet-transcriber-") as folder:
        pipeline = engines.pipeline(settings, wanted, Path(folder), "recording")
        return run(
            pipeline, Path(recording), loaded.recognizer, loaded.diarizer, progress, timeline
        )
