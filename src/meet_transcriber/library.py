"""The library: one function from a recording to its transcript."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meet_transcriber.bootstrap import engines
from meet_transcriber.core.options import Options
from meet_transcriber.core.speaker_timeline import read_timeline
from meet_transcriber.core.transcript import Transcript
from meet_transcriber.pipeline import StageProgress, run
from meet_transcriber.settings import Settings


def transcribe(
    recording: str | Path,
    *,
    settings: Settings | None = None,
    progress: StageProgress | None = None,
    speaker_timeline: str | Sequence[Mapping[str, object]] | None = None,
    **wishes: Any,
) -> Transcript:
    """
    Transcribe one recording in this process: who said what, when.

    Args:
        recording: an audio or video file.
        settings: engines and models; the environment's where left out.
        progress: hears the stage and the share of all work.
        speaker_timeline: who was speaking when, as the text of a file or as entries with `name`,
            `start` and `end`; its names are taken over where they fit.
        wishes: fields of `Options`, such as `language` or `num_speakers`.

    Raises:
        TranscriptionError: with a sentence that says what happened and what to do.
    """
    settings = settings or Settings()
    options = Options(**wishes)
    timeline = None if speaker_timeline is None else read_timeline(speaker_timeline)
    loaded = engines.load_engines(settings, options)
    with tempfile.TemporaryDirectory(prefix="meet-transcriber-") as folder:
        pipeline = engines.pipeline(settings, options, Path(folder), "recording")
        return run(
            pipeline,
            Path(recording),
            loaded.recognizer,
            loaded.diarizer,
            progress,
            timeline,
        )
