"""A finished transcript in the format that was asked for."""

import json
from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from meet_transcriber.api.openai.wishes import Asked
from meet_transcriber.core.exporters import export
from meet_transcriber.core.exporters.openai_bodies import (
    diarized_body,
    diarized_text,
    plain_body,
    verbose_body,
)
from meet_transcriber.core.transcript import Transcript, TranscriptWarning

_TEXT = "text/plain; charset=utf-8"


def answer(asked: Asked, transcript: Transcript) -> Response:
    """The response with the whole transcript."""
    if asked.form in ("srt", "vtt"):
        return Response(export(transcript, asked.form), media_type=_TEXT)
    if asked.form == "text":
        return Response(encoded(_text(asked, transcript) + "\n"), media_type=_TEXT)
    body = _body(asked, transcript)
    if warnings := told(asked, transcript.warnings):
        body["warnings"] = warnings
    return Response(as_json(body), media_type="application/json")


def told(asked: Asked, warnings: Sequence[TranscriptWarning]) -> list[dict[str, str]]:
    """What fell back or is in doubt: nothing of that is ever kept from who asked."""
    return [{"code": each.code, "message": each.message} for each in (*asked.notes, *warnings)]


def as_json(body: dict[str, Any]) -> bytes:
    """Compact JSON on one line; what is no Unicode text becomes an escape."""
    return encoded(json.dumps(body, ensure_ascii=False, separators=(",", ":")))


def encoded(text: str) -> bytes:
    """UTF-8, with an escape for what is no Unicode text."""
    return text.encode("utf-8", "backslashreplace")


def _text(asked: Asked, transcript: Transcript) -> str:
    return diarized_text(transcript) if asked.options.enable_diarization else transcript.text


def _body(asked: Asked, transcript: Transcript) -> dict[str, Any]:
    if asked.form == "diarized_json":
        return diarized_body(transcript)
    if asked.form == "verbose_json":
        task, segments, words = asked.options.task, asked.segments, asked.words
        return verbose_body(transcript, task, segments=segments, words=words)
    return plain_body(transcript, asked.logprobs)
