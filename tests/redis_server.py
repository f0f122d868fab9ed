"""A real redis-server of one's own, on 127.0.0.1 or a socket, ended by its process id."""

import itertools
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

START_SECONDS = 20.0


_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10
_PORTS = itertools.count(os.getpid())


def free_port() -> int:
    """
    A free port of 127.0.0.1, below those that the kernel gives to outgoing connections.

    Each process of pytest-xdist has a range of its own.
    """
    for _ in range(2_000):
        with socket.socket() as probe, suppress(OSError):
            port = 10_000 + _WORKER * 2_000 + next(_PORTS) % 2_000
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


class RedisServer:
    """
    Starts on entering and ends on leaving; what was acknowledged is on the disk.

    Args:
        folder: for its files; an empty one of the test.
        password: that clients need.
        certificate: a self-signed one, made if it is missing; the port then speaks TLS.
        unix_socket: listen there only, not on a port.
        options: more lines of redis.conf, for example `cluster-enabled yes`.
        sentinel_of: watch this server, under the name `mymaster`, instead of keeping data.
    """

    def __init__(
        self,
        folder: Path,
        password: str | None = None,
        certificate: Path | None = None,
        unix_socket: Path | None = None,
        options: Sequence[str] = (),
        sentinel_of: "RedisServer | None" = None,
    ) -> None:
        self.folder = folder
        self.port = 0 if unix_socket else free_port()
        self._password = password
        self._certificate = certificate
        self._socket = unix_socket
        self._options = options
        self._sentinel_of = sentinel_of
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address, with the password."""
        login = f":{self._password}@" if self._password else ""
        if self._socket:
            return f"unix://{login}{self._socket}"
        scheme = "rediss" if self._certificate else "redis"
        return f"{scheme}://{login}127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start, again perhaps, on what is in the folder, and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._certificate and not self._certificate.exists():
            make_certificate(self._certificate)
        config = self.folder / "redis.conf"
        config.write_text("\n".join(self._lines()))
        command = ["redis-server", str(config), *(["--sentinel"] if self._sentinel_of else [])]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        try:
            self._wait()
        except BaseException:
            self.kill9()
            raise

    def kill9(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in good order."""
        self._end(signal.SIGTERM)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """For so long, it takes connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """End it as a power cut would, and start it on what is left."""
        self.kill9()
        self.start()

    def __enter__(self) -> "RedisServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill9()

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(START_SECONDS)

    def _lines(self) -> list[str]:
        lines = [f"dir {self.folder}", "bind 127.0.0.1"]
        tls = self._certificate
        lines += [f"port {0 if tls else self.port}"]
        if tls:
            lines += [f"tls-port {self.port}", "tls-auth-clients no"]
            lines += [f"tls-cert-file {tls}", f"tls-key-file {tls}.key", f"tls-ca-cert-file {tls}"]
        if self._socket:
            lines += [f"unixsocket {self._socket}"]
        if self._password:
            lines += [f"requirepass {self._password}"]
        if self._sentinel_of:
            lines += [f"sentinel monitor mymaster 127.0.0.1 {self._sentinel_of.port} 1"]
            if wanted := self._sentinel_of._password:
                lines += [f"sentinel auth-pass mymaster {wanted}"]
        else:
            lines += ["appendonly yes", "appendfsync always", 'save ""']
        return [*lines, *self._options]

    def _wait(self) -> None:
        give_up_at = time.monotonic() + START_SECONDS
        while not self._answers():
            process = self._process
            if process is None or process.poll() is not None or time.monotonic() > give_up_at:
                raise RuntimeError((self.folder / "redis.log").read_text())
            time.sleep(0.02)

    def _answers(self) -> bool:
        where = ["-s", str(self._socket)] if self._socket else ["-p", str(self.port)]
        tls = ["--tls", "--cacert", str(self._certificate)] if self._certificate else []
        asked = subprocess.run(
            ["redis-cli", *where, *tls, "ping"], check=False, capture_output=True
        )
        return asked.stdout.startswith((b"PONG", b"NOAUTH"))


def make_certificate(path: Path) -> None:
    """A self-signed certificate for 127.0.0.1, which is its own authority; key beside it."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", f"{path}.key", "-out", path],
        check=True,
        capture_output=True,
    )  # fmt: skip
