"""Where sentences and clauses end, in any script."""

from collections.abc import Sequence

from meet_transcriber.core.transcript import Word

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
