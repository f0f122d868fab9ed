"""People whom a request says beforehand, each by a few seconds of their voice in a data URL."""

import base64
import binascii
import io
import json
import re

from meet_transcriber.api.openai.envelope import ApiError, refused
from meet_transcriber.api.openai.fields import MOST_KNOWN, Form
from meet_transcriber.core.edits import LONGEST_NAME
from meet_transcriber.core.errors import InvalidAudio
from meet_transcriber.core.voices import (
    KNOWN_SPEAKERS,
    LONGEST_REFERENCE_SECONDS,
    SHORTEST_REFERENCE_SECONDS,
    Reference,
    References,
)
from meet_transcriber.core.wire import to_plain
from meet_transcriber.ports.engines import AudioProber

NAMES, REFERENCES = "known_speaker_names", "known_speaker_references"

_ROUNDING_SECONDS = 0.1  # codecs pad, and a cut is never exact
_REFERENCE_BYTES = 11 * 48_000 * 2 * 2 * 4 // 3
"""Of a data URL: eleven seconds of WAV at 48 kHz, in stereo, 16 bit, in base64."""

REFERENCES_BYTES = (MOST_KNOWN + 1) * _REFERENCE_BYTES
"""So many are read that one too many is refused for what it is."""

_DATA_URL = re.compile(r"data:[\w.+-]+/[\w.+-]+(?:;[\w.+-]+=[^;,]*)*;base64,", re.IGNORECASE)


def known_speakers(form: Form, diarization: bool) -> tuple[Reference, ...]:
    """
    The people of a form, their references not yet looked at.

    Raises:
        ApiError: 400 with the field that cannot be taken.
    """
    names, references = form.every(NAMES), form.every(REFERENCES)
    if not names and not references:
        return ()
    if not diarization:
        name = NAMES if names else REFERENCES
        raise refused(name, f"{name} needs diarized_json or diarization=true.")
    if len(names) != len(references):
        name = NAMES if len(names) < len(references) else REFERENCES
        message = f"There are {len(names)} names and {len(references)} references; send as many."
        raise refused(name, message)
    if len(names) > MOST_KNOWN:
        raise refused(NAMES, f"At most {MOST_KNOWN} speakers can be known; there are {len(names)}.")
    _check_names(names)
    return tuple(map(_reference, names, references))


def _check_names(names: tuple[str, ...]) -> None:
    if len({name.casefold() for name in names}) < len(names):
        raise refused(NAMES, "Two known speakers have the same name.")
    if odd := [name for name in names if len(name) > LONGEST_NAME or not name.isprintable()]:
        message = f"{odd[0][:40]!r} is no name of up to {LONGEST_NAME} printable characters."
        raise refused(NAMES, message)


def _reference(name: str, url: str) -> Reference:
    if len(url) > _REFERENCE_BYTES:
        raise _refused(name, f"has more than {_REFERENCE_BYTES >> 10} KiB; send 2 to 10 seconds")
    head = _DATA_URL.match(url)
    if head is None:
        raise _refused(name, "is not a data URL such as data:audio/wav;base64,...")
    audio = url[head.end() :]
    try:
        base64.b64decode(audio, validate=True)
    except binascii.Error as error:
        raise _refused(name, "is not base64") from error
    return Reference(name, audio)


def check_lengths(people: tuple[Reference, ...], prober: AudioProber) -> None:
    """Raise ApiError where a reference is no audio of 2 to 10 seconds."""
    for person in people:
        try:
            found = prober.probe(io.BytesIO(base64.b64decode(person.audio)))
        except InvalidAudio as error:
            raise _refused(person.name, f"cannot be used ({error})") from error
        seconds = found.duration
        shortest = SHORTEST_REFERENCE_SECONDS - _ROUNDING_SECONDS
        longest = LONGEST_REFERENCE_SECONDS + _ROUNDING_SECONDS
        if seconds is not None and not shortest <= seconds <= longest:
            raise _refused(person.name, f"has {seconds:.1f} seconds; send 2 to 10")


def stored(people: tuple[Reference, ...]) -> dict[str, bytes]:
    """The people as an object of their job; none where nobody is known."""
    if not people:
        return {}
    return {KNOWN_SPEAKERS: json.dumps(to_plain(References(people))).encode()}


def _refused(name: str, why: str) -> ApiError:
    return refused(REFERENCES, f"The reference of {name[:40]!r} {why}.")
