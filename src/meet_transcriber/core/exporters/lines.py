"""Cues of subtitles: short, readable lines that never overlap."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from meet_transcriber.core.scripts import is_spaceless, join_words
from meet_transcriber.core.sentences import ends_clause, ends_sentence, gap_after
from meet_transcriber.core.transcript import Transcript, Word

LINE_WIDTH = 42
"""Columns of a line; full-width characters take two. With two lines a cue: BBC, Netflix."""

_LINES = 2
_MAX_SECONDS = 7.0
_MIN_SECONDS = 1.0
_COLUMNS_PER_SECOND = 17.0
_PAUSE = 0.8  # a pause that ends a cue


@dataclass(frozen=True, slots=True)
class Cue:
    """What stands on the screen from `start` to `end` seconds, in at most two lines."""

    start: float
    end: float
    lines: tuple[str, ...]
    speaker: str | None


def build_cues(transcript: Transcript) -> tuple[Cue, ...]:
    """Cut segments into cues and give each time to be read, up to the next one."""
    raw = [cue for segment in transcript.segments for cue in _cues(segment.words, segment.speaker)]
    raw.sort(key=lambda cue: (cue.start, cue.end))
    ends = [following.start for _, following in pairwise(raw)] + [float("inf")]
    cues = []
    for cue, following in zip(raw, ends, strict=True):
        columns = sum(width(line) for line in cue.lines)
        wanted = max(cue.end, cue.start + max(_MIN_SECONDS, columns / _COLUMNS_PER_SECOND))
        cues.append(replace(cue, end=max(min(wanted, following), cue.start)))
    return tuple(cues)


def width(text: str) -> int:
    """Columns that a text takes on the screen."""
    return sum(2 if is_spaceless(character) else 1 for character in text)


def _cues(words: Sequence[Word], speaker: str | None) -> Iterator[Cue]:
    start = 0
    for index in range(len(words)):
        if index + 1 == len(words) or _ends_cue(words, start, index):
            piece = words[start : index + 1]
            lines = wrap([word.text for word in piece])
            yield Cue(piece[0].start, max(word.end for word in piece), lines, speaker)
            start = index + 1


def _ends_cue(words: Sequence[Word], start: int, index: int) -> bool:
    """Whether a cue that began with word `start` ends after word `index`."""
    if gap_after(words, index) >= _PAUSE:
        return True
    taken = [word.text for word in words[start : index + 1]]
    longer = [*taken, words[index + 1].text]
    too_long = words[index + 1].end - words[start].start > _MAX_SECONDS
    if too_long or not _fits(longer):
        return True
    full = width(join_words(taken)) > LINE_WIDTH
    text = words[index].text
    ends = ends_sentence(text) or (ends_clause(text) and not _room(words, index))
    return full and ends


def _room(words: Sequence[Word], index: int) -> bool:
    """Whether the sentence ends within the next few words anyway."""
    return any(ends_sentence(word.text) for word in words[index + 1 : index + 4])


def _fits(texts: Sequence[str]) -> bool:
    return len(_greedy(texts)) <= _LINES


def wrap(texts: Sequence[str]) -> tuple[str, ...]:
    """Break words into lines, two of about equal length where one is not enough."""
    greedy = _greedy(texts)
    if len(greedy) != _LINES:
        return tuple(greedy)
    options = [
        (join_words(texts[:cut]), join_words(texts[cut:]), ends_clause(texts[cut - 1]))
        for cut in range(1, len(texts))
    ]
    fitting = [
        option for option in options if max(width(option[0]), width(option[1])) <= LINE_WIDTH
    ]
    if not fitting:
        return tuple(greedy)
    best = min(fitting, key=lambda option: abs(width(option[0]) - width(option[1])) - 8 * option[2])
    return best[0], best[1]


def _greedy(texts: Sequence[str]) -> list[str]:
    """As few lines as possible; a word wider than a line is broken."""
    lines: list[str] = []
    current: list[str] = []
    for text in (piece for whole in texts for piece in _broken(whole)):
        if current and width(join_words([*current, text])) > LINE_WIDTH:
            lines.append(join_words(current))
            current = []
        current.append(text)
    return [*lines, join_words(current)] if current else lines


def _broken(text: str) -> list[str]:
    pieces = [""]
    for character in text:
        if width(pieces[-1] + character) > LINE_WIDTH:
            pieces.append("")
        pieces[-1] += character
    return pieces
