"""Putting a decoder's word times right: all of them there, in order, inside the speech."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

from meet_transcriber.core.scripts import is_spaceless
from meet_transcriber.core.transcript import Span, Word

SPEECH_TOLERANCE = 0.5
"""Seconds outside detected speech at which a word is still believed."""

_MIN_SECONDS = 0.02
_BASE_SECONDS = 1.0  # a word takes at most this and some more per letter
_SECONDS_PER_LETTER = 0.12


@dataclass(frozen=True, slots=True)
class RawWord:
    """A word as a decoder gave it: text with its leading space, times perhaps missing."""

    text: str
    start: float | None = None
    end: float | None = None
    probability: float | None = None


def tidy_words(raw: Sequence[RawWord], start: float, end: float) -> tuple[Word, ...]:
    """
    Return whole words with times: start <= end, in order, between `start` and `end`.

    Pieces without a leading space belong to the word before (`twenty` `-five`), except in
    scripts without spaces. Missing times are spread between their neighbours and marked
    `estimated`; a word that swallowed a pause is cut to a plausible length.
    """
    words = _interpolated(_glued([word for word in raw if word.text.strip()]), start, end)
    tidy: list[Word] = []
    latest = start
    for word in words:
        begin = min(max(word.start, latest), end)
        limit = _BASE_SECONDS + _SECONDS_PER_LETTER * len(word.text)
        finish = min(max(word.end, begin), begin + limit, end)
        tidy.append(replace(word, start=begin, end=finish))
        latest = begin
    return tuple(tidy)


def _glued(raw: Sequence[RawWord]) -> list[RawWord]:
    whole: list[RawWord] = []
    for word in raw:
        joins = whole and not word.text[0].isspace() and not is_spaceless(word.text[0])
        if joins and not is_spaceless(whole[-1].text[-1]):
            last = whole[-1]
            odds = [odd for odd in (last.probability, word.probability) if odd is not None]
            whole[-1] = RawWord(
                last.text + word.text.rstrip(),
                last.start,
                last.end if word.end is None else word.end,
                min(odds) if odds else None,
            )
        else:
            whole.append(replace(word, text=word.text.strip()))
    return whole


def _interpolated(raw: Sequence[RawWord], start: float, end: float) -> list[Word]:
    """Words without times share the stretch between their neighbours evenly."""
    words: list[Word] = []
    at = 0
    while at < len(raw):
        word = raw[at]
        if word.start is not None and word.end is not None:
            words.append(Word(word.text, word.start, word.end, _odds(word)))
            at += 1
            continue
        stop = at
        while stop < len(raw) and (raw[stop].start is None or raw[stop].end is None):
            stop += 1
        low = words[-1].end if words else start
        following = raw[stop].start if stop < len(raw) else end
        high = max(end if following is None else following, low)
        step = (high - low) / (stop - at)
        words.extend(
            Word(
                raw[place].text,
                low + step * (place - at),
                low + step * (place - at + 1),
                _odds(raw[place]),
                estimated=True,
            )
            for place in range(at, stop)
        )
        at = stop
    return words


def _odds(word: RawWord) -> float | None:
    return None if word.probability is None else min(max(word.probability, 0.0), 1.0)


def outside_speech(word: Word, speech: Sequence[Span]) -> bool:
    """Whether a word lies so far from all speech that nobody can have said it."""
    middle = (word.start + word.end) / 2
    at = bisect_left([span.end for span in speech], middle)
    near = speech[max(at - 1, 0) : at + 1]
    return not any(
        span.start - SPEECH_TOLERANCE <= middle <= span.end + SPEECH_TOLERANCE for span in near
    )
