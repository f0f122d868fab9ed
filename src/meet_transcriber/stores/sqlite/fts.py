"""Text as a full-text index should see it, and queries that cannot break its syntax.

Whatever differs between writing and asking is folded here, not in the index: case, accents,
full-width forms. Characters of scripts without spaces become words of their own, so that a
query finds them as a phrase anywhere; so do Korean syllables, for particles stick to words.
"""

import re
import unicodedata

from meet_transcriber.core.languages import is_spaceless

_ACCENTS = re.compile("[\u0300-\u036f]")
_HANGUL = range(0xAC00, 0xD7A4)


def searchable(text: str) -> str:
    """The text with words folded and apart from each other."""
    if text.isascii():
        return text.lower().replace("\0", " ")
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    whole = unicodedata.normalize("NFKC", bare).casefold().replace("\0", " ")
    spaced = "".join(f" {char} " if _stands_alone(char) else char for char in whole)
    return spaced.encode("utf-8", "replace").decode("utf-8")


def match_expression(query: str) -> str:
    """An FTS5 expression for all words of a query; empty when it has none."""
    phrases = [searchable(word) for word in query.split()]
    quoted = [f'"{phrase}"' for phrase in (_without_quotes(phrase) for phrase in phrases)]
    return " AND ".join(phrase for phrase in quoted if any(map(str.isalnum, phrase)))


def _stands_alone(char: str) -> bool:
    return not char.isascii() and (is_spaceless(char) or ord(char) in _HANGUL)


def _without_quotes(phrase: str) -> str:
    return " ".join(phrase.replace('"', " ").split())
