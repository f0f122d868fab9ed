"""SubRip and WebVTT subtitles: short, readable cues that never overlap."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

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


def wrap(texts: Sequence[str]) -> tuple[str, ...]:
    """Break words into lines; two lines get about equal length."""
    greedy = _greedy(texts)
    if len(greedy) != MAX_LINES:
        return tuple(line.strip() for line in greedy)

    def cost(cut: int) -> float:
        top, bottom = (display_width(join_words(part)) for part in (texts[:cut], texts[cut:]))
        too_wide = 1000 * (max(top, bottom) > LINE_WIDTH)
        bonus = _CLAUSE_COLUMNS * ends_clause(texts[cut - 1])
        if texts[cut][0].isspace():
            bonus = _SPACE_COLUMNS
        return abs(top - bottom) - bonus + too_wide

    best = min(range(1, len(texts)), key=cost)
    return join_words(texts[:best]), join_words(texts[best:])


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
    atom = ""
    for cluster in split_clusters(text):
        glued = cluster in _GLUED or not (
            is_spaceless(cluster[0]) or is_spaceless(atom[-1:] or "a")
        )
        if atom.strip() and (not glued or display_width(atom + cluster) > LINE_WIDTH):
            yield atom
            atom = ""
        atom += cluster
    yield atom


def _cut(words: Sequence[Word]) -> Iterator[list[Word]]:
    start = 0
    for index in range(len(words)):
        if index + 1 == len(words) or _ends_cue(words, start, index):
            yield list(words[start : index + 1])
            start = index + 1


def _ends_cue(words: Sequence[Word], start: int, index: int) -> bool:
    """Return whether a cue that starts with word `start` ends after word `index`."""
    if gap_after(words, index) >= _PAUSE:
        return True
    taken = [word.text for word in words[start : index + 1]]
    longer = [*taken, words[index + 1].text]
    too_long = words[index + 1].end - words[start].start > MAX_SECONDS
    if too_long or len(_greedy(longer)) > MAX_LINES:
        return True
    full = display_width(join_words(taken)) > LINE_WIDTH
    text = words[index].text
    clause = ends_clause(text) or words[index + 1].text[0].isspace()
    following = words[index + 1 : index + 1 + _WORDS_AHEAD]
    sentence_ends_soon = any(ends_sentence(word.text) for word in following)
    return full and (ends_sentence(text) or (clause and not sentence_ends_soon))


def _greedy(texts: Sequence[str]) -> list[str]:
    """Join texts into as few lines as possible; each text fits a line."""
    lines: list[str] = []
    for text in texts:
        longer = join_words([lines[-1], text]) if lines else text
        if lines and display_width(longer) <= LINE_WIDTH:
            lines[-1] = longer
        else:
            lines.append(text)
    return lines


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
