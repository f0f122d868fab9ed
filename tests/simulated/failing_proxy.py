"""An HTTP proxy in front of one server, which fails or dawdles as a test wants."""

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


class FailingProxy:
    """
    Attributes:
        broken: every request is answered with 500.
        keeps: what would delete objects is answered as a bucket without that permission does.
        seconds: that each answer waits for.
        failed: how many requests met either.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.broken = False
        self.keeps = False
        self.seconds = 0.0
        self.failed = 0


@contextmanager
def failing_proxy(behind: str) -> Iterator[FailingProxy]:
    """A proxy on 127.0.0.1 that passes everything on to `behind`, at first."""
    host = urlsplit(behind).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            time.sleep(proxy.seconds)
            if proxy.broken:
                proxy.failed += 1
                self.reply(500, {}, b"<Error><Code>InternalError</Code></Error>")
                return
            if proxy.keeps and (self.command == "DELETE" or self.path.endswith("?delete")):
                proxy.failed += 1
                self.reply(403, {}, b"<Error><Code>AccessDenied</Code></Error>")
                return
            line = http.client.HTTPConnection(host)
            line.request(self.command, self.path, body, dict(self.headers))
            got = line.getresponse()
            self.reply(got.status, dict(got.getheaders()), got.read())
            line.close()

        def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            head = self.command == "HEAD"
            length = headers.get("Content-Length", "0") if head else str(len(body))
            self.send_header("Content-Length", length)
            self.end_headers()
            if not head:
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    with _Server(("127.0.0.1", 0), Handler) as server:
        proxy = FailingProxy(server.server_port)
        Thread(target=server.serve_forever, daemon=True).start()
        yield proxy
        server.shutdown()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that was killed is no error here."""
