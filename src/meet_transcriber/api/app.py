"""The API: routes, middleware, shared state, and the services that run beside it."""

import asyncio
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from types import FrameType

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.telemetry import TelemetryConfig
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Lifespan

from meet_transcriber import __version__
from meet_transcriber.api import bodies, compute, errors, openapi
from meet_transcriber.api.auth import COOKIES
from meet_transcriber.api.middleware.proxy_headers import ProxyHeadersMiddleware, TrustedProxies
from meet_transcriber.api.middleware.rate_limit import AddressLimitMiddleware, AnswerLimitMiddleware
from meet_transcriber.api.middleware.request_log import QUIET_PATHS, RequestLogMiddleware
from meet_transcriber.api.middleware.security import (
    ANY_HOST,
    OwnCookiesMiddleware,
    RefusalMiddleware,
    SecurityHeadersMiddleware,
    foreign_host,
    not_local,
    oversized,
)
from meet_transcriber.api.openai import routes as openai
from meet_transcriber.api.routes import (
    access,
    audio,
    edits,
    events,
    health,
    page,
    submissions,
    transcriptions,
    uploads,
    voices,
)
from meet_transcriber.bootstrap import auth, observability, services
from meet_transcriber.core.errors import InvalidOptions, StorageError
from meet_transcriber.observability.logging import get_logger
from meet_transcriber.ports.stores import JobQueue
from meet_transcriber.service import Maintenance, MaintenanceThread, Service
from meet_transcriber.settings import Settings, listed

log = get_logger(__name__)

_RETRY_SECONDS = 1.0  # the store may still be starting
_SWITCH_SECONDS = 0.0005
"""
How long a computing thread keeps the interpreter while others want it.

A request takes it a few dozen times, as it gives it up for each call of the store or the system.
With the 5 ms of Python's default, a few computing threads delay every request by a second.
"""
_RELEASE_SECONDS = 10.0
"""How long releasing a dead worker's tasks waits for the store; then their leases expire."""

_ROUTES = (
    transcriptions, submissions, uploads, events, audio, edits, voices, access, health, page,
    openai,
)  # fmt: skip
"""In the order in which they are tried; the status of a job, which clients poll, is first."""
_TELEMETRY: TelemetryConfig = {
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
    "exclude": lambda scope: scope["path"] in QUIET_PATHS,
}
"""FastAPI records only a span per request, where tracing is configured."""
_EXPOSED = (
    "Accept-Ranges", "Content-Disposition", "Content-Range", "ETag", "Location", "RateLimit",
    "RateLimit-Policy", "Retry-After", "Upload-Complete", "Upload-Length", "Upload-Offset",
    "X-Job-ID", "X-Request-ID",
)  # fmt: skip
"""Response headers that pages of other origins may read."""


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
        redirect_slashes=False,  # its absolute Location would repeat the client's Host header
        title="Meet Transcriber",
        version=__version__,
        summary="Who said what, and when.",
        description="Errors are problem details (RFC 9457) with a stable `code`.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        telemetry=_TELEMETRY,
    )
    guard = guard or auth.build_auth(settings, service.context.jobs, service.context.clock)
    app.state.service, app.state.settings, app.state.auth = service, settings, guard
    app.state.stopping = threading.Event()
    app.state.exposition = observability.exposition(service.context, stores=True)
    app.state.probe_executor = submissions.probe_executor()
    app.state.streams, app.state.uploads = events.StreamLimiter(), bodies.UploadLimiter()
    app.state.texts = bodies.TextLimiter()
    app.state.compute = compute.make_executor()
    app.state.key_rechecks = events.KeyRechecks()
    app.state.readiness = health.ReadinessProbe(service)
    local = settings.redis_url is None
    app.state.statuses = transcriptions.StatusCache(service.changes, quick=local)
    for routes in _ROUTES:
        # not by include_router, which matches the routes of each router twice per request
        app.router.routes.extend(routes.router.routes)
    errors.install(app)
    app.add_exception_handler(events.StreamComplete, _end_stream)
    openapi.describe(app)
    _add_middleware(app, service, settings, guard)
    return app


def _add_middleware(
    app: FastAPI, service: Service, settings: Settings, guard: auth.AuthContext
) -> None:
    """Add the middleware, from the innermost to the outermost."""
    app.state.limiter = limiter = auth.limits(settings)
    app.add_middleware(AnswerLimitMiddleware)
    app.add_middleware(OwnCookiesMiddleware, names=COOKIES)
    if not limiter.off:
        app.add_middleware(AddressLimitMiddleware, limiter=limiter)
    _allow_origins(app, settings)
    if guard.mode == "loopback":
        app.add_middleware(RefusalMiddleware, refusal=not_local)
    if guard.mode == "open":
        allowed = listed(settings.allowed_hosts)
        app.add_middleware(RefusalMiddleware, refusal=foreign_host(allowed))
    if (proxies := TrustedProxies(listed(settings.trusted_proxies))).networks:
        app.add_middleware(ProxyHeadersMiddleware, proxies=proxies)
    app.add_middleware(RefusalMiddleware, refusal=oversized)
    app.add_middleware(SecurityHeadersMiddleware)
    app.add_middleware(RequestLogMiddleware, meters=service.context.meters, auth=guard)


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
    anyone = ANY_HOST in listed(settings.allowed_hosts)
    if "*" in origins and settings.auth_mode == "open" and not anyone:
        raise InvalidOptions(
            "CORS_ORIGINS=* would let every page in a browser that reaches this service read all "
            "meetings, as AUTH_MODE=open requires no key; list the origins, or set "
            "AUTH_MODE=required. ALLOWED_HOSTS=* says that everybody may read them."
        )
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE"],
            allow_headers=["*"],
            expose_headers=_EXPOSED,
        )


async def _end_stream(_request: Request, _error: Exception) -> Response:
    return Response(status_code=204)


def build(settings: Settings) -> FastAPI:
    """
    Build the API; its queue, embedded worker and maintenance start and stop with it.

    No engine is loaded here.

    Raises:
        InvalidOptions: the settings contradict each other, or jobs would be lost here.
        StorageError: the stores cannot be used as configured.
    """
    services.check_place(settings)
    queue = services.open_queue(settings, _worker_command)
    service = services.service(settings, queue)
    access = auth.build_auth(settings, service.context.jobs, service.context.clock)
    if settings.webhook_secret is not None:  # an invalid one fails the start, not a thread later
        services.webhook_secret(settings, service.context.jobs)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        greet = partial(_show_first_key, settings, access)
        background = BackgroundServices(settings, service, queue, greet)
        background.start()
        sys.setswitchinterval(_SWITCH_SECONDS)
        try:
            with _on_stop_signal(partial(_begin_to_stop, app)):
                yield
        finally:
            _begin_to_stop(app)
            await run_in_threadpool(background.stop)

    return create_app(service, settings, lifespan, access)


def _begin_to_stop(app: FastAPI) -> None:
    """End event streams, and the requests whose calls wait for a thread."""
    app.state.stopping.set()
    app.state.compute.shutdown()
    app.state.probe_executor.shutdown()
    app.state.service.context.probes.executor.shutdown()


def _show_first_key(settings: Settings, access: auth.AuthContext) -> None:
    """
    Create an administrator's key where one is required and none exists, and print it.

    Without a terminal no key is created; refused requests explain how to create one.

    Raises:
        StorageError: the key cannot be stored.
    """
    if access.mode != "required" or not sys.stderr.isatty():
        return
    if found := auth.first_key(settings, access.keyring):
        made, path = found
        sys.stderr.write(
            f"No API key existed, so one was created for the administrator, in {path}:\n\n"
            f"  {made.token}\n\n"
        )
        sys.stderr.flush()


def _worker_command(worker_id: str) -> list[str]:
    """The command that starts an embedded worker."""
    return [sys.executable, "-m", "meet_transcriber", "worker", "--embedded", "--id", worker_id]


class BackgroundServices:
    """The queue with its embedded worker, where there is one, and maintenance."""

    def __init__(
        self,
        settings: Settings,
        service: Service,
        queue: JobQueue,
        greet: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._greet = greet  # called when the store first answers
        self._context = service.context
        self._queue = queue
        self._maintenance: Maintenance | None = None
        self._maintenance_started = threading.Event()
        self._thread: MaintenanceThread | None = None
        self._stopped = threading.Event()
        self._starter = threading.Thread(
            target=self._start_maintenance, name="starter", daemon=True
        )

    def start(self) -> None:
        """Start all without waiting for a store that does not answer yet."""
        self._starter.start()
        services.start_worker(self._queue, self._release_worker)

    def stop(self) -> None:
        """Stop all in order and close connections."""
        self._stopped.set()
        self._starter.join()
        self._queue.close()
        if self._thread is not None:
            self._thread.stop()
        if self._context.tracer is not None:
            self._context.tracer.close()
        self._context.jobs.close()

    def _start_maintenance(self) -> None:
        holder = f"api-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        while not self._stopped.is_set():
            try:
                self._maintenance = services.maintenance(self._settings, self._context, holder)
            except StorageError as error:
                log.warning("waiting_for_store", error=str(error))
                self._stopped.wait(_RETRY_SECONDS)
            else:
                self._thread = MaintenanceThread(self._maintenance)
                self._thread.start()
                self._maintenance_started.set()
                with suppress(StorageError):  # refused requests explain how to create a key
                    self._greet()
                return

    def _release_worker(self, worker_id: str) -> None:
        """Release the tasks of a worker that died."""
        self._maintenance_started.wait(_RELEASE_SECONDS)
        if self._maintenance is not None:
            self._maintenance.release_dead_workers([worker_id])
        self._context.jobs.remove_worker(worker_id)


@contextmanager
def _on_stop_signal(stop: Callable[[], None]) -> Iterator[None]:
    """
    Call `stop` on SIGTERM and SIGINT, before the server's own handlers.

    The server waits for open responses before it ends the lifespan, so endless streams have to
    learn of the signal by other means.
    """
    loop = asyncio.get_running_loop()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop)  # the interrupted code may hold the locks that it needs
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
