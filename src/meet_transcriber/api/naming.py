"""File names that a browser may save under, whatever the recording was called."""

from urllib.parse import quote

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 -_.()")
_STEM_LENGTH = 120


def attachment(name: str, extension: str) -> str:
    """
    A Content-Disposition for a file made from the recording `name`.

    The quoted name is plain ASCII for old clients, `filename*` has all characters: RFC 6266
    and RFC 5987.
    """
    stem = _stem(name)
    plain = "".join(char if char in _PLAIN else "_" for char in stem)
    full = quote(f"{stem}.{extension}", safe="", errors="replace")
    return f"attachment; filename=\"{plain}.{extension}\"; filename*=UTF-8''{full}"


def _stem(name: str) -> str:
    """The name without path and ending, nothing in it that a file system minds."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    stem = last.rpartition(".")[0] or last
    kept = "".join(char for char in stem if char.isprintable() and char not in '<>:"|?*')
    return kept.strip(" .")[:_STEM_LENGTH] or "transcript"
