"""Lays pieces of recordings out as a conversation."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.meetings.recorded import Piece, Reader, backchannel_of, piece_of
from meet_transcriber.core.transcript import Turn, total_seconds

LEAST_SECONDS = 15.0
"""Speech of even the quietest speaker."""

_LEAD = 0.6
_SILENCE_SHARE = 0.12  # of the meeting is pauses between turns
_QUIET_SHARE = 0.04
_LONG_TURN = 5.0  # seconds; shorter turns get no back-channel
_BACKCHANNEL_DB = -4.0


@dataclass(frozen=True)
class Placed:
    """A piece at its time in the meeting."""

    piece: Piece
    start: float
    gain_db: float = 0.0

    @property
    def end(self) -> float:
        return self.start + self.piece.duration

    @property
    def speaker(self) -> str:
        return self.piece.reader.name


def converse(readers: Sequence[Reader], minutes: float, chance: random.Random) -> list[Placed]:
    """
    Lay out a meeting of about `minutes`, in which every reader speaks for at least 15 s.

    Args:
        readers: three or more; the last hardly speaks.

    Returns:
        pieces sorted by start; pieces of one reader do not overlap.
    """
    seconds = 60 * minutes * (1 - _SILENCE_SHARE)
    wanted = _shares(len(readers), seconds, chance)
    turns = [
        list(_monologue(reader, share, chance))
        for reader, share in zip(readers, wanted, strict=True)
    ]
    return sorted(
        _placed(_in_order(turns, chance), readers, chance), key=lambda placed: placed.start
    )


def reference(meeting: Sequence[Placed]) -> tuple[Turn, ...]:
    """Turns of the placed speech, sorted by start."""
    turns = [
        Turn(round(placed.start + span.start, 3), round(placed.start + span.end, 3), placed.speaker)
        for placed in meeting
        for span in placed.piece.speech
    ]
    return tuple(sorted(turns, key=lambda turn: turn.start))


def _shares(count: int, seconds: float, chance: random.Random) -> list[float]:
    """Seconds of speech for each reader, uneven by up to a factor of 4."""
    quiet = max(LEAST_SECONDS, _QUIET_SHARE * seconds)
    weights = [chance.uniform(1, 4) for _ in range(count - 1)]
    rest = (seconds - quiet) / sum(weights)
    return [*(max(LEAST_SECONDS, rest * weight) for weight in weights), quiet]


def _monologue(reader: Reader, seconds: float, chance: random.Random) -> Iterator[Piece]:
    """Pieces of 1 to 20 s that add up to `seconds` of speech."""
    said = 0.0
    while said < seconds:
        wanted = min(chance.choice([1.5, 3, 5, 8, 12, 20]), max(seconds - said, 2.0))
        piece = piece_of(reader, chance.uniform(0.6, 1) * wanted, chance)
        spoken = total_seconds(piece.speech)
        if piece.duration <= 20 and spoken >= 0.5 * piece.duration:
            said += spoken
            yield piece


def _in_order(turns: Sequence[list[Piece]], chance: random.Random) -> Iterator[Piece]:
    """Pieces in random order, by different readers in a row where possible."""
    last = -1
    while any(turns):
        others = [who for who, left in enumerate(turns) if left and who != last]
        last = chance.choices(others, [len(turns[who]) for who in others])[0] if others else last
        yield turns[last].pop()


def _placed(
    turns: Iterator[Piece], readers: Sequence[Reader], chance: random.Random
) -> Iterator[Placed]:
    last: Placed | None = None
    for piece in turns:
        placed = Placed(piece, _start(last, piece, chance), chance.uniform(-1.5, 1.5))
        between = last and placed.start - last.end > 0.25 and chance.random() < 0.1
        if last and between:
            word = _agreement(readers, {last.speaker, placed.speaker}, last.end + 0.1, chance)
            placed = Placed(piece, word.end + 0.1, placed.gain_db)
            yield word
        yield placed
        if placed.piece.duration > _LONG_TURN and chance.random() < 0.4:
            # Neighbouring turns overlap this one by at most 1.5 s; keep clear of them.
            at = chance.uniform(placed.start + 2, placed.end - 2.6)
            yield _agreement(readers, {placed.speaker}, at, chance)
        last = placed


def _start(last: Placed | None, piece: Piece, chance: random.Random) -> float:
    """After a short pause, or up to 1.5 s before the previous turn ends."""
    if last is None:
        return _LEAD
    same = last.piece.reader is piece.reader
    if not same and chance.random() < 0.25:
        longest = min(1.5, 0.4 * last.piece.duration, 0.4 * piece.duration)
        return last.end - chance.uniform(0.3, max(longest, 0.3))
    return last.end + chance.choice([chance.uniform(0.05, 0.5), chance.uniform(0.4, 1.6)])


def _agreement(
    readers: Sequence[Reader], but: set[str], start: float, chance: random.Random
) -> Placed:
    """A back-channel of a reader who is not in `but`."""
    others = [reader for reader in readers if reader.name not in but]
    return Placed(backchannel_of(chance.choice(others), chance), start, _BACKCHANNEL_DB)
