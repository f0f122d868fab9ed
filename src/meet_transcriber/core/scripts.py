"""
Script-aware joining of words: Chinese, Japanese and Thai take no spaces.

Where such a script was written with a space all the same (Thai between phrases, Chinese around
Latin words), the word after it begins with that space.
"""

import re
import unicodedata
from collections.abc import Iterable

# Scripts written without spaces between words, as Unicode ranges (Unicode 15, Blocks.txt),
# with the full-width punctuation that belongs to them. Korean is absent: it uses spaces.
_SPACELESS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x2FDF),  # CJK and Kangxi radicals
    (0x3000, 0x30FF),  # CJK punctuation, Hiragana, Katakana
    (0x31F0, 0x31FF),  # Katakana extensions
    (0x3400, 0x4DBF),  # CJK extension A
    (0x4E00, 0x9FFF),  # CJK ideographs
    (0xF900, 0xFAFF),  # CJK compatibility
    (0xFE30, 0xFE4F),  # CJK compatibility forms
    (0xFF00, 0xFFEF),  # full-width forms
    (0x20000, 0x3FFFF),  # CJK extensions B and later
)

_FIRST = _SPACELESS[0][0]
_SMALL_KANA = "ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶー々ゝゞヽヾ"  # part of the kana before
_EXTENDING = frozenset(f"\u0e33\u0eb3\u200c\u200d{_SMALL_KANA}")  # Thai and Lao AM, joiners
# Signs that stack the next letter: Indic linkers (UAX 29, GB9c), Myanmar's, Khmer's, the joiner.
_STACKING = frozenset("\u094d\u09cd\u0acd\u0b4d\u0c4d\u0d4d\u1039\u17d2\u200d")

_PIECE = re.compile(r"(\s*)(\S+)")

SPACELESS = "".join(f"{chr(low)}-{chr(high)}" for low, high in _SPACELESS)
"""The same characters, as a set of a regular expression has them."""


def is_spaceless(character: str) -> bool:
    """Whether the character's script is written without spaces between words."""
    point = ord(character)
    if point < _FIRST:  # most characters of most meetings
        return False
    return any(low <= point <= high for low, high in _SPACELESS)


def attaches(left: str, right: str) -> bool:
    """
    Whether the character `right` belongs to the character before it (UAX 29, extended clusters).

    Combining marks and joiners do, Thai and Lao AM, and what follows a sign that stacks letters.
    Small kana and signs that repeat or lengthen do, too: nobody parts them in writing.
    Without `left` only what can never stand by itself does.
    """
    if unicodedata.category(right)[0] == "M" or right in _EXTENDING:
        return True
    return left in _STACKING


def clusters(text: str) -> list[str]:
    """What a reader takes for single characters: letters with their marks."""
    found: list[str] = []
    for character in text:
        if found and attaches(found[-1][-1], character):
            found[-1] += character
        else:
            found.append(character)
    return found


def split_words(text: str) -> list[str]:
    """
    Words of a text, and single clusters where the script has no spaces.

    `join_words` gives the text back, with one space for any run of them.
    """
    words: list[str] = []
    for space, piece in _PIECE.findall(text):
        for at, word in enumerate(_apart(piece)):
            beside = is_spaceless(word[0]) or (bool(words) and is_spaceless(words[-1][-1]))
            words.append(f" {word}" if space and at == 0 and beside else word)
    return words


def spaced_words(text: str) -> list[str]:
    """What stands between spaces; `join_words` gives the text back as `split_words` has it."""
    words: list[str] = []
    for piece in text.split():
        missing = bool(words) and not needs_space(words[-1], piece)
        words.append(f" {piece}" if missing else piece)
    return words


def _apart(piece: str) -> list[str]:
    found: list[str] = []
    for cluster in clusters(piece):
        if found and not (is_spaceless(cluster[0]) or is_spaceless(found[-1][0])):
            found[-1] += cluster
        else:
            found.append(cluster)
    return found


def needs_space(left: str, right: str) -> bool:
    """Whether a space is missing between two neighbouring pieces of text."""
    if not left or not right or right[0].isspace():
        return False
    return not (is_spaceless(left[-1]) or is_spaceless(right[0]))


def join_words(texts: Iterable[str]) -> str:
    """Join words into running text, with spaces only where the script has them."""
    pieces: list[str] = []
    for text in texts:
        if pieces and needs_space(pieces[-1], text):
            pieces.append(" ")
        pieces.append(text)
    return "".join(pieces).strip()
