"""Web sites on loopback, and name services that follow a script."""

from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, NamedTuple

from meet_transcriber.outbound.address_guard import Resolver

Answer = Callable[["Request"], None]


class Seen(NamedTuple):
    """One request as a site saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Request(BaseHTTPRequestHandler):
    """One request; its site's answer for the path decides what is sent."""

    protocol_version = "HTTP/1.1"
    site: "Site"

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.site.seen.append(Seen(self.command, self.path, headers, self.rfile.read(length)))
        self.close_connection = True
        self.site.answers.get(self.path.partition("?")[0], not_found)(self)

    do_POST = do_GET  # noqa: N815  http.server's name

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        """Keep quiet."""

    def head(self, status: int = 200, **headers: str) -> None:
        """Send the status and headers; `content_type="a/b"` is `content-type: a/b`."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def send(self, body: bytes, status: int = 200, **headers: str) -> None:
        """Send a whole answer."""
        self.head(status, content_length=str(len(body)), **headers)
        self.wfile.write(body)


def not_found(request: Request) -> None:
    request.send(b"", status=404)


def redirect(location: str, status: int = 302) -> Answer:
    return lambda request: request.send(b"moved", status=status, location=location)


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what is tested here."""


class Site:
    """An HTTP server on 127.0.0.1; `answers` by path, `seen` in order."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.seen: list[Seen] = []
        self.closing = Event()
        handler = type("Handler", (Request,), {"site": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class ScriptedResolver:
    """Answers from a script: each name's answers in turn, the last one for ever."""

    def __init__(self, **script: Sequence[Sequence[str]]) -> None:
        self._script = {name.replace("_", "."): list(turns) for name, turns in script.items()}
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host not in self._script:
            raise OSError(f"{host} is not in the script")
        turns = self._script[host]
        return turns.pop(0) if len(turns) > 1 else turns[0]


def always(*addresses: str) -> Resolver:
    """A resolver that gives every name these addresses."""
    return lambda host, port: addresses
