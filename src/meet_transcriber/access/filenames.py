"""The file name that a download carries: what the server says, or the end of its address."""

import re
import unicodedata
from urllib.parse import unquote

import httpx

FALLBACK = "recording"
_MOST_BYTES = 200
_MOST_SUFFIX_BYTES = 16
_EXTENDED = re.compile(r"(?:^|;)\s*filename\*\s*=\s*([\w-]+)'[^']*'([^;\s]+)", re.IGNORECASE)
_QUOTED = re.compile(r'(?:^|;)\s*filename\s*=\s*"((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_TOKEN = re.compile(r"(?:^|;)\s*filename\s*=\s*([^\s;\"]+)", re.IGNORECASE)


def file_name(disposition: str, url: httpx.URL) -> str:
    """
    Choose a name without folders, control or formatting characters, of 200 bytes at most.

    Args:
        disposition: the Content-Disposition header (RFC 6266), or nothing.
        url: where the download came from in the end.
    """
    path = url.raw_path.decode("ascii").partition("?")[0]
    named = (_disposition_name(disposition), unquote(path))
    return next((name for each in named if (name := _clean(each))), FALLBACK)


def _disposition_name(header: str) -> str:
    if extended := _EXTENDED.search(header):
        try:
            return unquote(extended[2], encoding=extended[1], errors="replace")
        except LookupError:
            return unquote(extended[2])
    if quoted := _QUOTED.search(header):
        return re.sub(r"\\(.)", r"\1", quoted[1])
    token = _TOKEN.search(header)
    return token[1] if token else ""


def _clean(name: str) -> str:
    """The last part of a path, without what shells, file systems or eyes stumble over."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    shown = (" " if char.isspace() else char for char in last if _is_shown(char))
    text = re.sub(r'[<>:"|?*]', "_", "".join(shown))
    return _shorten(re.sub(" +", " ", text).strip(" ."))


def _is_shown(char: str) -> bool:
    """False for control, formatting (text direction), surrogate and unassigned characters."""
    return char.isspace() or not unicodedata.category(char).startswith("C")


def _shorten(name: str) -> str:
    """Cut the stem and keep the suffix, which says what the file is."""
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix.encode()) > _MOST_SUFFIX_BYTES:
        stem, dot, suffix = name, "", ""
    room = _MOST_BYTES - len(f"{dot}{suffix}".encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip(" .") + dot + suffix
