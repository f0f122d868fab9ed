"""The ASGI application: routes, middleware and shared state."""

import threading

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Lifespan

from meet_transcriber.api import errors, openapi
from meet_transcriber.api.middleware import audit
from meet_transcriber.api.middleware.proxy_headers import ProxyHeadersMiddleware, TrustedProxies
from meet_transcriber.api.middleware.rate_limit import AddressLimitMiddleware
from meet_transcriber.api.middleware.request_log import PROBES, RequestLogMiddleware
from meet_transcriber.api.middleware.security import (
    LoopbackOnlyMiddleware,
    RequestSizeLimitMiddleware,
    SecurityHeadersMiddleware,
)
from meet_transcriber.api.openai.routes import openai_router
from meet_transcriber.api.routes import (
    audio,
    edits,
    events,
    health,
    keys,
    page,
    sessions,
    submissions,
    transcriptions,
    uploads,
    voices,
)
from meet_transcriber.api.routes.events import StreamLimiter
from meet_transcriber.api.status_cache import StatusCache
from meet_transcriber.api.thread_limits import ProbeLimiter
from meet_transcriber.bootstrap import auth, observability
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.service import Service
from meet_transcriber.settings import Settings, listed

_ROUTES = (
    submissions,
    uploads,
    transcriptions,
    events,
    audio,
    edits,
    voices,
    sessions,
    keys,
    audit,
    health,
    page,
)
_TELEMETRY: TelemetryConfig = {
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
    "exclude": lambda scope: scope["path"] in PROBES,
}
"""FastAPI records only a span per request, where tracing is configured."""
EXPOSED = (
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Upload-Complete",
    "Upload-Length",
    "Upload-Offset",
    "X-Job-ID",
    "X-Request-ID",
)


def create_app(
    service: Service,
    settings: Settings,
    lifespan: Lifespan[FastAPI] | None = None,
    guard: auth.AuthContext | None = None,
) -> FastAPI:
    """
    Create the API over a service; only `lifespan` starts anything.

    Args:
        lifespan: runs background services, such as the queue.
        guard: authentication and authorization; None builds it from the settings.

    Raises:
        InvalidOptions: the settings are invalid, or would let unknown callers in.
    """
    app = FastAPI(
        title="Meet Transcriber",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        telemetry=_TELEMETRY,
    )
    guard = guard or auth.build_auth(settings, service.context.jobs)
    app.state.service, app.state.settings, app.state.auth = service, settings, guard
    app.state.stopping = threading.Event()
    app.state.exposition = observability.exposition(service.context, stores=True)
    app.state.probe_limiter, app.state.streams = ProbeLimiter(), StreamLimiter()
    app.state.key_rechecks = events.KeyRechecks()
    app.state.readiness = health.ReadinessProbe(service)
    app.state.statuses = StatusCache(service.changes, quick=settings.redis_url is None)
    for route in _ROUTES:
        app.include_router(route.router)
    app.include_router(openai_router(settings))
    errors.install(app)
    app.add_exception_handler(events.StreamComplete, _end_stream)
    openapi.describe(app)
    app.add_middleware(audit.AuditMiddleware, auth=guard)
    _add_middleware(app, service, settings, guard.mode)
    return app


def _add_middleware(app: FastAPI, service: Service, settings: Settings, mode: str) -> None:
    """Add the middleware, from the innermost to the outermost."""
    app.state.limits = limits = auth.limits(settings)
    if not limits.off:
        app.add_middleware(AddressLimitMiddleware, limits=limits)
    _allow_origins(app, settings)
    if mode == "loopback":
        app.add_middleware(LoopbackOnlyMiddleware)
    app.add_middleware(
        ProxyHeadersMiddleware, proxies=TrustedProxies(listed(settings.trusted_proxies))
    )
    app.add_middleware(RequestSizeLimitMiddleware)
    app.add_middleware(SecurityHeadersMiddleware)
    app.add_middleware(RequestLogMiddleware, meters=service.context.meters)


def _allow_origins(app: FastAPI, settings: Settings) -> None:
    """
    Allow calls from pages of these origins; without cookies, so a wildcard exposes no session.

    Raises:
        InvalidOptions: all origins are allowed, and no key is required.
    """
    origins = listed(settings.cors_origins)
    if "*" in origins and settings.auth_mode == "loopback":
        raise InvalidOptions(
            "CORS_ORIGINS=* would let every page in a browser on this machine read all meetings, "
            "as AUTH_MODE=loopback requires no key; list the origins, or set AUTH_MODE=required."
        )
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE"],
            allow_headers=["*"],
            expose_headers=EXPOSED,
        )


async def _end_stream(_request: Request, _error: Exception) -> Response:
    return Response(status_code=204)
