"""Chinese in one script: simplified, unless traditional characters are asked for."""

from collections.abc import Sequence
from functools import cache
from typing import Any

_CONFIGS = {"zh-Hans": "t2s", "zh-Hant": "s2t"}


def in_script(texts: Sequence[str], script: str | None) -> list[str]:
    """
    Return pieces of Chinese text in one script, one for one.

    Whisper writes either script, whichever it was reminded of.

    Args:
        texts: in order; together they make the text.
        script: `zh-Hans` or `zh-Hant`; None is simplified, the likely script of `zh` (CLDR,
            likely subtags).
    """
    converter = _converter(_CONFIGS[script or "zh-Hans"])
    whole = "".join(texts)
    converted: str = converter.convert(whole)
    if len(converted) != len(whole):
        return [converter.convert(text) for text in texts]
    result, at = [], 0
    for text in texts:
        result.append(converted[at : at + len(text)])
        at += len(text)
    return result


@cache
def _converter(config: str) -> Any:
    import opencc  # noqa: PLC0415 - native code, loaded only where Chinese is spoken

    return opencc.OpenCC(config)
