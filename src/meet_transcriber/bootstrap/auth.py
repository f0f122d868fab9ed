"""Settings to the keyring, the audit trail, rate limits, and the encryption of voices."""

import os
import secrets
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from meet_transcriber.core.auth import NewKey
from meet_transcriber.core.errors import InvalidOptions, StorageError
from meet_transcriber.ports.auth import AuditTrail, Keyring, RateLimiter, Sealer
from meet_transcriber.ports.stores import Clock, JobStore
from meet_transcriber.settings import Settings, make_data_dir, redis_address

_LIMITER_TIMEOUT_SECONDS = 1.0
"""How long a request waits for a Redis that does not respond, once in a while."""


@dataclass(frozen=True)
class AuthContext:
    """
    How requests are authenticated and audited.

    Attributes:
        mode: AUTH_MODE.
        names: whether the audit trail may contain the names of recordings.
    """

    mode: str
    keyring: Keyring
    trail: AuditTrail
    names: bool = False


def build_auth(settings: Settings, jobs: JobStore, clock: Clock = time.time) -> AuthContext:
    """
    Keyring and audit trail on these stores.

    Args:
        clock: that all processes share, by which keys and sessions expire.

    Raises:
        InvalidOptions: API_KEYS is unusable.
    """
    from meet_transcriber.auth.keyring import ApiKeyring, read_static

    keyring = ApiKeyring(
        jobs.keys,
        lambda: _pepper(settings, jobs),
        clock,
        read_static(_static_keys(settings)),
        jobs.set_fact_once,
    )
    trail = _trail(settings, jobs)
    return AuthContext(settings.auth_mode, keyring, trail, settings.audit_file_names)


def _pepper(settings: Settings, jobs: JobStore) -> bytes:
    """The configured secret, or one that is generated once per JobStore."""
    from meet_transcriber.auth.keyring import new_secret

    if settings.api_key_pepper is not None:
        return settings.api_key_pepper.get_secret_value().encode()
    name = "key_pepper"
    return (jobs.get_fact(name) or jobs.set_fact_once(name, new_secret())).encode()


def _static_keys(settings: Settings) -> str:
    given = settings.api_keys.get_secret_value() if settings.api_keys else ""
    if settings.api_keys_file is None:
        return given
    try:
        return f"{given},{settings.api_keys_file.read_text(encoding='utf-8')}"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not valid UTF-8"
        raise InvalidOptions(f"API_KEYS_FILE cannot be read: {reason}.") from error


def _trail(settings: Settings, jobs: JobStore) -> AuditTrail:
    from meet_transcriber.auth.audit_log import FileTrail

    if settings.audit_log is None and settings.redis_url is not None:
        from meet_transcriber.stores.redis.jobs import RedisJobStore

        if isinstance(jobs, RedisJobStore):
            return jobs.trail
    return FileTrail(settings.audit_log or settings.data_dir / "audit.jsonl")


def first_key(settings: Settings, keyring: Keyring) -> tuple[NewKey, Path] | None:
    """
    Create the first administrator's key in DATA_DIR/admin.key, readable by its owner only.

    None where there is any key, or was such a key before. Raises StorageError.
    """
    if keyring.list_keys():
        return None
    make_data_dir(settings)
    path = settings.data_dir / "admin.key"
    try:
        # opened before the key is made, which would be lost if it could not be written
        file, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            created = keyring.create_first()
            _write(file, f"{created.token}\n".encode() if created else b"")
            if created is None:
                return None
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror or error}.") from error
    return created, path


def limits(settings: Settings) -> RateLimiter:
    """
    Rate limits, counted where all processes share them; none with AUTH_MODE=loopback.

    Connects to nothing yet. Raises InvalidOptions, which names the setting, for a malformed rate.
    """
    from meet_transcriber.auth.rate_limiter import Counters, RequestLimiter, parse_rate

    address = redis_address(settings)
    if address is None:
        counters = Counters()
    else:
        from meet_transcriber.stores.redis.client import build_client
        from meet_transcriber.stores.redis.rate_limits import RedisCounters

        counters = Counters(RedisCounters(build_client(address, _LIMITER_TIMEOUT_SECONDS)))
    limiter = RequestLimiter(
        counters,
        requests=parse_rate(settings.rate_limit, "RATE_LIMIT"),
        submits=parse_rate(settings.rate_limit_submit, "RATE_LIMIT_SUBMIT"),
        failures=parse_rate(settings.rate_limit_failed_auth, "RATE_LIMIT_FAILED_AUTH"),
    )
    return RequestLimiter(counters) if settings.auth_mode == "loopback" else limiter


# -- encryption of voices ----------------------------------------------------------------------

_KEY = "voices.key"
_MIN_CHARACTERS = 16
_READ_ATTEMPTS, _READ_PAUSE_SECONDS = 10, 0.02


def sealer(settings: Settings) -> Sealer | None:
    """
    Encrypts voices; None with VOICE_PROFILES=off.

    Raises:
        InvalidOptions: VOICE_SECRET is unset although several machines must share it, or too short.
        StorageError: the key in DATA_DIR cannot be read or created.
    """
    if settings.voice_profiles == "off":
        return None
    from meet_transcriber.auth.encryption import MonocypherSealer

    return MonocypherSealer(_voice_secret(settings))


def _voice_secret(settings: Settings) -> bytes:
    if settings.voice_secret is not None:
        secret = settings.voice_secret.get_secret_value().encode()
        if len(secret) < _MIN_CHARACTERS:
            raise InvalidOptions(
                f"VOICE_SECRET is shorter than {_MIN_CHARACTERS} characters; "
                "`openssl rand -hex 32` makes a good one."
            )
        return secret
    if settings.redis_url is not None:
        raise InvalidOptions(
            "VOICE_PROFILES=on with REDIS_URL needs VOICE_SECRET, the same for the API and every "
            "worker, so that each can read what another one encrypted. `openssl rand -hex 32` "
            "makes one."
        )
    return _local_key(settings.data_dir)


def _local_key(folder: Path) -> bytes:
    """The key of this machine, created once and readable by its owner only."""
    path = folder / _KEY
    try:
        if not path.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _create_key(path)
        key = _read_key(path)
    except OSError as error:
        raise StorageError(f"{path} cannot be used: {error.strerror or error}.") from error
    if len(key) < _MIN_CHARACTERS:
        raise StorageError(
            f"{path} does not contain a key; restore it from a backup, or remove it and the "
            "objects below voices/ to start over."
        )
    return key


def _read_key(path: Path) -> bytes:
    """The key; waits briefly for another process that is writing it."""
    for _ in range(_READ_ATTEMPTS):
        if len(key := path.read_bytes().strip()) >= _MIN_CHARACTERS:
            break
        time.sleep(_READ_PAUSE_SECONDS)
    return key


def _create_key(path: Path) -> None:
    """Write a temporary file and link it: of several processes the first one's key counts."""
    from meet_transcriber.stores.disk import flush_folder

    file, name = tempfile.mkstemp(prefix=f".{_KEY}.", dir=path.parent)  # readable by its owner
    try:
        _write(file, f"{secrets.token_hex(32)}\n".encode())
        with suppress(FileExistsError):
            try:
                os.link(name, path)
            except FileExistsError:
                raise
            except OSError:  # a file system without hard links
                copy = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                _write(copy, Path(name).read_bytes())
        with suppress(OSError):  # a file system that cannot synchronize folders
            flush_folder(path.parent)
    finally:
        Path(name).unlink(missing_ok=True)


def _write(file: int, data: bytes) -> None:
    with os.fdopen(file, "wb") as writer:
        writer.write(data)
        writer.flush()
        os.fsync(writer.fileno())  # data encrypted with a lost key is lost
