"""
Requests per second for a job's status, and processor time of the server for each, relative to an
empty FastAPI route. Where other programs use the machine, only the processor time is telling.

    python -m benchmarks.polling [--pairs 9] [--seconds 2.0] [--clients 8]

Three processes: the API as `serve` runs it, with a completed and a running job; a bare FastAPI app
with the same server settings; and the client, which keeps some connections open and sends the next
request when a response is read. The two servers alternate in pairs, so that load affects both. With
SQLite, and with Redis if redis-server is installed; each request has an API key, rate limits are
counted but never reached, and a log line is written to a file; a completed job is sent with its
transcript, which the audit log records. Goals: a ratio of 0.4 on SQLite and 0.2 on Redis.
"""

import argparse
import os
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
    """A URL to request, and the process that serves it."""

    port: int
    path: str
    pid: int

    @property
    def request(self) -> bytes:
        """Prepare the request."""
        lines = (f"GET {self.path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"X-API-Key: {_KEY}")
        return "\r\n".join((*lines, "", "")).encode()


class Caller:
    """One connection that sends the next request after each response."""

    def __init__(self, target: Target) -> None:
        self.socket = socket.create_connection(("127.0.0.1", target.port))
        self.answers = 0
        self._request = target.request
        self._left = b""

    def ask(self) -> None:
        """Send the request."""
        self.socket.sendall(self._request)

    def read(self) -> None:
        """Read available data; after a complete response count it and send the next request."""
        self._left += self.socket.recv(_CHUNK_BYTES)
        head, found, body = self._left.partition(b"\r\n\r\n")
        if found and len(body) >= _length(head):
            assert head.startswith(b"HTTP/1.1 200 "), head
            self.answers, self._left = self.answers + 1, b""
            self.ask()


def _length(head: bytes) -> int:
    """Return the response's content length."""
    return int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])


class Rate(NamedTuple):
    """Responses per second, and microseconds of the server's processor time for each."""

    per_second: float
    cpu_us: float


def rate_of(target: Target, clients: int, seconds: float) -> Rate:
    """Request with this number of connections for so many seconds."""
    cpu = _cpu_seconds(target.pid)
    per_second = answers_per_second(target, clients, seconds)
    return Rate(per_second, 1e6 * (_cpu_seconds(target.pid) - cpu) / (per_second * seconds))


def _cpu_seconds(pid: int) -> float:
    """The processor time of a process, by Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def answers_per_second(target: Target, clients: int, seconds: float) -> float:
    """Return the responses per second with this number of connections."""
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
) -> Iterator[tuple[Rate, Rate]]:
    """Measure a status and the bare route in turn."""
    for target in (status, bare):
        answers_per_second(target, clients, seconds / 4)  # warm up
    for _ in range(pairs):
        yield rate_of(status, clients, seconds), rate_of(bare, clients, seconds)


def report(name: str, rates: list[tuple[Rate, Rate]]) -> None:
    """Print a line for the rate and one for the processor time, each with the ratios."""
    pairs = [(status.per_second, bare.per_second) for status, bare in rates]
    _report(name, "/s", pairs, [status / bare for status, bare in pairs])
    pairs = [(status.cpu_us, bare.cpu_us) for status, bare in rates]
    _report(name, " us", pairs, [bare / status for status, bare in pairs])


def _report(name: str, unit: str, pairs: list[tuple[float, float]], ratios: list[float]) -> None:
    status, bare = (median(figures) for figures in zip(*pairs, strict=True))
    print(
        f"{name:18s} {status:6.0f}{unit}, bare {bare:6.0f}{unit}, ratio {median(ratios):.2f} "
        f"({', '.join(f'{ratio:.2f}' for ratio in ratios)})",
        flush=True,
    )


# -- requests ----------------------------------------------------------------------------------


def bare() -> None:
    """Serve an app with one route, with the server settings of `serve`."""
    app = FastAPI()

    @app.get("/status")
    async def status() -> dict[str, object]:
        return {"status": "completed", "progress": 100.0}

    server_of(app, Settings()).run(sockets=[listen("127.0.0.1", int(sys.argv[2]))])


def jobs(system: System) -> dict[str, str]:
    """Return paths by state: of a completed job, and of one that runs for an hour."""
    worker = _worker(system, 0)
    done = system.ended(system.submit(seconds=2)).id
    end(worker)
    _worker(system, 3600)
    going = system.submit(seconds=2)
    system.begun(times=3)
    return {"completed": f"/transcribe/{done}", "running": f"/transcribe/{going}"}


def _worker(system: System, seconds: float) -> "subprocess.Popen[bytes]":
    """Start a worker whose parts take this many seconds."""
    if system.settings.redis_url is None:
        return system.worker(SIMULATED_PART_SECONDS=seconds)
    return system.celery("one", "--loglevel=ERROR", SIMULATED_PART_SECONDS=seconds)


def measure(name: str, system: System, port: int, args: argparse.Namespace) -> None:
    """Print a line for each job."""
    other = free_port()
    (api,) = (process.pid for process in system.processes)
    bare = system.start("-m", "benchmarks.polling", "--serve-bare", str(other)).pid
    wait_for(lambda: _listens(other))
    for state, path in jobs(system).items():
        targets = Target(port, path, api), Target(other, "/status", bare)
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
        log = Path(folder, "api.log")
        with served(Path(folder, "sqlite"), "off", log, **_ACCESS) as (system, client):
            measure("SQLite", system, client.base_url.port or 0, args)
        if shutil.which("redis-server"):
            url = stack.enter_context(RedisServer(Path(folder, "redis"))).url
            variables = {"REDIS_URL": url, **_ACCESS}
            with served(Path(folder, "redis"), "off", log, **variables) as (system, client):
                measure("Redis", system, client.base_url.port or 0, args)


if __name__ == "__main__":
    bare() if "--serve-bare" in sys.argv else main()
