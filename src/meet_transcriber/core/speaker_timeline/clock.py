"""Times as timelines write them: seconds, elapsed times, times of day."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_SECONDS = re.compile(r"\d{1,9}(?:[.,]\d{1,9})?", re.ASCII)
_CLOCK = re.compile(
    r"(?P<date>\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4},?[ T]\s?)?"
    r"(?P<a>\d{1,3}):(?P<b>[0-5]\d)(?::(?P<c>[0-5]\d)(?:[.,](?P<d>\d{1,9}))?|\.(?P<e>\d{1,9}))?"
    r"(?:\s?(?P<half>[AaPp])\.?[Mm]\.?)?"
    r"(?:\s?(?:Z|UTC|[+-]\d\d:?\d\d))?",
    re.ASCII,
)
_DAY, _HALF_DAY = 86_400.0, 43_200.0


class Moment(NamedTuple):
    """Seconds from the timeline's own zero; `of_day` where they were written as a time of day."""

    seconds: float
    of_day: bool = False


def read_moment(text: str) -> Moment | None:
    """
    `83.5`, `1:23.5`, `00:01:23,500`, `10:01:23 AM` or `2026-11-24T10:01:23Z`; else None.

    Of a date only its time of day is kept: orders of day and month differ, and a meeting that
    passes midnight is told by times that fall (see `unwrapped`).
    """
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return Moment(float(text.replace(",", ".")))
    found = _CLOCK.fullmatch(text.replace("\u202f", " "))  # what Chromium puts before AM
    if found is None:
        return None
    of_day = bool(found["date"] or found["half"])
    first, second = int(found["a"]), int(found["b"])
    rest = float(f"{found['c'] or 0}.{found['d'] or found['e'] or 0}")
    if found["c"] is None and not of_day:  # minutes and seconds
        return Moment(first * 60 + second + rest)
    if found["half"]:
        first = first % 12 + (12 if found["half"] in "Pp" else 0)
    return Moment(first * 3600.0 + second * 60 + rest, of_day)


def unwrapped(seconds: Iterator[float]) -> Iterator[float]:
    """Times of day in order of writing, with a day added wherever midnight was passed."""
    days, before = 0.0, 0.0
    for each in seconds:
        if each + days < before - _HALF_DAY:
            days += _DAY
        before = each + days
        yield before
