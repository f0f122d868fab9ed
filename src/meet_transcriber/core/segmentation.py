"""Readable segments from words: cut at speakers, pauses, sentence ends and a length."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from meet_transcriber.core.languages import is_spaceless
from meet_transcriber.core.transcript import Segment, Word

_CLOSING = "\"'”’»)]}」』）】"
_SENTENCE_END = ".!?…。！？｡؟۔।"
_CLAUSE_END = ",;:，、；：،—–"

# Titles and the like whose full stop ends no sentence.
_ABBREVIATIONS = frozenset(
    {"mr.", "mrs.", "ms.", "dr.", "prof.", "st.", "vs.", "e.g.", "i.e.", "etc.", "no.", "approx."}
)


def ends_sentence(text: str) -> bool:
    """Whether a word closes a sentence by its punctuation."""
    bare = text.rstrip(_CLOSING)
    return bare[-1:] in _SENTENCE_END and bool(bare) and bare.lower() not in _ABBREVIATIONS


def ends_clause(text: str) -> bool:
    """Whether a word closes a clause or a sentence by its punctuation."""
    bare = text.rstrip(_CLOSING)
    return ends_sentence(text) or (bool(bare) and bare[-1] in _CLAUSE_END)


def gap_after(words: Sequence[Word], index: int) -> float:
    """Seconds of pause between word `index` and the next; infinite after the last."""
    if index + 1 >= len(words):
        return float("inf")
    return words[index + 1].start - words[index].end


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
