"""Readable segments from words: cut at speakers, pauses, sentence ends and a length."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from meet_transcriber.core.languages import is_spaceless
from meet_transcriber.core.transcript import Segment, Word

_CLOSING = "\"'”’»)]}」』）】"
_SENTENCE_END = ".!?…。！？｡؟۔।"
_CLAUSE_END = ",;:，、；：،—–"

# Abbreviations whose full stop does not end a sentence.
_ABBREVIATIONS = frozenset(
    {"mr.", "mrs.", "ms.", "dr.", "prof.", "st.", "vs.", "e.g.", "i.e.", "etc.", "no.", "approx."}
)


def ends_sentence(text: str) -> bool:
    """Return whether the punctuation of a word ends a sentence."""
    bare = text.rstrip(_CLOSING)
    return bare[-1:] in _SENTENCE_END and bool(bare) and bare.lower() not in _ABBREVIATIONS


def ends_clause(text: str) -> bool:
    """Return whether the punctuation of a word ends a clause or a sentence."""
    bare = text.rstrip(_CLOSING)
    return ends_sentence(text) or (bool(bare) and bare[-1] in _CLAUSE_END)


def gap_after(words: Sequence[Word], index: int) -> float:
    """Return the seconds between word `index` and the next; infinity after the last."""
    if index + 1 >= len(words):
        return float("inf")
    return words[index + 1].start - words[index].end


LONG_PAUSE = 1.0  # a pause of this many seconds always starts a new segment

_SENTENCE_SECONDS = 6.0  # a longer segment ends with its sentence
_MAX_SECONDS = 20.0
_MAX_WIDTH = 280  # characters; full-width ones count twice


def build_segments(words: Sequence[Word], language: str | None = None) -> tuple[Segment, ...]:
    """
    Group words into readable segments.

    A segment has one speaker and no pause of `LONG_PAUSE` seconds inside. It ends with a
    sentence once it is 6 seconds long, and is split at its best clause or pause when it
    exceeds 20 seconds or 280 characters.

    Args:
        words: in time order, with or without speakers.
        language: set on every segment.
    """
    return tuple(
        Segment(tuple(piece), piece[0].speaker, language)
        for run in _runs(words)
        for piece in _cut(run)
    )


def _runs(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Yield runs of words of one speaker without a long pause, split at sentence ends."""
    run: list[Word] = []
    for word in words:
        if run:
            last = run[-1]
            is_over = ends_sentence(last.text) and last.end - run[0].start >= _SENTENCE_SECONDS
            if is_over or word.speaker != last.speaker or word.start - last.end >= LONG_PAUSE:
                yield run
                run = []
        run.append(word)
    if run:
        yield run


def _cut(run: list[Word]) -> Iterator[list[Word]]:
    """Split at the best place until every piece is short enough."""
    if len(run) == 1 or not _too_long(run):
        yield run
        return
    middle = (run[0].start + run[-1].end) / 2
    span = max(run[-1].end - run[0].start, 1e-9)

    def score(index: int) -> float:
        text = run[index].text
        mark = 1.0 if ends_sentence(text) else 0.6 if ends_clause(text) else 0.0
        # From 0 in the middle to 0.5 at the ends: a full stop there is worth a quarter of one here.
        distance = abs(run[index].end - middle) / span
        return mark + min(gap_after(run, index), 1.0) - 1.5 * distance

    best = max(range(len(run) - 1), key=score)
    yield from _cut(run[: best + 1])
    yield from _cut(run[best + 1 :])


def _too_long(run: Sequence[Word]) -> bool:
    letters = (character for word in run for character in word.text)
    width = sum(2 if is_spaceless(character) else 1 for character in letters)
    width += sum(not is_spaceless(left.text[-1:] or " ") for left, _ in pairwise(run))
    return run[-1].end - run[0].start > _MAX_SECONDS or width > _MAX_WIDTH
