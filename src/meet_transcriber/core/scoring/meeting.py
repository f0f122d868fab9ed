"""One meeting against its reference: words, speakers' words and turns at once."""

from dataclasses import dataclass

from meet_transcriber.core.scoring.der import DiarizationErrors, diarization_errors
from meet_transcriber.core.scoring.wer import (
    WordErrors,
    all_words,
    cp_word_errors,
    streams,
    word_errors,
)
from meet_transcriber.core.transcript import Transcript

COLLAR = 0.25
"""Seconds each side of a reference boundary that do not count, unless something else is said."""


@dataclass(frozen=True, slots=True)
class MeetingErrors:
    """What `meet-transcriber score` shows: WER, cpWER and DER with their counts."""

    words: WordErrors
    speakers: WordErrors
    turns: DiarizationErrors


def meeting_errors(
    reference: Transcript,
    hypothesis: Transcript,
    collar: float = COLLAR,
    *,
    skip_overlap: bool = False,
) -> MeetingErrors:
    """
    Compare a transcript with what was really said.

    Args:
        collar: seconds each side of a reference boundary that do not count for turns.
        skip_overlap: leave out where several people speak, for turns.
    """
    return MeetingErrors(
        word_errors(all_words(reference), all_words(hypothesis)),
        cp_word_errors(streams(reference), streams(hypothesis)),
        diarization_errors(reference.turns, hypothesis.turns, collar, skip_overlap=skip_overlap),
    )
