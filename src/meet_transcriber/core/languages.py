"""Languages and scripts: codes and names, and joining words with or without spaces."""

import difflib
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from meet_transcriber.core.errors import InvalidOptions

_NAMES = """
en english, zh chinese, de german, es spanish, ru russian, ko korean, fr french, ja japanese, pt
portuguese, tr turkish, pl polish, ca catalan, nl dutch, ar arabic, sv swedish, it italian, id
indonesian, hi hindi, fi finnish, vi vietnamese, he hebrew, uk ukrainian, el greek, ms malay, cs
czech, ro romanian, da danish, hu hungarian, ta tamil, no norwegian, th thai, ur urdu, hr
croatian, bg bulgarian, lt lithuanian, la latin, mi maori, ml malayalam, cy welsh, sk slovak, te
telugu, fa persian, lv latvian, bn bengali, sr serbian, az azerbaijani, sl slovenian, kn
kannada, et estonian, mk macedonian, br breton, eu basque, is icelandic, hy armenian, ne nepali,
mn mongolian, bs bosnian, kk kazakh, sq albanian, sw swahili, gl galician, mr marathi, pa
punjabi, si sinhala, km khmer, sn shona, yo yoruba, so somali, af afrikaans, oc occitan, ka
georgian, be belarusian, tg tajik, sd sindhi, gu gujarati, am amharic, yi yiddish, lo lao, uz
uzbek, fo faroese, ps pashto, tk turkmen, nn nynorsk, mt maltese, sa sanskrit, lb luxembourgish,
my myanmar, bo tibetan, tl tagalog, mg malagasy, as assamese, tt tatar, haw hawaiian, ln
lingala, ha hausa, ba bashkir, jw javanese, su sundanese, yue cantonese, ht haitian creole
"""

LANGUAGES = {code: " ".join(name) for code, *name in (entry.split() for entry in _NAMES.split(","))}
"""Codes of Whisper (mostly ISO 639-1) to lower-case English names, as OpenAI uses them."""
_BY_NAME = {name: code for code, name in LANGUAGES.items()}

CHINESE_SCRIPTS = ("zh-Hans", "zh-Hant")  # Chinese in simplified and traditional characters

# Other codes of the same languages: withdrawn, three-letter, members of a macrolanguage (IANA
# language subtag registry), and further names in use.
_ALIASES = {
    "iw": "he", "in": "id", "ji": "yi", "mo": "ro", "sh": "sr", "jv": "jw", "fil": "tl", "nb": "no",
    "nob": "no", "nno": "nn", "cmn": "zh", "zho": "zh", "chi": "zh", "eng": "en", "deu": "de",
    "ger": "de", "fra": "fr", "fre": "fr", "spa": "es", "ita": "it", "por": "pt", "nld": "nl",
    "dut": "nl", "jpn": "ja", "kor": "ko", "rus": "ru", "arb": "ar", "ara": "ar", "hin": "hi",
    "tha": "th", "tur": "tr", "pol": "pl", "ukr": "uk", "vie": "vi", "ind": "id", "heb": "he",
    "swe": "sv", "dan": "da", "fin": "fi", "nor": "no", "ces": "cs", "cze": "cs", "ell": "el",
    "gre": "el", "ron": "ro", "rum": "ro", "hun": "hu", "yue": "yue",
    "mandarin": "zh", "castilian": "es", "flemish": "nl", "burmese": "my", "pashto": "ps",
    "farsi": "fa", "haitian": "ht", "moldavian": "ro", "sinhalese": "si", "panjabi": "pa",
    "valencian": "ca", "letzeburgesch": "lb", "bokmål": "no", "filipino": "tl",
    "simplified chinese": "zh-Hans", "traditional chinese": "zh-Hant",
}  # fmt: skip
_HANT_REGIONS = frozenset({"hant", "tw", "hk", "mo"})
_HANS_REGIONS = frozenset({"hans", "cn", "sg", "my"})


def parse_language(text: str) -> str:
    """
    Return the language code for a code, a tag or an English name.

    `en`, `EN-us`, `english` and `eng` are `en`. A region is ignored except for Chinese, where it
    selects the script: `zh-TW` is `zh-Hant`.

    Raises:
        InvalidOptions: Whisper does not support the language; suggests the nearest it supports.
    """
    plain = text.strip().lower().replace("_", "-")
    found = _BY_NAME.get(plain) or _known_code(plain)
    if found:
        return found
    base, *rest = plain.split("-")
    code = _known_code(base) if rest else None
    if code is None:
        near = difflib.get_close_matches(plain, _BY_NAME, 1, 0.7) or difflib.get_close_matches(
            base, LANGUAGES, 1, 0.5
        )
        hint = f" Did you mean {near[0]}?" if near else ""
        raise InvalidOptions(f"{text[:40]!r} is not a language that Whisper supports.{hint}")
    if code == "zh" and not _HANT_REGIONS.isdisjoint(rest):
        return "zh-Hant"
    if code == "zh" and not _HANS_REGIONS.isdisjoint(rest):
        return "zh-Hans"
    return code


def base_language(code: str) -> str:
    """Return the code without its script: `zh` for `zh-Hant`."""
    return "zh" if code in CHINESE_SCRIPTS else code


def _known_code(code: str) -> str | None:
    return code if code in LANGUAGES else _ALIASES.get(code)


def language_name(code: str | None) -> str:
    """Return the English name, the code itself if there is none, `unknown` for None."""
    return LANGUAGES.get(base_language(code), code) if code else "unknown"


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
_SMALL_KANA = "ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶー々ゝゞヽヾ"  # extend the kana before
_EXTENDING = frozenset(f"\u0e33\u0eb3\u200c\u200d{_SMALL_KANA}")  # Thai and Lao AM, joiners
# Signs that stack the next letter: Indic linkers (UAX 29, GB9c), Myanmar's, Khmer's, the joiner.
_STACKING = frozenset("\u094d\u09cd\u0acd\u0b4d\u0c4d\u0d4d\u1039\u17d2\u200d")

_PIECE = re.compile(r"(\s*)(\S+)")

SPACELESS = "".join(f"{chr(low)}-{chr(high)}" for low, high in _SPACELESS)
"""The same ranges for use in a character class of a regular expression."""
_SPACELESS_CHARACTER = re.compile(f"[{SPACELESS}]")


@lru_cache(maxsize=1 << 12)
def is_spaceless(character: str) -> bool:
    """Return whether the script of a character is written without spaces between words."""
    point = ord(character)
    if point < _FIRST:  # the common case
        return False
    return any(low <= point <= high for low, high in _SPACELESS)


def attaches(left: str, right: str) -> bool:
    """
    Return whether the character `right` belongs to the one before it (UAX 29, grapheme clusters).

    True for combining marks and joiners, Thai and Lao AM, and a letter after a stacking sign.
    Also for small kana and signs that repeat or lengthen, which are never separated in writing.
    Without `left` only characters that never stand alone count.
    """
    if unicodedata.category(right)[0] == "M" or right in _EXTENDING:
        return True
    return left in _STACKING


def split_clusters(text: str) -> list[str]:
    """Split a text into letters with their marks (grapheme clusters)."""
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
        for at, word in enumerate(_split_piece(piece)):
            beside = is_spaceless(word[0]) or (bool(words) and is_spaceless(words[-1][-1]))
            words.append(f" {word}" if space and at == 0 and beside else word)
    return words


def split_at_spaces(text: str) -> list[str]:
    """Split a text at spaces; `join_words` restores it, as for `split_words`."""
    words: list[str] = []
    for piece in text.split():
        missing = bool(words) and not needs_space(words[-1], piece)
        words.append(f" {piece}" if missing else piece)
    return words


def _split_piece(piece: str) -> list[str]:
    found: list[str] = []
    for cluster in split_clusters(piece):
        if found and not (is_spaceless(cluster[0]) or is_spaceless(found[-1][0])):
            found[-1] += cluster
        else:
            found.append(cluster)
    return found


def needs_space(left: str, right: str) -> bool:
    """Return whether joining two pieces of text requires a space."""
    if not left or not right or right[0].isspace():
        return False
    return not (is_spaceless(left[-1]) or is_spaceless(right[0]))


def join_words(texts: Iterable[str]) -> str:
    """Join words into text, with spaces only where the script uses them."""
    texts = list(texts)
    joined = " ".join(texts)
    # The usual case, ten times faster: neither scripts without spaces, nor spaces or nothing in
    # a word. `isprintable` excludes all other white space.
    alphabetic = joined.isascii() or _SPACELESS_CHARACTER.search(joined) is None
    if alphabetic and "  " not in joined and joined.isprintable():
        return joined.strip()
    pieces: list[str] = []
    for text in texts:
        if pieces and needs_space(pieces[-1], text):
            pieces.append(" ")
        pieces.append(text)
    return "".join(pieces).strip()


_ACCENTS = re.compile("[\u0300-\u036f]")
_LONG_RUN = re.compile(r"([^\w\s]{30})[^\w\s]+")
_HALF_WIDTH_MARKS = {0xFF9E: "\u3099", 0xFF9F: "\u309a"}
"""The only letters that decompose to marks alone."""


def fold(text: str) -> str:
    """
    The text for a search that ignores case, accents and full-width forms.

    Of more than 30 marks or signs in a row the first 30 are kept, more than any word has
    (UAX #15, 13.1): normalization sorts the marks after a letter in quadratic time.
    """
    if text.isascii():
        return text.lower()
    text = _LONG_RUN.sub(r"\1", text.translate(_HALF_WIDTH_MARKS))
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    return unicodedata.normalize("NFKC", bare).casefold()
