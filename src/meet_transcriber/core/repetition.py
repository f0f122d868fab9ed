"""Detects loops, in which a decoder repeats the same words, and fixes honest repetitions."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace

from meet_transcriber.core.transcript import Removed, Span, Word

MAX_PERIOD = 12  # maximum length of a repeated phrase, in words

_KEEP = 2  # repetitions kept of a loop
_MIN_REPEATS_BY_PERIOD = {1: 8, 2: 6, 3: 5}  # "no no no" and chants stay; longer phrases need 4
_PAUSE_SECONDS = 0.3
_SHORT = 0.1  # seconds; no word is faster
_VOTES = 4  # minimum number of repetitions that are placed one by one
_VOTE_SECONDS, _VOTE_SECONDS_PER_LETTER = 0.2, 0.05
_APART_SHARE = 0.75
_DIGIT_REPEATS = 16  # dictated numbers repeat digits, up to the length of a card number


def cut_loops(words: Sequence[Word]) -> tuple[tuple[Word, ...], tuple[Removed, ...]]:
    """
    Cut implausible repetitions of a phrase down to two.

    Whisper is known to fall into such loops (openai/whisper discussion 679). People repeat
    themselves, too, so a word must occur 8 times in a row, a phrase of four or more words 4
    times, before it is cut. Repetitions after a pause or by another speaker stay, as in votes
    and roll calls: a loop has no pauses.

    Args:
        words: in time order, with speakers if known.

    Returns:
        The remaining words and, for each cut, the span with its text and reason `loop`.
    """
    keys = [_key(word.text) for word in words]
    kept: list[Word] = []
    removed: list[Removed] = []
    at = 0
    while at < len(words):
        period, repeats = _loop_at(keys, at)
        end = at + max(period * repeats, 1)
        stay = end
        if repeats and not _are_separated(words[at:end], period):
            stay = at + period * _KEEP
            text = " ".join(word.text for word in words[stay:end])
            removed.append(Removed(words[stay].start, words[end - 1].end, "loop", text))
        kept.extend(words[at:stay])
        at = end
    return tuple(kept), tuple(removed)


def place_repetitions(
    words: Sequence[Word], speech: Sequence[Span]
) -> tuple[tuple[Word, ...], tuple[Removed, ...]]:
    """
    Place each repetition of a word in its own span of speech, as in a roll call.

    A decoder that repeats a word often miscounts: one span gets two repetitions and another none.
    A repetition without time of its own is removed. If there are as many spans as repetitions,
    or one less, each span gets one.

    Args:
        words: of one window, in time order.
        speech: spans that hold all the words.

    Returns:
        The words, and the repetitions removed.
    """
    settled: list[Word] = []
    removed: list[Removed] = []
    for every, own in _runs(words, speech):
        surplus = _squeezed(every, own) if len(every) >= _VOTES else []
        run = [word for word in every if word not in surplus]
        settle = len(run) >= _VOTES and len(own) <= len(run) <= len(own) + 1
        surplus += run[len(own) :] if settle else []
        removed += [Removed(each.start, each.end, "loop", each.text) for each in surplus]
        settled += map(_placed, run, own) if settle else run
    return tuple(settled), tuple(removed)


def _squeezed(run: Sequence[Word], own: Sequence[Span]) -> list[Word]:
    """Return repetitions without time of their own in a span that has another one."""
    found = []
    for span in own:
        inside = [word for word in run if span.start <= word.start < span.end]
        short = [word for word in inside if word.end - word.start < _SHORT]
        found += short[len(short) == len(inside) :]
    return found


def find_missing_repetitions(
    words: Sequence[Word], speech: Sequence[Span]
) -> list[tuple[Span, str]]:
    """
    Return the spans of speech between many repetitions of a word that have no repetition.

    Args:
        words: of one window, in time order.
        speech: spans that hold all the words.

    Returns:
        Each span with the word that is repeated around it.
    """
    return [
        (span, run[0].text)
        for run, own in _runs(words, speech)
        if len(run) >= _VOTES
        for span in own
        if not any(word.start < span.end and word.end > span.start for word in run)
    ]


def _runs(words: Sequence[Word], speech: Sequence[Span]) -> Iterator[tuple[list[Word], list[Span]]]:
    """Yield runs of equal words with the spans of speech between their neighbours."""
    at = 0
    while at < len(words):
        end = at + 1
        while end < len(words) and _key(words[end].text) == _key(words[at].text):
            end += 1
        low = words[at - 1].end if at else float("-inf")
        high = words[end].start if end < len(words) else float("inf")
        own = [span for span in speech if low <= span.start and span.end <= high]
        yield list(words[at:end]), own
        at = end


def _placed(word: Word, span: Span) -> Word:
    """Return the word inside the span; unchanged if it is there already."""
    if span.start <= word.start and word.end <= span.end and word.end - word.start >= _SHORT:
        return word
    length = min(_VOTE_SECONDS + _VOTE_SECONDS_PER_LETTER * len(word.text), span.duration)
    start = span.start + (span.duration - length) / 2
    return replace(word, start=start, end=start + length, estimated=True)


def _are_separated(words: Sequence[Word], period: int) -> bool:
    """Return whether most repetitions start after a pause or with another speaker."""
    starts = range(period, len(words), period)
    apart = sum(
        words[at].start - words[at - 1].end >= _PAUSE_SECONDS
        or words[at].speaker != words[at - 1].speaker
        for at in starts
    )
    return apart >= _APART_SHARE * len(starts)


def _key(text: str) -> str:
    """Return the word without case and punctuation; punctuation alone stays unchanged."""
    bare = "".join(char for char in text.casefold() if unicodedata.category(char)[0] != "P")
    return bare or text


def _loop_at(keys: Sequence[str], at: int) -> tuple[int, int]:
    """Return period and repetitions of a loop that starts at `at`; (0, 0) if there is none."""
    for period in range(1, min(MAX_PERIOD, (len(keys) - at) // 4) + 1):
        if keys[at] != keys[at + period]:
            continue
        end = at + period
        while end < len(keys) and keys[end] == keys[end - period]:
            end += 1
        repeats = (end - at) // period
        digits = all(key.isdigit() for key in keys[at : at + period])
        if repeats >= (_DIGIT_REPEATS if digits else _MIN_REPEATS_BY_PERIOD.get(period, 4)):
            return period, repeats
    return 0, 0
