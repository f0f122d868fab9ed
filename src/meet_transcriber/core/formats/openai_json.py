"""
OpenAI's JSON formats of a transcript.

The fields are those of openai-openapi, `CreateTranscriptionResponse*`; segments and words of
`verbose_json` have a `speaker` in addition.
"""

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from meet_transcriber.core.languages import language_name
from meet_transcriber.core.transcript import Segment, Transcript, Word

Body = dict[str, Any]

_LOWEST_LOGPROB = -9999.0  # stands for minus infinity, as in OpenAI's responses


def export_verbose_json(transcript: Transcript, word_times: bool = True) -> str:
    """OpenAI's `verbose_json` with segments and words, each with its `speaker`."""
    return _dumped(verbose_body(transcript, words=word_times))


def export_diarized_json(transcript: Transcript) -> str:
    """OpenAI's `diarized_json`; people without a name are A, B, ..., unknown speakers null."""
    return _dumped(diarized_body(transcript))


# -- bodies ------------------------------------------------------------------------------------


def plain_body(transcript: Transcript, logprobs: bool = False) -> Body:
    """OpenAI's `json`: the text, its languages, and log probabilities if requested."""
    body: Body = {
        "text": transcript.text,
        "languages": languages_in(transcript.segments),
        "usage": usage(transcript),
    }
    if logprobs:
        body["logprobs"] = word_logprobs(transcript.words)
    return body


def verbose_body(
    transcript: Transcript, task: str = "transcribe", *, segments: bool = True, words: bool = True
) -> Body:
    """
    OpenAI's `verbose_json`.

    Args:
        task: `translate` for a translated transcript, whose language is English.
        segments, words: whether to include them.
    """
    body: Body = {
        "task": task,
        "language": language_name("en" if task == "translate" else transcript.language),
        "duration": round(transcript.duration, 3),
        "text": transcript.text,
        "usage": usage(transcript),
    }
    if segments:
        body["segments"] = [
            _verbose_segment(number, segment, transcript)
            for number, segment in enumerate(transcript.segments)
        ]
    if words:
        body["words"] = [_verbose_word(word, transcript) for word in transcript.words]
    return body


def diarized_body(transcript: Transcript) -> Body:
    """OpenAI's `diarized_json`."""
    return {
        "task": "transcribe",
        "duration": round(transcript.duration, 3),
        "text": diarized_text(transcript),
        "segments": list(diarized_segments(transcript)),
        "usage": usage(transcript),
    }


# -- their parts -------------------------------------------------------------------------------


def diarized_segments(transcript: Transcript) -> Iterator[Body]:
    """Segments of `diarized_json`, which its stream sends one by one."""
    people = _people(transcript)
    for number, segment in enumerate(transcript.segments, 1):
        yield {
            "type": "transcript.text.segment",
            "id": f"seg_{number:03d}",
            "start": round(segment.start, 3),
            "end": round(segment.end, 3),
            "text": segment.text,
            "speaker": people[segment.speaker] if segment.speaker else None,
        }


def diarized_text(transcript: Transcript) -> str:
    """A line per segment, `Name: text`; without the name if the speaker is unknown."""
    return "\n".join(
        f"{each['speaker']}: {each['text']}" if each["speaker"] else each["text"]
        for each in diarized_segments(transcript)
    )


def word_logprobs(words: Sequence[Word]) -> list[Body]:
    """A token per word: its text, its UTF-8 bytes, and ln(probability), null where unknown."""
    return [
        {
            "token": word.text,
            "logprob": None if word.probability is None else _logarithm(word.probability),
            "bytes": list(word.text.encode("utf-8", "replace")),
        }
        for word in words
    ]


def languages_in(segments: Sequence[Segment]) -> list[Body]:
    """Codes of the languages of segments, in order of first occurrence."""
    heard = (segment.language for segment in segments if segment.language)
    return [{"code": code} for code in dict.fromkeys(heard)]


def usage(transcript: Transcript) -> Body:
    """The processed audio, in seconds."""
    return {"type": "duration", "seconds": round(transcript.duration)}


def _verbose_word(word: Word, transcript: Transcript) -> Body:
    return {
        "word": word.text.strip(),
        "start": round(word.start, 3),
        "end": round(word.end, 3),
        "speaker": transcript.name_of(word.speaker),
    }


def _verbose_segment(number: int, segment: Segment, transcript: Transcript) -> Body:
    # the decoder's own values are lost when words are put into other segments
    return {
        "id": number,
        "seek": 0,
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "text": segment.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": _mean_logprob(segment),
        "compression_ratio": 1.0,
        "no_speech_prob": 0.0,
        "speaker": transcript.name_of(segment.speaker),
    }


def _mean_logprob(segment: Segment) -> float:
    """Mean of ln(probability) over the words that have one; 0 if none has."""
    known = [word.probability for word in segment.words if word.probability is not None]
    return round(sum(map(_logarithm, known)) / len(known), 4) if known else 0.0


def _logarithm(probability: float) -> float:
    return round(math.log(probability), 6) if probability > 0 else _LOWEST_LOGPROB


def _people(transcript: Transcript) -> dict[str, str]:
    """Label to name, or to a letter in order of first speech."""
    heard = (segment.speaker for segment in transcript.segments if segment.speaker)
    labels = dict.fromkeys([*transcript.speakers, *heard])
    return {
        label: transcript.names.get(label, "").strip() or _letters(place)
        for place, label in enumerate(labels)
    }


def _letters(place: int) -> str:
    """A, B, ... Z, AA, AB, ..."""
    first, last = divmod(place, 26)
    return (_letters(first - 1) if first else "") + chr(ord("A") + last)


def _dumped(body: Body) -> str:
    return json.dumps(body, ensure_ascii=False) + "\n"
