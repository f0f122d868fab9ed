"""`serve` and `worker`: the processes of a deployment."""

import os
import socket
import sys
from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from meet_transcriber.bootstrap import observability, services
from meet_transcriber.cli.console import configured, stderr
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.jobs import QUEUES
from meet_transcriber.settings import Settings, listed
from meet_transcriber.worker import embedded

if TYPE_CHECKING:
    import uvicorn

_GRACE_SECONDS = 10
_KEEP_ALIVE_SECONDS = 75
"""
How long an idle connection stays open: longer than proxies (60 s) and clients keep theirs.

Whoever closes it first must be the other side, or a request is sent on a connection that was closed
in this moment, and fails.
"""
_BACKLOG = 2048  # uvicorn's default, for sockets that it opens itself


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; defaults to API_HOST.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port; defaults to PORT or API_PORT; 0 is a free one."),
    ] = None,
) -> None:
    """Serve the HTTP API until Ctrl-C."""
    with configured(logs=True) as settings:
        observability.share_metrics()
        listener = listen(
            settings.api_host if host is None else host,
            settings.listen_port if port is None else port,
        )
        server = make_server(for_loopback(settings, listener))
        stderr.print(f"Listening on {address(listener)} (Ctrl-C ends)", soft_wrap=True)
        server.run(sockets=[listener])


def for_loopback(settings: Settings, listener: socket.socket) -> Settings:
    """On a loopback address no API key is required, unless AUTH_MODE is set."""
    host = str(listener.getsockname()[0])
    if "auth_mode" in settings.model_fields_set or not ip_address(host).is_loopback:
        return settings
    return settings.model_copy(update={"auth_mode": "loopback"})


def make_server(settings: Settings) -> "uvicorn.Server":
    """The HTTP API, ready to run on a listening socket."""
    from meet_transcriber.api.app import build  # noqa: PLC0415 - only these commands need it

    return server_of(build(settings), settings)


def server_of(app: Callable[..., Any], settings: Settings) -> "uvicorn.Server":
    """A uvicorn server for an ASGI application, configured as `serve` needs it."""
    import uvicorn  # noqa: PLC0415 - only these commands need it

    from meet_transcriber.api.http_protocol import protocol  # noqa: PLC0415
    from meet_transcriber.api.middleware.proxy_headers import TrustedProxies  # noqa: PLC0415

    proxies = TrustedProxies(listed(settings.trusted_proxies))
    config = uvicorn.Config(
        app,
        http=protocol(
            settings.header_timeout_seconds,
            settings.max_connections_per_address or None,
            proxies.trusts,
        ),
        proxy_headers=False,  # the middleware reads them, from TRUSTED_PROXIES only
        server_header=False,
        log_config=None,  # ours is in place
        access_log=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    return uvicorn.Server(config)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises InvalidOptions if the port or address cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    # a restart need not wait for connections that are closing
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise InvalidOptions(
            f"Cannot listen on {host} port {port}: {error.strerror or error}. Give another one "
            "with --host and --port; --port 0 takes a free one."
        ) from error
    return listener


def address(listener: socket.socket) -> str:
    """The URL of a listening socket, for a browser on this machine."""
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{shown}:{port}"


def worker(
    queues: Annotated[
        str, typer.Option(help="Queues to work on: recognize, cpu, or both separated by a comma.")
    ] = ",".join(QUEUES),
    concurrency: Annotated[
        int, typer.Option(min=1, help="Processes, each with its own models; with REDIS_URL only.")
    ] = 1,
    is_embedded: Annotated[
        bool,
        typer.Option("--embedded", help="Poll for work without Celery; exit when stdin closes."),
    ] = False,
    worker_id: Annotated[
        str | None, typer.Option("--id", hidden=True, help="The id to claim tasks under.")
    ] = None,
) -> None:
    """Work on jobs: as a Celery worker with REDIS_URL, else on those in DATA_DIR."""
    with configured() as settings:
        wanted = _queues(queues)
        services.check_place(settings)
        if settings.redis_url and not is_embedded:
            _exec_celery(wanted, concurrency, settings.log_level)
        observability.set_up_logging(settings)
        parent_pipe = sys.stdin.fileno() if is_embedded else None
        embedded.run(settings, queues=wanted, worker_id=worker_id, parent_pipe=parent_pipe)


def _queues(text: str) -> tuple[str, ...]:
    named = {name.strip() for name in text.split(",")}
    if not named or named - set(QUEUES):
        raise InvalidOptions(f"--queues is {text!r}; name {' or '.join(QUEUES)}, or both.")
    return tuple(name for name in QUEUES if name in named)


def _exec_celery(queues: tuple[str, ...], concurrency: int, log_level: str) -> NoReturn:
    """Replace this process by Celery's own worker command."""
    arguments = [
        "-m", "celery", "-A", "meet_transcriber.worker.celery_app", "worker",
        f"--loglevel={log_level}", f"--concurrency={concurrency}", "-Q", ",".join(queues),
    ]  # fmt: skip
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 - no shell, no user input
