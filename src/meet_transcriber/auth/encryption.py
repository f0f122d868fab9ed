"""Encrypts with XChaCha20-Poly1305 (Monocypher) under a key derived from a secret."""

import hashlib
import hmac
import os

import monocypher

from meet_transcriber.core.errors import VoicesSealed

_VERSION = b"\x01"
_NONCE_BYTES, _MAC_BYTES, _KEY_BYTES = 24, 16, 32
_PURPOSE = b"meet-transcriber voices 1"


class MonocypherSealer:
    """
    A Sealer. Its format: version (1 byte), nonce (24), tag (16), ciphertext.

    The nonce is random, which 24 bytes allow. The context is authenticated, so that data of one
    tenant or job cannot be decrypted for another.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = derived_key(secret, _PURPOSE)

    def seal(self, data: bytes, context: str) -> bytes:
        """Encrypt for this context."""
        nonce = os.urandom(_NONCE_BYTES)
        tag, ciphertext = monocypher.lock(self._key, nonce, data, _VERSION + context.encode())
        return bytes(_VERSION + nonce + tag + ciphertext)

    def open(self, sealed: bytes, context: str) -> bytes:
        """Decrypt; raises VoicesSealed."""
        version, rest = sealed[:1], sealed[1:]
        nonce, rest = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
        tag, ciphertext = rest[:_MAC_BYTES], rest[_MAC_BYTES:]
        data = None
        if version == _VERSION and len(tag) == _MAC_BYTES:
            data = monocypher.unlock(self._key, nonce, tag, ciphertext, version + context.encode())
        if data is None:
            raise VoicesSealed(
                "The stored voices cannot be decrypted: they were encrypted with another secret "
                "(VOICE_SECRET, or voices.key in DATA_DIR), or are damaged. Restore that secret; "
                "or delete the objects below voices/, rerun the task diarize of meetings and "
                "enroll people again."
            )
        return bytes(data)


def derived_key(secret: bytes, purpose: bytes) -> bytes:
    """HKDF-SHA-256 (RFC 5869) without salt, one block: 32 bytes for one purpose."""
    extracted = hmac.digest(bytes(_KEY_BYTES), secret, hashlib.sha256)
    return hmac.digest(extracted, purpose + b"\x01", hashlib.sha256)
