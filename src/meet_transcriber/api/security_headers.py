"""Security headers of every response."""

from collections.abc import Mapping

HEADERS: Mapping[bytes, bytes] = {
    b"content-security-policy": b"default-src 'none'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
}
"""From OWASP's REST Security Cheat Sheet; a header that the route sets wins."""

_HSTS = (b"strict-transport-security", b"max-age=31536000")
_CACHING = {b"cache-control", b"etag"}
_NO_STORE = (b"cache-control", b"no-store")


def complete_headers(given: list[tuple[bytes, bytes]], scheme: str) -> list[tuple[bytes, bytes]]:
    """Add `HEADERS`, `no-store` unless the route allows caching, and HSTS over HTTPS."""
    names = {name.lower() for name, _ in given}
    given += [(name, value) for name, value in HEADERS.items() if name not in names]
    if not names & _CACHING:
        given.append(_NO_STORE)
    if scheme == "https":
        given.append(_HSTS)
    return given
