"""Settings to rate limits."""

from meet_transcriber.bootstrap.services import redis_address
from meet_transcriber.core.rates import Limits
from meet_transcriber.settings import Settings

_TIMEOUT_SECONDS = 1.0
"""What a request waits for a Redis that does not answer, once in a while."""


def limits(settings: Settings) -> Limits:
    """
    What may be asked how often, counted where all processes see it; nothing is connected yet.

    On one's own machine alone (AUTH_MODE=loopback) nothing is limited.

    Raises:
        InvalidOptions: a rate is none; names the setting.
    """
    from meet_transcriber.access.limits import Counters, parse_rate

    address = redis_address(settings)
    if address is None:
        counters = Counters()
    else:
        from meet_transcriber.stores.redis_client import build_client

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
