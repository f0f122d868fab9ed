"""SubRip and WebVTT subtitles: short, readable cues that never overlap."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import NamedTuple

from meet_transcriber.core.formats.documents import display_name, to_single_line
from meet_transcriber.core.languages import (
    is_spaceless,
    join_words,
    needs_space,
    split_at_spaces,
    split_clusters,
)
from meet_transcriber.core.segmentation import ends_clause, ends_sentence, gap_after
from meet_transcriber.core.transcript import Transcript, Word

LINE_WIDTH = 42
"""Columns of a line (guidelines of BBC and Netflix); full-width characters take two."""

MAX_LINES = 2
MAX_SECONDS = 7.0
MIN_SECONDS_IN_OVERLAP = 0.5
"""In overlapping speech a cue is delayed until the one before was shown for this long."""

_MIN_SECONDS = 1.0
_COLUMNS_PER_SECOND = 17.0
_PAUSE = 0.8  # seconds; a longer pause ends a cue
_GLUED = "、。，．！？：；）」』】〉》〕…"  # never start a line
_CLAUSE_COLUMNS = 16  # imbalance of lines that a break after a clause outweighs
_SPACE_COLUMNS = 42  # the same for a break at a space in a script without spaces
_WORDS_AHEAD = 3  # a cue goes on if its sentence ends within this many words


@dataclass(frozen=True, slots=True)
class Cue:
    """Text shown from `start` to `end` seconds, in at most two lines."""

    start: float
    end: float
    lines: tuple[str, ...]
    speaker: str | None


def build_cues(transcript: Transcript, labels: bool = False) -> tuple[Cue, ...]:
    """
    Split segments into cues that are shown long enough to be read, at most up to the next cue.

    `labels` puts the speaker's name in front whenever the speaker changes.
    """
    groups = sorted(_groups(transcript, labels), key=lambda group: (group[0].start, group[-1].end))
    if labels:
        groups = list(_relabelled(groups, transcript))
    return tuple(_timed([_cue(group) for group in groups]))


def display_width(text: str) -> int:
    """Return the columns that a text takes on the screen (Unicode UAX 11)."""
    shown = (char for char in text if unicodedata.category(char) not in {"Mn", "Me", "Cf"})
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in shown)


class _Line(NamedTuple):
    """The last of the lines that words fill one by one, each with as many words as fit.

    Widths are carried along, because measuring a cue anew for each of its words is quadratic.
    """

    number: int = 0
    """Counted from 1; 0 before the first word."""
    columns: int = 0
    total: int = 0
    """Columns of all words in one line."""
    last: str = ""

    def longer(self, text: str) -> "_Line":
        alone = display_width(text.lstrip())
        added = needs_space(self.last, text) + display_width(text) if self.number else alone
        if self.number and self.columns + added <= LINE_WIDTH:
            return _Line(self.number, self.columns + added, self.total + added, text)
        return _Line(self.number + 1, alone, self.total + added, text)


def wrap(texts: Sequence[str]) -> tuple[str, ...]:
    """Break words into lines; two lines get about equal length."""
    lines = [*accumulate(texts, _Line.longer, initial=_Line())][1:]
    starts = [at for at, line in enumerate(lines) if at == 0 or line.number > lines[at - 1].number]
    if len(starts) == MAX_LINES:
        starts[1] = min(range(1, len(texts)), key=lambda cut: _imbalance(texts, lines, cut))
    bounds = pairwise([*starts, len(texts)])
    return tuple(join_words(texts[start:end]) for start, end in bounds)


def _imbalance(texts: Sequence[str], lines: Sequence[_Line], cut: int) -> float:
    """The cost of a second line that begins with word `cut`, in columns."""
    text = texts[cut]
    added = lines[cut].total - lines[cut - 1].total
    top = lines[cut - 1].total
    bottom = lines[-1].total - top - added + display_width(text.lstrip())
    too_wide = 1000 * (max(top, bottom) > LINE_WIDTH)
    bonus = _SPACE_COLUMNS if text[0].isspace() else _CLAUSE_COLUMNS * ends_clause(texts[cut - 1])
    return abs(top - bottom) - bonus + too_wide


def _groups(transcript: Transcript, labels: bool) -> Iterator[list[Word]]:
    last: str | None = None
    for segment in transcript.segments:
        words = [replace(word, speaker=segment.speaker) for word in segment.words]
        pieces = [piece for word in words for piece in _pieces(word)]
        if labels and pieces and segment.speaker != last:
            pieces = _label_words(pieces[0], transcript) + pieces
        yield from _cut(pieces)
        last = segment.speaker


def _relabelled(groups: Iterable[list[Word]], transcript: Transcript) -> Iterator[list[Word]]:
    """Add labels where only the interleaving of overlapping segments changes the speaker."""
    last: str | None = None
    for group in groups:
        label = _label_words(group[0], transcript)
        there = [word.text.strip() for word in group[: len(label)]]
        missing = group[0].speaker != last and there != [word.text.strip() for word in label]
        yield from _cut(label + group) if missing else [group]
        last = group[0].speaker


def _label_words(first: Word, transcript: Transcript) -> list[Word]:
    name = display_name(transcript, first.speaker)
    if name is None:
        return []
    words = list(_pieces(Word(f"{name}:", first.start, first.start, speaker=first.speaker)))
    if not (first.text[:1].isspace() or needs_space(words[-1].text, first.text)):
        words[-1] = replace(words[-1], text=f"{words[-1].text} ")
    return words


def _pieces(word: Word) -> Iterator[Word]:
    """Split a word at spaces and where it is wider than a line; each piece gets its time."""
    spaced = " " if word.text[:1].isspace() else ""
    parts = split_at_spaces(to_single_line(word.text))
    texts = [piece for part in parts for piece in _break_long(part)]
    texts[:1] = [spaced + text for text in texts[:1]]
    step = (word.end - word.start) / max(len(texts), 1)
    for place, text in enumerate(texts):
        start = word.start + step * place
        yield replace(word, text=text, start=start, end=max(start, word.start + step * (place + 1)))


def _break_long(text: str) -> Iterator[str]:
    """Split a text that is wider than a line; scripts without spaces into characters."""
    if display_width(text) <= LINE_WIDTH:
        yield text
        return
    atom: list[str] = []
    columns = 0
    for cluster in split_clusters(text):
        glued = cluster in _GLUED or not (
            is_spaceless(cluster[0]) or is_spaceless(atom[-1][-1] if atom else "a")
        )
        width = display_width(cluster)
        if atom and (not glued or columns + width > LINE_WIDTH):
            yield "".join(atom)
            atom, columns = [], 0
        atom.append(cluster)
        columns += width
    yield "".join(atom)


def _cut(words: Sequence[Word]) -> Iterator[list[Word]]:
    start, line = 0, _Line()
    for index, word in enumerate(words):
        line = line.longer(word.text)
        if index + 1 == len(words) or _ends_cue(words, start, index, line):
            yield list(words[start : index + 1])
            start, line = index + 1, _Line()


def _ends_cue(words: Sequence[Word], start: int, index: int, line: _Line) -> bool:
    """Return whether a cue that starts with word `start` ends after word `index`, on `line`."""
    if gap_after(words, index) >= _PAUSE:
        return True
    text, following = words[index].text, words[index + 1]
    too_long = following.end - words[start].start > MAX_SECONDS
    if too_long or line.longer(following.text).number > MAX_LINES:
        return True
    clause = ends_clause(text) or following.text[0].isspace()
    ahead = words[index + 1 : index + 1 + _WORDS_AHEAD]
    sentence_ends_soon = any(ends_sentence(word.text) for word in ahead)
    full = line.total > LINE_WIDTH
    return full and (ends_sentence(text) or (clause and not sentence_ends_soon))


def _cue(words: Sequence[Word]) -> Cue:
    end = max(word.end for word in words)
    return Cue(words[0].start, end, wrap([word.text for word in words]), words[0].speaker)


def _timed(cues: Sequence[Cue]) -> Iterator[Cue]:
    """Set the times of cues: disjoint, and as long as reading takes where possible."""
    starts: list[float] = []
    for cue in cues:
        earliest = starts[-1] + MIN_SECONDS_IN_OVERLAP if starts else 0.0
        starts.append(max(cue.start, earliest))
    limits = [*starts[1:], float("inf")]
    for cue, start, limit in zip(cues, starts, limits, strict=False):
        columns = sum(display_width(line) for line in cue.lines)
        wanted = max(cue.end, start + max(_MIN_SECONDS, columns / _COLUMNS_PER_SECOND))
        yield replace(cue, start=start, end=min(wanted, start + MAX_SECONDS, limit))


_ARROW = re.compile(r"-{2,}>")


def format_timestamp(seconds: float, mark: str = ".") -> str:
    """Format as `HH:MM:SS.mmm`, rounded to the millisecond."""
    total = round(seconds * 1000)
    minutes, rest = divmod(total, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{mark}{rest % 1000:03d}"


def export_srt(transcript: Transcript) -> str:
    """
    SubRip, with the name in front whenever the speaker changes.

    SubRip has no escaping: `<` and `&` stay, and an arrow `-->` loses a dash, because parsers
    would take it for a timing line.
    """
    blocks = []
    for number, cue in enumerate(build_cues(transcript, labels=True), 1):
        text = _ARROW.sub("->", "\n".join(cue.lines))
        times = f"{format_timestamp(cue.start, ',')} --> {format_timestamp(cue.end, ',')}"
        blocks.append(f"{number}\n{times}\n{text}\n")
    return "\n".join(blocks)


def export_vtt(transcript: Transcript) -> str:
    """WebVTT with voice tags (W3C WebVTT, section 3.1)."""
    blocks = ["WEBVTT\n"]
    for cue in build_cues(transcript):
        text = _escaped("\n".join(cue.lines))
        name = display_name(transcript, cue.speaker)
        voice = f"<v {_escaped(name)}>{text}</v>" if name else text
        blocks.append(f"{format_timestamp(cue.start)} --> {format_timestamp(cue.end)}\n{voice}\n")
    return "\n".join(blocks)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
