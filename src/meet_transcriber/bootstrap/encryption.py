"""Settings to what voices are sealed with."""

import os
import secrets
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from meet_transcriber.core.errors import InvalidOptions, StorageError
from meet_transcriber.ports.auth import Sealer
from meet_transcriber.settings import Settings

_KEY = "voices.key"
_SHORTEST = 16
_LOOKS, _PAUSE_SECONDS = 10, 0.02


def sealer(settings: Settings) -> Sealer | None:
    """
    What seals voices; None where none is kept.

    Raises:
        InvalidOptions: there is no VOICE_SECRET although several machines need the same one.
        StorageError: the key in DATA_DIR cannot be read or made.
    """
    if settings.voice_profiles == "off":
        return None
    from meet_transcriber.auth.encryption import MonocypherSealer

    return MonocypherSealer(_secret(settings))


def _secret(settings: Settings) -> bytes:
    if settings.voice_secret is not None:
        secret = settings.voice_secret.get_secret_value().encode()
        if len(secret) < _SHORTEST:
            raise InvalidOptions(
                f"VOICE_SECRET is shorter than {_SHORTEST} characters; `openssl rand -hex 32` "
                "makes a good one."
            )
        return secret
    if settings.redis_url is not None:
        raise InvalidOptions(
            "VOICE_PROFILES=on with REDIS_URL needs VOICE_SECRET, the same for the API and every "
            "worker: without it nobody could read what another one sealed. `openssl rand -hex 32` "
            "makes one."
        )
    return _own_key(settings.data_dir)


def _own_key(folder: Path) -> bytes:
    """The key of this machine, made once, for its owner alone."""
    path = folder / _KEY
    try:
        if not path.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make(path)
        key = _read(path)
    except OSError as error:
        raise StorageError(f"{path} cannot be used: {error.strerror or error}.") from error
    if len(key) < _SHORTEST:
        raise StorageError(
            f"{path} holds no key; bring it back from where you keep a copy, or remove it and "
            "the objects below voices/ to begin anew."
        )
    return key


def _read(path: Path) -> bytes:
    """The key; waits a little for a process that is just writing it."""
    for _ in range(_LOOKS):
        if len(key := path.read_bytes().strip()) >= _SHORTEST:
            break
        time.sleep(_PAUSE_SECONDS)
    return key


def _make(path: Path) -> None:
    """Write it aside first: of several processes the first one's key counts, and is whole."""
    from meet_transcriber.stores.disk import flush_folder

    file, name = tempfile.mkstemp(prefix=f".{_KEY}.", dir=path.parent)  # for its owner alone
    try:
        _write(file, f"{secrets.token_hex(32)}\n".encode())
        with suppress(FileExistsError):
            try:
                os.link(name, path)
            except FileExistsError:
                raise
            except OSError:  # a file system without hard links
                _copy(Path(name), path)
        with suppress(OSError):  # a file system that synchronizes no folders
            flush_folder(path.parent)
    finally:
        Path(name).unlink(missing_ok=True)


def _copy(source: Path, path: Path) -> None:
    """Write the key in one go, unless there is one; raises FileExistsError."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    _write(file, source.read_bytes())


def _write(file: int, data: bytes) -> None:
    with os.fdopen(file, "wb") as writer:
        writer.write(data)
        writer.flush()
        os.fsync(writer.fileno())  # what was sealed with a lost key is lost
