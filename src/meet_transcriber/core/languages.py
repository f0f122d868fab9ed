"""
Codes and names of languages: what callers write, and what it means here.

The codes are those of Whisper (openai/whisper: tokenizer.py), which are ISO 639-1 where there is
one, and `zh-Hans` and `zh-Hant` for Chinese in a certain script.
"""

import difflib

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
"""ISO 639 code to English name in lower case, as OpenAI answers it."""


CHINESE_SCRIPTS = ("zh-Hans", "zh-Hant")
"""Chinese in simplified and in traditional characters."""

# Other codes of the same languages: withdrawn ones, three-letter ones, parts of a macrolanguage
# (IANA language subtag registry), and names that OpenAI's models and people use.
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
    Return the code of a language that somebody wrote as a code, a tag or a name.

    `en`, `EN-us`, `english` and `eng` are `en`. A region says nothing except for Chinese, where it
    tells the script: `zh-TW` is `zh-Hant`.

    Raises:
        InvalidOptions: Whisper does not know the language; names the nearest that it knows.
    """
    plain = text.strip().lower().replace("_", "-")
    found = _BY_NAME.get(plain) or _known(plain)
    if found:
        return found
    base, *rest = plain.split("-")
    code = _known(base) if rest else None
    if code is None:
        near = difflib.get_close_matches(plain, _BY_NAME, 1, 0.7) or difflib.get_close_matches(
            base, LANGUAGES, 1, 0.5
        )
        hint = f" Did you mean {near[0]}?" if near else ""
        raise InvalidOptions(f"{text[:40]!r} is not a language that Whisper knows.{hint}")
    if code == "zh" and not _HANT_REGIONS.isdisjoint(rest):
        return "zh-Hant"
    if code == "zh" and not _HANS_REGIONS.isdisjoint(rest):
        return "zh-Hans"
    return code


def spoken_code(code: str) -> str:
    """The language of a code, whatever its script: `zh` for `zh-Hant`."""
    return "zh" if code in CHINESE_SCRIPTS else code


def _known(code: str) -> str | None:
    return code if code in LANGUAGES else _ALIASES.get(code)


_BY_NAME = {name: code for code, name in LANGUAGES.items()}


def language_name(code: str | None) -> str:
    """The English name, the code itself where there is none, `unknown` for None."""
    return LANGUAGES.get(spoken_code(code), code) if code else "unknown"
