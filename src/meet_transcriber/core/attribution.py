"""Which speaker said which word: words from recognition meet turns from diarization."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from meet_transcriber.core.sentences import ends_sentence, gap_after
from meet_transcriber.core.transcript import Diarization, Turn, Word

MAX_GAP = 1.0
"""Seconds between a word and the nearest turn beyond which its speaker stays unknown."""

_BREAK_PAUSE = 0.35  # a pause that separates utterances where there is no punctuation
_SNAP_WORDS = 2  # how many words a change of speaker may move
_SNAP_SECONDS = 0.5  # and how far a moved word may lie inside the other's turn
_ISLAND_SECONDS = 0.5  # a turn this short inside somebody's sentence is taken for jitter


def attribute_words(
    words: Sequence[Word], diarization: Diarization, max_gap: float = MAX_GAP
) -> tuple[Word, ...]:
    """
    Give every word its speaker and mark the ones that somebody spoke over.

    A word goes to whoever speaks during most of it, by the exclusive turns where there are
    any; a word between turns goes to the nearest one within `max_gap` seconds, else it stays
    unknown. Then changes of speaker that fall within a sentence move to its edge when that
    is only a word or two away, since diarizers miss a change by a few tenths of a second.

    Args:
        words: in time order.
        diarization: turns in any order; they may overlap.

    Returns:
        As many words, in the same order, with `speaker` and `overlap` set.
        Near-linear in words plus turns.
    """
    turns = sorted(diarization.turns, key=lambda turn: turn.start)
    basis = sorted(diarization.exclusive or turns, key=lambda turn: turn.start)
    if not basis:
        return tuple(replace(word, speaker=None, overlap=False) for word in words)
    labelled = _nearest_speakers(words, basis, max_gap)
    smoothed = _drop_islands(words, _snap_changes(words, labelled, basis))
    spoken_over = [_is_spoken_over(word, active) for word, active in _active(words, turns)]
    return tuple(
        replace(word, speaker=speaker, overlap=overlap)
        for word, speaker, overlap in zip(words, smoothed, spoken_over, strict=True)
    )


def _active(
    words: Sequence[Word], turns: Sequence[Turn], margin: float = 0.0
) -> Iterator[tuple[Word, list[Turn]]]:
    """Each word with the turns that touch it, given both by start time."""
    active: list[Turn] = []
    upcoming = 0
    for word in words:
        while upcoming < len(turns) and turns[upcoming].start <= word.end + margin:
            active.append(turns[upcoming])
            upcoming += 1
        active = [turn for turn in active if turn.end >= word.start - margin]
        yield word, active


def _nearest_speakers(
    words: Sequence[Word], turns: Sequence[Turn], max_gap: float
) -> list[str | None]:
    return [_speaker_of(word, near) for word, near in _active(words, turns, margin=max_gap)]


def _speaker_of(word: Word, near: Sequence[Turn]) -> str | None:
    """Most seconds shared; failing that, the nearest turn."""
    shared: dict[str, float] = {}
    distance: dict[str, float] = {}
    for turn in near:
        overlap = min(word.end, turn.end) - max(word.start, turn.start)
        shared[turn.speaker] = shared.get(turn.speaker, 0.0) + max(overlap, 0.0)
        distance[turn.speaker] = min(distance.get(turn.speaker, float("inf")), -overlap)
    if not shared:
        return None
    return min(shared, key=lambda speaker: (-shared[speaker], distance[speaker]))


def _is_spoken_over(word: Word, active: Sequence[Turn]) -> bool:
    """Whether two people speak at the middle of the word."""
    return len({turn.speaker for turn in active if turn.start <= word.middle <= turn.end}) > 1


def _breaks_after(words: Sequence[Word], index: int) -> bool:
    """Whether an utterance may end after the word: a full stop or a pause."""
    return ends_sentence(words[index].text) or gap_after(words, index) >= _BREAK_PAUSE


def _snap_changes(
    words: Sequence[Word], speakers: Sequence[str | None], turns: Sequence[Turn]
) -> list[str | None]:
    """Move each change of speaker to the edge of an utterance close by, if there is one."""
    result = list(speakers)
    ends = [
        index
        for index in range(len(words) - 1)
        if None not in (speakers[index], speakers[index + 1])
        and speakers[index] != speakers[index + 1]
        and not _breaks_after(words, index)
    ]
    boundaries = _turn_starts(turns)
    for index in ends:
        for target in _edges_nearby(words, index):
            low, high = sorted((index, target))
            moved = range(low + 1, high + 1)
            owner = result[index] if target > index else result[index + 1]
            if _may_move(words, result, moved, boundaries):
                for position in moved:
                    result[position] = owner
                break
    return result


def _turn_starts(turns: Sequence[Turn]) -> list[float]:
    return sorted({edge for turn in turns for edge in (turn.start, turn.end)})


def _edges_nearby(words: Sequence[Word], index: int) -> list[int]:
    """Utterance ends within reach of a change after `index`, nearest first."""
    reach = range(1, _SNAP_WORDS + 1)
    candidates = [index + sign * step for step in reach for sign in (-1, 1)]
    return [
        candidate
        for candidate in candidates
        if 0 <= candidate < len(words) - 1 and _breaks_after(words, candidate)
    ]


def _may_move(
    words: Sequence[Word],
    speakers: Sequence[str | None],
    moved: range,
    boundaries: Sequence[float],
) -> bool:
    """Only words of one speaker, all close to a turn's edge, are in doubt."""
    if len({speakers[position] for position in moved}) != 1:
        return False
    for position in moved:
        middle = words[position].middle
        at = bisect_left(boundaries, middle)
        near = boundaries[max(at - 1, 0) : at + 1]
        if not any(abs(middle - edge) <= _SNAP_SECONDS for edge in near):
            return False
    return True


def _drop_islands(words: Sequence[Word], speakers: Sequence[str | None]) -> list[str | None]:
    """Give a lone word inside somebody else's running sentence back to them."""
    result = list(speakers)
    runs = [
        list(group) for _, group in groupby(range(len(words)), key=lambda index: speakers[index])
    ]
    for before, run, after in zip(runs, runs[1:], runs[2:], strict=False):
        first, last = run[0], run[-1]
        inside = not (_breaks_after(words, before[-1]) or _breaks_after(words, last))
        same = speakers[before[-1]] == speakers[after[0]] is not None
        if same and inside and words[last].end - words[first].start <= _ISLAND_SECONDS:
            for position in run:
                result[position] = speakers[before[-1]]
    return result
