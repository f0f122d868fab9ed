"""Assigns the phones of an utterance to its words."""

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from meet_transcriber.core.transcript import Span

PAUSE = "pau"


class Phone(NamedTuple):
    """A phone with its time; `pau` is silence."""

    name: str
    start: float
    end: float


def spread_words(expected: Sequence[Sequence[str]], said: Sequence[Phone]) -> list[Span]:
    """
    Return the time of each word.

    Args:
        expected: the phones of each word said alone; running speech changes some of them.
        said: the phones of the utterance, pauses among them.
    """
    phones = [phone for phone in said if phone.name != PAUSE]
    owners = _owners(expected, [phone.name for phone in phones])
    spans: list[Span] = []
    at = phones[0].start if phones else 0.0
    for word in range(len(expected)):
        own = [phone for phone, owner in zip(phones, owners, strict=True) if owner == word]
        # An omitted word has no duration and lies between its neighbours.
        spans.append(Span(own[0].start, own[-1].end) if own else Span(at, at))
        at = spans[-1].end
    return spans


def _owners(expected: Sequence[Sequence[str]], said: Sequence[str]) -> list[int]:
    """Return the index of each phone's word; never decreases."""
    names = [name for word in expected for name in word]
    words = [index for index, word in enumerate(expected) for _ in word]
    owners: list[int] = []
    matcher = SequenceMatcher(None, names, said, autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "insert":
            owners += [words[max(i1 - 1, 0)]] * (j2 - j1)
        else:
            owners += [words[i1 + at * (i2 - i1) // (j2 - j1)] for at in range(j2 - j1)]
    return owners
