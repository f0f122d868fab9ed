"""Sealing: only the same secret and context open it again, and only as it was written."""

import pytest

from meet_transcriber.auth.encryption import MonocypherSealer, derived_key
from meet_transcriber.core.errors import VoicesSealed

SEALER = MonocypherSealer(b"a secret of the operator")


@pytest.mark.parametrize("data", [b"", b"x", bytes(1 << 20)])
def test_sealed_data_opens_and_is_not_readable(data: bytes) -> None:
    sealed = SEALER.seal(data, "people:acme")
    assert SEALER.open(sealed, "people:acme") == data
    assert len(sealed) == len(data) + 41
    assert len(data) < 2 or data not in sealed


def test_sealing_twice_gives_different_bytes() -> None:
    assert SEALER.seal(b"ann", "c") != SEALER.seal(b"ann", "c")


def test_another_secret_or_context_opens_nothing() -> None:
    sealed = SEALER.seal(b"ann", "people:acme")
    for sealer, context in ((MonocypherSealer(b"another"), "people:acme"), (SEALER, "people:b")):
        with pytest.raises(VoicesSealed, match="VOICE_SECRET"):
            sealer.open(sealed, context)


def test_every_changed_or_missing_byte_is_detected() -> None:
    sealed = SEALER.seal(b"ann", "c")
    changed = [
        sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed))
    ]
    for damaged in [*changed, *(sealed[:size] for size in range(len(sealed)))]:
        with pytest.raises(VoicesSealed):
            SEALER.open(damaged, "c")


def test_keys_are_derived_as_in_rfc_5869() -> None:
    # its test case 3: SHA-256, no salt, no info; the first block of the output
    expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
    assert derived_key(bytes([0x0B] * 22), b"").hex() == expected
    assert derived_key(b"secret", b"one") != derived_key(b"secret", b"other")
