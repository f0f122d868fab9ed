"""Finished meetings of any size, put straight into the stores: nothing has to be recognized."""

import io
import json
import math
import random
import time
import uuid
import wave
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from meet_transcriber.core.jobs import Job
from meet_transcriber.core.media import MediaInfo
from meet_transcriber.core.options import Options
from meet_transcriber.core.serialization import to_plain
from meet_transcriber.core.transcript import Segment, Transcript, Turn, Word
from meet_transcriber.service import ServiceContext

_VOCABULARY = (
    "we", "should", "move", "release", "to", "Thursday", "because", "nobody", "has", "tested",
    "printing", "on", "paper", "from", "another", "tray", "and", "pictures", "look", "wrong",
    "this", "version", "while", "Ann", "wants", "numbers", "before", "anything", "goes", "out",
    "so", "let", "us", "decide", "who", "writes", "minutes", "when", "they", "are", "sent",
)  # fmt: skip
_PEAKS_PER_SECOND = 20
_RATE_HZ = 3000  # the least that Chromium plays


def long_meeting(
    words: int, seconds: float, speakers: int, seed: int = 1, **more: Any
) -> Transcript:
    """So many words, evenly over the time, in segments of 5 to 25 words by turns."""
    chance = random.Random(seed)
    step = seconds / words
    segments: list[Segment] = []
    at = 0
    while at < words:
        speaker = f"SPEAKER_{chance.randrange(speakers):02d}"
        places = range(at, min(words, at + chance.randint(5, 25)))
        segments.append(
            Segment(tuple(_word(chance, place, step, speaker) for place in places), speaker, "en")
        )
        at = places.stop
    return transcript_of(segments, seconds, **more)


def _word(chance: random.Random, place: int, step: float, speaker: str) -> Word:
    probability = round(chance.uniform(0.3, 1.0), 2)
    text = chance.choice(_VOCABULARY)
    return Word(
        text,
        place * step,
        (place + 0.9) * step,
        probability,
        speaker,
        overlap=chance.random() < 0.01,
    )


def transcript_of(segments: Sequence[Segment], seconds: float, **more: Any) -> Transcript:
    """A transcript of these segments; more of its fields may be given."""
    turns: Sequence[Turn] = more.get("turns", ())
    heard = (segment.speaker for segment in segments if segment.speaker)
    speakers = tuple(dict.fromkeys([*heard, *(turn.speaker for turn in turns)]))
    made = Transcript(tuple(segments), "en", seconds, speakers, engine="simulated")
    return replace(made, diarizer="simulated", **more)


def spoken(*lines: tuple[str | None, str], word_seconds: float = 0.5) -> list[Segment]:
    """Segments of speakers and texts, a word every half second."""
    segments: list[Segment] = []
    start = 0.0
    for speaker, text in lines:
        words = []
        for each in text.split():
            words.append(Word(each, start, start + word_seconds, 0.9, speaker))
            start += word_seconds
        segments.append(Segment(tuple(words), speaker, "en"))
    return segments


def keep(context: ServiceContext, transcript: Transcript, sound: bool = True) -> str:
    """Put a completed job with this transcript, an outline and quiet sound into the stores."""
    job_id = uuid.uuid4().hex
    objects = {
        "peaks.dat": _outline(transcript.duration),
        "transcript.json": json.dumps(to_plain(transcript)).encode(),
    }
    if sound:
        objects["recording"] = _quiet(transcript.duration)
    keys = {logical: f"jobs/{job_id}/{logical}.1" for logical in objects}
    for logical, key in keys.items():
        context.media.put(key, objects[logical])
    now = time.time()
    job = Job(
        job_id,
        Options(),
        "planning.wav",
        now,
        "completed",
        objects=keys,
        progress=1.0,
        size_bytes=len(objects.get("recording", b"")),
        duration=transcript.duration,
        media=MediaInfo("wav", "pcm_u8", transcript.duration, _RATE_HZ, 1),
        engine=transcript.engine,
        diarizer=transcript.diarizer,
        warnings=transcript.warnings,
        speakers_found=len(transcript.speakers),
        names=transcript.names,
        started_at=now,
        finished_at=now,
    )
    context.jobs.create(job)
    if context.text is not None:
        context.text.put_text(job_id, transcript.text)
    return job_id


def _quiet(seconds: float) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 1, _RATE_HZ, 0, "NONE", ""))
        writer.writeframes(b"\x80" * round(seconds * _RATE_HZ))
    return file.getvalue()


def _outline(seconds: float) -> bytes:
    chance = random.Random(1)
    loud = [
        round(chance.uniform(20, 110) * abs(math.sin(at / 31)) ** 0.4)
        for at in range(round(seconds * _PEAKS_PER_SECOND))
    ]
    return bytes([_PEAKS_PER_SECOND]) + b"".join(bytes([-each & 0xFF, each]) for each in loud)
