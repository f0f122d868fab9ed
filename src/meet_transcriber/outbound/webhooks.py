"""Webhooks in the format of Standard Webhooks: https://www.standardwebhooks.com.

Headers, signature and tolerance are the same as OpenAI's, so receivers can verify them with the
`standardwebhooks` packages or with `openai.webhooks.unwrap`.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from email.utils import parsedate_to_datetime
from random import Random

import httpx

from meet_transcriber.core.errors import AddressRefused, FetchError, InvalidOptions
from meet_transcriber.outbound.address_guard import AddressGuard, Resolver, system_resolver
from meet_transcriber.outbound.http_client import NETWORK_ERRORS, TIMEOUTS, Deadline, GuardedClient
from meet_transcriber.ports.outbound import Delivery

SCHEDULE_SECONDS = (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
"""Delay before each attempt, from the previous one."""
MAX_RETRY_AFTER_SECONDS = 86_400.0
TIMEOUT_SECONDS = 10.0
_JITTER = 0.1
_PREFIX = "whsec_"
_SECRET_BYTES = range(24, 65)


def new_secret() -> str:
    """Generate a secret of 32 bytes."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def tenant_secret(secret: str, tenant: str) -> str:
    """
    The secret of a tenant, derived from the installation's; one per key while these rotate.

    A tenant that knows its own can derive no other. The tenant without a name, which is the
    operator's, has the installation's secret itself.

    Raises:
        InvalidOptions: the secret is malformed.
    """
    if not tenant:
        return secret
    message = f"webhooks of {tenant}".encode()
    derived = (hmac.digest(key, message, hashlib.sha256) for key in parse_secret(secret))
    return " ".join(_PREFIX + base64.b64encode(key).decode() for key in derived)


def parse_secret(secret: str) -> list[bytes]:
    """
    Return the keys of one secret, or of several separated by spaces.

    Raises:
        InvalidOptions: there is none, or one is not `whsec_` and base64 of 24 to 64 bytes.
    """
    keys = [_key(each) for each in secret.split()]
    if not keys:
        raise _bad_secret("it is empty")
    return keys


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """
    Sign a message: `v1,<base64>`, once per secret, so that receivers can rotate theirs.

    Args:
        secret: as `parse_secret` accepts it.
        timestamp: of this attempt, in unix seconds; receivers tolerate 300 s.

    Raises:
        InvalidOptions: the secret is malformed.
    """
    message = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(key, message, hashlib.sha256) for key in parse_secret(secret))
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def _key(secret: str) -> bytes:
    if not secret.startswith(_PREFIX):
        raise _bad_secret(f"it does not begin with {_PREFIX}")
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad_secret("it is not base64") from error
    if len(key) not in _SECRET_BYTES:
        raise _bad_secret(f"it has {len(key)} bytes, not 24 to 64")
    return key


def _bad_secret(reason: str) -> InvalidOptions:
    """The message, which may be logged, does not contain the secret."""
    return InvalidOptions(
        f"The webhook secret cannot be used: {reason}. "
        f"Make one with: echo {_PREFIX}$(openssl rand -base64 32)"
    )


def next_attempt(
    attempts: int, now: float, rng: Random, retry_after: float | None = None
) -> float | None:
    """
    The time of the next attempt, on the clock of `now`; None after the last one.

    Args:
        attempts: number of attempts so far.
        rng: adds jitter of up to a tenth, so that deliveries to a receiver spread out.
        retry_after: minimum delay in seconds that the receiver requested.
    """
    if attempts >= len(SCHEDULE_SECONDS):
        return None
    wait = SCHEDULE_SECONDS[attempts] * rng.uniform(1 - _JITTER, 1 + _JITTER)
    return now + max(wait, retry_after or 0.0)


class WebhookSender:
    """
    Posts webhooks to public addresses and those that `allow` (OUTBOUND_ALLOW) names.

    `timeout_seconds` bounds a whole attempt, the look-up of its host included. Raises
    InvalidOptions for a malformed `allow`.
    """

    def __init__(
        self,
        allow: Sequence[str] = (),
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        resolver: Resolver = system_resolver,
    ) -> None:
        self.guard = AddressGuard(allow, _limited(resolver, timeout_seconds))
        self._timeout_seconds = timeout_seconds
        self._ssl_context = httpx.create_ssl_context()

    def send(
        self, url: str, body: bytes, *, message_id: str, timestamp: int, secret: str | None
    ) -> Delivery:
        """
        Make one attempt. Redirects are not followed and the response body is not read.

        Args:
            message_id: the same for every attempt of an event, so that receivers can drop repeats.
            timestamp: of this attempt, in unix seconds.
            secret: as `parse_secret` accepts it; None sends without a signature.

        Raises:
            InvalidOptions: the secret is malformed.
        """
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
        }
        if secret is not None:
            headers["webhook-signature"] = sign(secret, message_id, timestamp, body)
        started = time.monotonic()
        delivery = self._try(url, headers, body, timestamp)
        slow = time.monotonic() - started > self._timeout_seconds / 2
        return replace(delivery, slow=slow and delivery.outcome == "retry")

    def _try(self, url: str, headers: dict[str, str], body: bytes, now: float) -> Delivery:
        try:
            return self._post(self.guard.parse(url), headers, body, now)
        except AddressRefused as error:
            return Delivery("refused", None, str(error))
        except FetchError as error:
            return Delivery("retry", None, str(error))

    def _post(self, url: httpx.URL, headers: dict[str, str], body: bytes, now: float) -> Delivery:
        deadline = Deadline(self._timeout_seconds)
        try:
            client = GuardedClient(self.guard, deadline, self._ssl_context, deadline.seconds)
            with client, client.send("POST", url, headers, body) as response:
                return _outcome(response, now)
        except NETWORK_ERRORS as error:
            reason = str(error).rstrip(".")
            if deadline.passed or isinstance(error, TIMEOUTS):
                reason = f"no response in {deadline.seconds:g} s"
            return Delivery("retry", None, f"{url.host} could not be reached: {reason}.")


def _limited(resolver: Resolver, seconds: float) -> Resolver:
    """
    A resolver that raises TimeoutError, an OSError, after so many seconds.

    The system's resolver can neither be interrupted nor given a deadline, and whoever names a
    host may run its name server. So it is asked in a thread, which ends by itself later.
    """

    def resolve(host: str, port: int) -> Sequence[str]:
        answer: Future[Sequence[str]] = Future()

        def ask() -> None:
            try:
                answer.set_result(resolver(host, port))
            except BaseException as error:  # noqa: BLE001 - raised to the caller
                answer.set_exception(error)

        threading.Thread(target=ask, name="resolve", daemon=True).start()
        return answer.result(seconds)

    return resolve


def _outcome(response: httpx.Response, now: float) -> Delivery:
    """2xx is success and 410 final; anything else may be a temporary error."""
    status = response.status_code
    detail = f"{response.url.host} answered with status {status}."
    if response.is_success:
        return Delivery("delivered", status, detail)
    if status == httpx.codes.GONE:
        return Delivery("gone", status, detail)
    header = response.headers.get("retry-after", "").strip()
    return Delivery("retry", status, detail, parse_retry_after(header, now))


def parse_retry_after(value: str, now: float) -> float | None:
    """Parse Retry-After, a number of seconds or an HTTP date; at most a day."""
    if value.isascii() and value.isdigit():
        seconds = float(value[:9])  # more digits exceed the maximum anyway
    else:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
