"""Readable segments from words: one speaker, cut at pauses, sentences and a length."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from meet_transcriber.core.scripts import is_spaceless
from meet_transcriber.core.sentences import ends_clause, ends_sentence, gap_after
from meet_transcriber.core.transcript import Segment, Word

LONG_PAUSE = 1.0
"""Seconds of silence that always start a new segment."""

_SENTENCE_SECONDS = 6.0  # from here on a segment ends with its sentence
_MAX_SECONDS = 20.0
_MAX_WIDTH = 280  # characters, full-width ones counted twice


def build_segments(words: Sequence[Word], language: str | None = None) -> tuple[Segment, ...]:
    """
    Group words into segments that a person likes to read.

    A segment has one speaker and no pause of `LONG_PAUSE` seconds inside. It ends with a
    sentence once it is some seconds long, and is cut at its best clause or pause when it
    grows past 20 seconds or 280 characters.

    Args:
        words: in time order, attributed or not.
        language: put on every segment.
    """
    return tuple(
        Segment(tuple(piece), piece[0].speaker, language)
        for run in _runs(words)
        for piece in _cut(run)
    )


def _runs(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Words of one speaker without a long pause, ended by sentences."""
    run: list[Word] = []
    for word in words:
        if run and _starts_segment(run, word):
            yield run
            run = []
        run.append(word)
    if run:
        yield run


def _starts_segment(run: Sequence[Word], word: Word) -> bool:
    last = run[-1]
    if word.speaker != last.speaker or word.start - last.end >= LONG_PAUSE:
        return True
    return ends_sentence(last.text) and last.end - run[0].start >= _SENTENCE_SECONDS


def _cut(run: list[Word]) -> Iterator[list[Word]]:
    """Halve at the best place until every piece is short enough."""
    if len(run) == 1 or not _too_long(run):
        yield run
        return
    middle = (run[0].start + run[-1].end) / 2
    span = max(run[-1].end - run[0].start, 1e-9)

    def merit(index: int) -> float:
        text = run[index].text
        mark = 1.0 if ends_sentence(text) else 0.6 if ends_clause(text) else 0.0
        off_centre = abs(run[index].end - middle) / span
        return mark + min(gap_after(run, index), 1.0) - 1.5 * off_centre

    best = max(range(len(run) - 1), key=merit)
    yield from _cut(run[: best + 1])
    yield from _cut(run[best + 1 :])


def _too_long(run: Sequence[Word]) -> bool:
    width = sum(_width(word.text) for word in run) + sum(
        not is_spaceless(left.text[-1:] or " ") for left, _ in pairwise(run)
    )
    return run[-1].end - run[0].start > _MAX_SECONDS or width > _MAX_WIDTH


def _width(text: str) -> int:
    return sum(2 if is_spaceless(character) else 1 for character in text)
