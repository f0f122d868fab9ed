"""Guard against loops: a decoder that says the same few words over and over."""

import unicodedata
from collections.abc import Sequence

from meet_transcriber.core.transcript import Removed, Word

MAX_PERIOD = 12
"""Longest phrase, in words, whose repetition is looked at."""

_KEEP = 2  # repetitions left standing once a loop is cut
_MIN_REPEATS_BY_PERIOD = {1: 8, 2: 6, 3: 5}  # "no no no" and chants stay; longer phrases need 4
_DIGIT_REPEATS = 16  # "one one one" is dictated honestly, up to the length of a card number


def cut_loops(words: Sequence[Word]) -> tuple[tuple[Word, ...], tuple[Removed, ...]]:
    """
    Cut phrases that repeat implausibly often down to two repetitions.

    Whisper is known to fall into such loops (openai/whisper discussion 679); people do
    repeat themselves, so one word has to come 8 times in a row, a phrase of four or more
    words 4 times, before anything is cut.

    Returns:
        the words that stay and, for each cut, the span with its text, reason `loop`.
    """
    keys = [_key(word.text) for word in words]
    kept: list[Word] = []
    removed: list[Removed] = []
    at = 0
    while at < len(words):
        period, repeats = _loop_at(keys, at)
        if repeats == 0:
            kept.append(words[at])
            at += 1
            continue
        stay, end = at + period * _KEEP, at + period * repeats
        kept.extend(words[at:stay])
        cut = words[stay:end]
        text = " ".join(word.text for word in cut)
        removed.append(Removed(cut[0].start, cut[-1].end, "loop", text))
        at = end
    return tuple(kept), tuple(removed)


def _key(text: str) -> str:
    """The word without case and punctuation; punctuation alone stays as it is."""
    bare = "".join(char for char in text.casefold() if unicodedata.category(char)[0] != "P")
    return bare or text


def _loop_at(keys: Sequence[str], at: int) -> tuple[int, int]:
    """Period and repetitions of a loop that begins here; (0, 0) where there is none."""
    for period in range(1, min(MAX_PERIOD, (len(keys) - at) // 4) + 1):
        if keys[at] != keys[at + period]:
            continue
        end = at + period
        while end < len(keys) and keys[end] == keys[end - period]:
            end += 1
        repeats = (end - at) // period
        if repeats >= _enough(keys[at : at + period]):
            return period, repeats
    return 0, 0


def _enough(phrase: Sequence[str]) -> int:
    if all(key.isdigit() for key in phrase):
        return _DIGIT_REPEATS
    return _MIN_REPEATS_BY_PERIOD.get(len(phrase), 4)
