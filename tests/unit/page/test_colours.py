"""The page's colours can be read: WCAG 2.2, 1.4.3 (AA), in both themes."""

import re
from importlib.resources import files
from itertools import product

import pytest

STYLE = (files("meet_transcriber") / "page" / "style.css").read_text()
BLOCKS = dict(re.findall(r'(:root(?:\[data-theme="dark"\])?) \{(.*?)\n\}', STYLE, re.DOTALL))
LIGHT = dict(re.findall(r"--([\w-]+): (#\w{6});", BLOCKS[":root"]))
DARK = dict(re.findall(r"--([\w-]+): (#\w{6});", BLOCKS[':root[data-theme="dark"]']))
SPEAKERS = [f"speaker-{at}" for at in range(8)]
PAIRS = [
    *product(["text", "text-quiet", "accent", *SPEAKERS], ["ground", "surface", "raised"]),
    ("text-quiet", "sunken"),
    ("text", "hit"),
    ("text", "accent-soft"),
    ("accent", "accent-soft"),
    ("on-accent", "accent"),
    *((name, f"{name}-soft") for name in ("good", "bad", "doubt")),
    *(("text", f"{name}-soft") for name in ("good", "bad", "doubt")),
]


def luminance(colour: str) -> float:
    """Relative luminance as WCAG defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_has_enough_contrast(theme: dict[str, str]) -> None:
    low = [pair for pair in PAIRS if contrast(theme[pair[0]], theme[pair[1]]) < 4.5]
    assert low == []


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_fields_have_enough_contrast(theme: dict[str, str]) -> None:
    assert contrast(theme["line-strong"], theme["surface"]) >= 3.0  # 1.4.11


def test_eight_speakers_have_distinct_colours() -> None:
    assert len({LIGHT[name] for name in SPEAKERS}) == len({DARK[name] for name in SPEAKERS}) == 8
