"""The HTTP API as one ASGI application over a service."""

import threading

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Lifespan

from meet_transcriber.api import (
    audio,
    changing,
    documented,
    events,
    health,
    looking,
    pages,
    problems,
    submitting,
)
from meet_transcriber.api.callers import Callers
from meet_transcriber.api.hardening import BoundedRequests, SafeAnswers
from meet_transcriber.api.limiting import AddressLimits
from meet_transcriber.api.openai import openai_router
from meet_transcriber.api.polling import Statuses
from meet_transcriber.api.proxies import Proxies
from meet_transcriber.api.tracing import RequestIds
from meet_transcriber.bootstrap import rates
from meet_transcriber.service import Service
from meet_transcriber.settings import Settings, listed

EXPOSED = (
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Job-ID",
    "X-Request-ID",
)


def create_app(
    service: Service, settings: Settings, lifespan: Lifespan[FastAPI] | None = None
) -> FastAPI:
    """
    The API over a service; nothing is started but what `lifespan` starts.

    Args:
        lifespan: what runs beside the API, such as its queue.
    """
    app = FastAPI(
        title="Meet Transcriber",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.service, app.state.settings = service, settings
    app.state.stopping = threading.Event()
    app.state.statuses = Statuses(service, quick=settings.redis_url is None)
    for room in (submitting, looking, events, audio, changing, health, pages):
        app.include_router(room.router)
    app.include_router(openai_router(service, settings), prefix="/v1")
    problems.install(app)
    app.add_exception_handler(events.NothingMore, _nothing_more)
    documented.describe(app)
    _guard(app, settings)
    return app


def _guard(app: FastAPI, settings: Settings) -> None:
    """What a request passes before its route, from the innermost to the outermost."""
    limits = rates.limits(settings)
    if not limits.off:
        app.add_middleware(AddressLimits, limits=limits)
    _allow_origins(app, settings)
    app.add_middleware(Callers, proxies=Proxies(listed(settings.trusted_proxies)))
    app.add_middleware(BoundedRequests)
    app.add_middleware(SafeAnswers)
    app.add_middleware(RequestIds)


def _allow_origins(app: FastAPI, settings: Settings) -> None:
    """Pages of these origins may call; never with cookies, so a wildcard gives nothing away."""
    origins = listed(settings.cors_origins)
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE"],
            allow_headers=["*"],
            expose_headers=EXPOSED,
        )


async def _nothing_more(_request: Request, _error: Exception) -> Response:
    return Response(status_code=204)
