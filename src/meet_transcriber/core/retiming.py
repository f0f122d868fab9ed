"""Times of words that people put in place of others."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from math import inf

from meet_transcriber.core.transcript import Word


def retimed(words: Sequence[Word], texts: Sequence[str], until: float = inf) -> Iterator[Word]:
    """
    New words in the time of the old: what stayed keeps its time, the rest shares the gaps.

    Args:
        until: when the word behind them begins.
    """
    matcher = SequenceMatcher(None, [word.text for word in words], texts, autojunk=False)
    for tag, old, old_end, new, new_end in matcher.get_opcodes():
        if tag == "equal":
            yield from words[old:old_end]
        elif new_end - new == old_end - old:
            for word, text in zip(words[old:old_end], texts[new:new_end], strict=True):
                yield replace(word, text=text, probability=None)
        else:
            following = words[old_end].start if old_end < len(words) else until
            yield from _spread(words, slice(old, old_end), texts[new:new_end], following)


def _spread(
    words: Sequence[Word], replaced: slice, texts: Sequence[str], following: float
) -> Iterator[Word]:
    """
    These texts, evenly over the words they replace, or over the gap they were put into; none
    begins after the word behind them, which may run into the one before.
    """
    place, old = replaced.start, words[replaced]
    inserted = not old and place > 0
    start = min(words[place - 1].end, following) if inserted else words[place].start
    end = min(max(word.end for word in old or words), following)
    speaker = words[min(place, len(words) - 1)].speaker
    step = (end - start) / max(len(texts), 1)
    for number, text in enumerate(texts):
        begin = start + number * step
        yield Word(text, begin, begin + step, None, speaker, estimated=True)
