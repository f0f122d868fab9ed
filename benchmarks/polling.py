"""
How fast a job's status is answered, against a route of FastAPI that does nothing.

    python -m benchmarks.polling [--pairs 9] [--seconds 2.0] [--clients 8]

Three processes: the API as `serve` runs it, with a completed job and one that goes on; a bare
FastAPI app under the same server settings; and here the caller, who keeps some connections open
and asks again as soon as the last answer is read. The two are asked by turns, in pairs, so that a
machine that slows down slows both. Once with SQLite, and with Redis where redis-server is there;
with a key that every request shows, and rates that are counted but never reached.
"""

import argparse
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

from fastapi import FastAPI

from benchmarks.pickup import served
from meet_transcriber.cli.serve import listen, server_of
from meet_transcriber.settings import Settings
from tests.redis_server import RedisServer, free_port
from tests.simulated.system import System, end, wait_for

_CHUNK_BYTES = 64 << 10
_KEY = "a key of the benchmark"
_ACCESS = {"AUTH_MODE": "required", "API_KEYS": _KEY, "RATE_LIMIT": "1000000/minute"}


class Target(NamedTuple):
    """What is asked for."""

    port: int
    path: str

    @property
    def request(self) -> bytes:
        """One request, as often as one likes on one connection."""
        lines = (f"GET {self.path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"X-API-Key: {_KEY}")
        return "\r\n".join((*lines, "", "")).encode()


class Caller:
    """One connection that asks again when it was answered."""

    def __init__(self, target: Target) -> None:
        self.socket = socket.create_connection(("127.0.0.1", target.port))
        self.answers = 0
        self._request = target.request
        self._left = b""

    def ask(self) -> None:
        """Send the request."""
        self.socket.sendall(self._request)

    def read(self) -> None:
        """Take in what came; a whole answer counts, and the next request follows."""
        self._left += self.socket.recv(_CHUNK_BYTES)
        head, found, body = self._left.partition(b"\r\n\r\n")
        if found and len(body) >= _length(head):
            assert head.startswith(b"HTTP/1.1 200 "), head
            self.answers, self._left = self.answers + 1, b""
            self.ask()


def _length(head: bytes) -> int:
    """What the answer's head says of its body."""
    return int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])


def answers_per_second(target: Target, clients: int, seconds: float) -> float:
    """How many answers so many connections get."""
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        callers = [Caller(target) for _ in range(clients)]
        for caller in callers:
            stack.enter_context(caller.socket)
            selector.register(caller.socket, selectors.EVENT_READ, caller)
            caller.ask()
        started = time.perf_counter()
        while (passed := time.perf_counter() - started) < seconds:
            for key, _ in selector.select(0.1):
                key.data.read()
    return sum(caller.answers for caller in callers) / passed


def pairs_of(
    status: Target, bare: Target, pairs: int, clients: int, seconds: float
) -> Iterator[tuple[float, float]]:
    """Rates of a status and of the bare route, one right after the other."""
    for target in (status, bare):
        answers_per_second(target, clients, seconds / 4)  # warm up
    for _ in range(pairs):
        yield (
            answers_per_second(status, clients, seconds),
            answers_per_second(bare, clients, seconds),
        )


def report(name: str, rates: list[tuple[float, float]]) -> None:
    """A line with both rates and the ratio."""
    ratios = [status / bare for status, bare in rates]
    print(
        f"{name:18s} {median(status for status, _ in rates):6.0f}/s, "
        f"bare {median(bare for _, bare in rates):6.0f}/s, ratio {median(ratios):.2f} "
        f"({', '.join(f'{ratio:.2f}' for ratio in ratios)})",
        flush=True,
    )


# -- what is asked ------------------------------------------------------------------------------


def bare() -> None:
    """Serve an app with one route, with the settings that `serve` gives its server."""
    app = FastAPI()

    @app.get("/status")
    async def status() -> dict[str, object]:
        return {"status": "completed", "progress": 100.0}

    server_of(app, Settings()).run(sockets=[listen("127.0.0.1", int(sys.argv[2]))])


def jobs(system: System) -> dict[str, str]:
    """Paths by state: of a job that is done, and of one that goes on for an hour."""
    worker = _worker(system, 0)
    done = system.ended(system.submit(seconds=2)).id
    end(worker)
    _worker(system, 3600)
    going = system.submit(seconds=2)
    system.begun(times=3)
    return {"completed": f"/transcribe/{done}", "running": f"/transcribe/{going}"}


def _worker(system: System, seconds: float) -> "subprocess.Popen[bytes]":
    """One whose parts take so many seconds."""
    if system.settings.redis_url is None:
        return system.worker(SIMULATED_PART_SECONDS=seconds)
    return system.celery("one", "--loglevel=ERROR", SIMULATED_PART_SECONDS=seconds)


def measure(name: str, system: System, port: int, args: argparse.Namespace) -> None:
    """Print a line for each job."""
    other = free_port()
    system.start("-m", "benchmarks.polling", "--serve-bare", str(other))
    wait_for(lambda: _listens(other))
    for state, path in jobs(system).items():
        targets = Target(port, path), Target(other, "/status")
        rates = pairs_of(*targets, args.pairs, args.clients, args.seconds)
        report(f"{name}, {state}", list(rates))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    """Print two lines for each store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--clients", type=int, default=8)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        with served(Path(folder, "sqlite"), "off", **_ACCESS) as (system, client):
            measure("SQLite", system, client.base_url.port or 0, args)
        if shutil.which("redis-server"):
            url = stack.enter_context(RedisServer(Path(folder, "redis"))).url
            variables = {"REDIS_URL": url, **_ACCESS}
            with served(Path(folder, "redis"), "off", **variables) as (system, client):
                measure("Redis", system, client.base_url.port or 0, args)


if __name__ == "__main__":
    bare() if "--serve-bare" in sys.argv else main()
