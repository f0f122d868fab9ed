"""Servers that keep objects, for one test session: on 127.0.0.1 or a socket, ended by pid."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
