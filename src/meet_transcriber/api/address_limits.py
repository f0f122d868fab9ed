"""What one address may ask, before anything else is done about it."""

from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meet_transcriber.api.limiting import (
    COUNTS,
    check,
    run,
    shows_nothing,
    standing,
    submits,
    tried_a_key,
)
from meet_transcriber.api.proxies import household
from meet_transcriber.api.refusing import answer_early, refusal
from meet_transcriber.core.errors import RateLimited
from meet_transcriber.core.rates import Limits

PROBES = ("/health", "/health/ready")
"""Not limited without a key: an orchestrator may share its address with all whom it lets in."""


class AddressLimits:
    """Middleware: limits what one address asks, and how often it is wrong about its key."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (scope["path"] in PROBES and shows_nothing(scope)):
            await self._app(scope, receive, send)
            return
        limits, who = self._limits, household((scope.get("client") or ("", 0))[0])
        counts = await run(limits, limits.failed_too_often, who)
        counts = counts or await run(limits, limits.count, "address", who, submits(scope))

        async def send_and_learn(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] == HTTPStatus.UNAUTHORIZED and tried_a_key(scope):
                    await run(limits, limits.failed, who)
                known = [*counts, *scope.get(COUNTS, ())]
                message["headers"] = [*message["headers"], *standing(known)]
            await send(message)

        try:
            check(counts)
        except RateLimited as error:
            await answer_early(refusal(scope, error), scope, receive, send_and_learn)
        else:
            await self._app(scope, receive, send_and_learn)
