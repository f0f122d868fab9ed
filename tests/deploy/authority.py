"""A certificate authority for tests: Debian's pebble."""

import json
import os
import ssl
import subprocess
from pathlib import Path

import httpx

from tests.redis_server import free_port


class Authority:
    """
    pebble, which asks for http-01 at `challenge_port`, for tls-alpn-01 at `tls_port`, and believes
    that every name is here.

    Attributes:
        directory: its ACME address.
        certificate: a file with what its own HTTPS is verified by.
        root: the file that what it issues is verified by.
    """

    def __init__(self, folder: Path, challenge_port: int, tls_port: int = 0) -> None:
        self._folder, listens, manages, names = folder, free_port(), free_port(), free_port()
        self.directory = f"https://localhost:{listens}/dir"
        self.certificate = folder / "pebble.pem"
        self.root = folder / "root.pem"
        self._management = f"https://localhost:{manages}"
        _self_signed(self.certificate, folder / "pebble.key", "localhost")
        settings = {
            "listenAddress": f"127.0.0.1:{listens}",
            "managementListenAddress": f"127.0.0.1:{manages}",
            "certificate": str(self.certificate),
            "privateKey": str(folder / "pebble.key"),
            "httpPort": challenge_port,
            "tlsPort": tls_port or free_port(),
        }
        (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
        challenges = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]
        dns, management = f"127.0.0.1:{names}", f"127.0.0.1:{free_port()}"
        config = str(folder / "pebble.json")
        self._processes = [
            _quietly("pebble-challtestsrv", *challenges, "-dns01", dns, "-management", management),
            _quietly("pebble", "-config", config, "-dnsserver", dns),
        ]

    def is_up(self) -> bool:
        """Whether it answers; fetches the root that it issues under."""
        try:
            self.root.write_text(self._get("/roots/0"))
        except httpx.TransportError:
            return False
        return True

    def _get(self, path: str) -> str:
        return httpx.get(self._management + path, verify=self._trust(), timeout=5).text

    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))

    def close(self) -> None:
        for process in self._processes:
            process.terminate()
            process.wait(30)


def _quietly(*command: str) -> subprocess.Popen[bytes]:
    """Start a program of pebble's that neither dawdles nor refuses at random."""
    environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(command, env=environment, stdout=nowhere, stderr=nowhere)


def _self_signed(certificate: Path, key: Path, name: str) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
