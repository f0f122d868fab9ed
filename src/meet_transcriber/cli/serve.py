"""`meet-transcriber serve`: the HTTP API, with a worker of its own where no Redis is named."""

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meet_transcriber.bootstrap import observability
from meet_transcriber.cli.console import errors_become_exit_codes, load_settings, stderr
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.settings import Settings, listed

if TYPE_CHECKING:
    import uvicorn

_GRACE_SECONDS = 10
_BACKLOG = 2048


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; API_HOST where left out.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port; PORT or API_PORT where left out, 0 a free one."),
    ] = None,
) -> None:
    """Serve the HTTP API until Ctrl-C."""
    with errors_become_exit_codes():
        settings = load_settings()
        observability.set_up_logging(settings)
        observability.share_figures()
        listener = listen(
            settings.api_host if host is None else host,
            settings.listen_port if port is None else port,
        )
        server = make_server(for_this_machine(settings, listener))
        stderr.print(f"Listening on {address(listener)} (Ctrl-C ends)", soft_wrap=True)
        server.run(sockets=[listener])


def for_this_machine(settings: Settings, listener: socket.socket) -> Settings:
    """Without a word about AUTH_MODE, who listens on this machine alone asks for no key."""
    host = str(listener.getsockname()[0])
    if "auth_mode" in settings.model_fields_set or not host.startswith(("127.", "::1")):
        return settings
    return settings.model_copy(update={"auth_mode": "loopback"})


def make_server(settings: Settings) -> "uvicorn.Server":
    """The HTTP API, ready to run on a listening socket."""
    from meet_transcriber.api.lifespan import build  # noqa: PLC0415 - no other command needs it

    return server_of(build(settings), settings)


def server_of(app: Callable[..., Any], settings: Settings) -> "uvicorn.Server":
    """A server for an ASGI application, set as ours is."""
    import uvicorn  # noqa: PLC0415 - no other command needs a web server

    from meet_transcriber.api.http_protocol import protocol  # noqa: PLC0415
    from meet_transcriber.api.middleware.proxy_headers import Proxies  # noqa: PLC0415

    proxies = Proxies(listed(settings.trusted_proxies))
    config = uvicorn.Config(
        app,
        http=protocol(
            settings.header_timeout_seconds,
            settings.max_connections_per_address or None,
            proxies.trusts,
        ),
        proxy_headers=False,  # `api.callers` believes those that TRUSTED_PROXIES names
        server_header=False,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    return uvicorn.Server(config)


def listen(host: str, port: int) -> socket.socket:
    """
    A listening socket.

    Raises:
        InvalidOptions: the port is taken, or the address is not this machine's; says what to do.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
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
    """Where a browser finds it."""
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{shown}:{port}"
