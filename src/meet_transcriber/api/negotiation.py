"""What a caller would rather have, as Accept says it."""

from collections.abc import Mapping

from starlette.exceptions import HTTPException


def best(accept: str | None, offered: Mapping[str, str]) -> str:
    """
    The value of the offered media type that the caller likes best.

    Of several equals the first offered wins, and without an Accept it does, too.

    Raises:
        HTTPException: 406, when none is acceptable.
    """
    wishes = _wishes(accept or "*/*")
    ranked = [(_quality(kind, wishes), -at) for at, kind in enumerate(offered)]
    quality, place = max(ranked, default=(0.0, 0))
    if quality <= 0:
        raise HTTPException(406, f"There are: {', '.join(offered)}.")
    return list(offered.values())[-place]


def _wishes(accept: str) -> dict[str, float]:
    wishes: dict[str, float] = {}
    for item in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        wishes[kind] = _number(quality)
    return wishes


def _number(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0


def _quality(kind: str, wishes: Mapping[str, float]) -> float:
    """The nearest range counts: the type itself, then its family, then anything."""
    family = kind.partition("/")[0] + "/*"
    return next((wishes[each] for each in (kind, family, "*/*") if each in wishes), 0.0)
