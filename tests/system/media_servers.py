"""Object stores for a test session, on 127.0.0.1 or a socket, ended by pid."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import redis


def wait_until_it_answers(client: redis.Redis, seconds: float = 10) -> None:
    """Return once the server takes commands."""
    until = time.monotonic() + seconds
    while True:
        try:
            client.ping()
        except redis.ConnectionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return


@contextmanager
def redis_server(folder: Path) -> Iterator[Path]:
    """A Redis that keeps nothing on disk and listens on a socket in `folder` only."""
    socket = folder / "redis.sock"
    arguments = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    with subprocess.Popen(["redis-server", *arguments], stdout=subprocess.DEVNULL) as server:
        try:
            with redis.Redis(unix_socket_path=str(socket)) as client:
                wait_until_it_answers(client)
            yield socket
        finally:
            server.terminate()


@contextmanager
def moto_server(folder: Path) -> Iterator[str]:
    """The address of an S3 that forgets everything; it asks no other host for anything."""
    log = folder / "moto.log"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as server:
        try:
            yield _address_in(log)
        finally:
            server.terminate()


def _address_in(log: Path, seconds: float = 60) -> str:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", log.read_text()):
            return found[1]
        time.sleep(0.05)
    raise TimeoutError(log.read_text())


@contextmanager
def answering(*answers: int, seconds: float = 0) -> Iterator[tuple[str, list[str]]]:
    """
    A server that answers with these statuses in turn, then with 200, each after so long.

    Yields its address and the requests that came.
    """
    left, heard = list(answers), list[str]()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            heard.append(f"{self.command} {self.path}")
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            time.sleep(seconds)
            self.send_response(left.pop(0) if left else 200)
            self.send_header("ETag", '"1"')
            self.send_header("Last-Modified", "Mon, 23 Nov 2026 00:00:00 GMT")
            self.send_header("Content-Length", "5" if self.command == "HEAD" else "0")
            self.end_headers()

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", heard
        server.shutdown()


@contextmanager
def aws_environment() -> Iterator[None]:
    """Credentials that open nothing, for this process and those it starts."""
    before = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    for name in before:
        del os.environ[name]
    ours = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "testing")
    os.environ.update(ours, AWS_REGION="us-east-1")
    yield
    for name in (*ours, "AWS_REGION"):
        del os.environ[name]
    os.environ.update(before)
