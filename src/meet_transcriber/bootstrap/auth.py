"""Settings to the keyring, the audit trail, and rate limits."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from meet_transcriber.bootstrap.services import make_data_dir, redis_address
from meet_transcriber.core.auth import NewKey
from meet_transcriber.core.errors import InvalidOptions, StorageError
from meet_transcriber.core.rate_limit import Limits
from meet_transcriber.ports.auth import AuditTrail, Keyring
from meet_transcriber.ports.stores import JobStore
from meet_transcriber.settings import Settings


@dataclass(frozen=True)
class AuthContext:
    """
    Who may come in, and where it is written down.

    Attributes:
        mode: as AUTH_MODE has it.
        names: whether the trail may tell the names of recordings.
    """

    mode: str
    keyring: Keyring
    trail: AuditTrail
    names: bool = False


def build_auth(settings: Settings, jobs: JobStore) -> AuthContext:
    """
    What the settings ask for, on these stores; none of them is asked anything yet.

    Raises:
        InvalidOptions: API_KEYS makes no sense, or its file cannot be read.
    """
    from meet_transcriber.auth.keyring import ApiKeyring, read_static

    keyring = ApiKeyring(
        jobs.keys,
        lambda: _pepper(settings, jobs),
        time.time,
        read_static(_static_keys(settings)),
        jobs.settle,
    )
    return AuthContext(
        settings.auth_mode, keyring, _trail(settings, jobs), settings.audit_file_names
    )


def _pepper(settings: Settings, jobs: JobStore) -> bytes:
    """The configured secret, or one that is made up once per JobStore."""
    from meet_transcriber.auth.keyring import new_secret

    if settings.api_key_pepper is not None:
        return settings.api_key_pepper.get_secret_value().encode()
    name = "key_pepper"
    return (jobs.recall(name) or jobs.settle(name, new_secret())).encode()


def _static_keys(settings: Settings) -> str:
    given = settings.api_keys.get_secret_value() if settings.api_keys else ""
    if settings.api_keys_file is None:
        return given
    try:
        return f"{given},{settings.api_keys_file.read_text(encoding='utf-8')}"
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8"
        raise InvalidOptions(f"API_KEYS_FILE cannot be read: {why}.") from error


def _trail(settings: Settings, jobs: JobStore) -> AuditTrail:
    from meet_transcriber.auth.audit_log import FileTrail

    if settings.audit_log is None and settings.redis_url is not None:
        from meet_transcriber.stores.redis.jobs import RedisJobStore

        if isinstance(jobs, RedisJobStore):
            return jobs.trail
    return FileTrail(settings.audit_log or settings.data_dir / "audit.jsonl")


def first_key(settings: Settings, keyring: Keyring) -> tuple[NewKey, Path] | None:
    """
    The first administrator's key, kept in DATA_DIR/admin.key for its owner alone.

    None where there is any key, or was one of this kind before.

    Raises:
        StorageError: the stores or the folder cannot be used.
    """
    made = keyring.first()
    if made is None:
        return None
    make_data_dir(settings)
    path = settings.data_dir / "admin.key"
    try:
        path.unlink(missing_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "w") as writer:
            writer.write(f"{made.token}\n")
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror or error}.") from error
    return made, path


_TIMEOUT_SECONDS = 1.0
"""What a request waits for a Redis that does not answer, once in a while."""


def limits(settings: Settings) -> Limits:
    """
    What may be asked how often, counted where all processes see it; nothing is connected yet.

    On one's own machine alone (AUTH_MODE=loopback) nothing is limited.

    Raises:
        InvalidOptions: a rate is none; names the setting.
    """
    from meet_transcriber.auth.rate_limiter import Counters, parse_rate

    address = redis_address(settings)
    if address is None:
        counters = Counters()
    else:
        from meet_transcriber.stores.redis.client import build_client

        counters = Counters(build_client(address, _TIMEOUT_SECONDS))
    limits = Limits(
        counters.hit,
        counters.peek,
        counters.quick,
        requests=parse_rate(settings.rate_limit, "RATE_LIMIT"),
        submits=parse_rate(settings.rate_limit_submit, "RATE_LIMIT_SUBMIT"),
        failures=parse_rate(settings.rate_limit_failed_auth, "RATE_LIMIT_FAILED_AUTH"),
    )
    return Limits(counters.hit, counters.peek) if settings.auth_mode == "loopback" else limits
