"""Debian's nginx with the site of deploy/nginx, and the real API behind it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx

from tests.deploy.engine import ROOT, SETTINGS, answers, until
from tests.redis_server import free_port

KEY = "key-of-a-test-0123456789abcdef"
SITE = ROOT / "deploy" / "nginx" / "meet-transcriber"


class Api:
    """`meet-transcriber serve` without a worker, so that jobs wait and nothing is computed."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        settings = {
            **SETTINGS,
            "DATA_DIR": str(folder / "data"),
            "EMBEDDED_WORKER": "off",
            "AUTH_MODE": "required",
            "API_KEYS": KEY,
            "TRUSTED_PROXIES": "127.0.0.1",
        }
        command = [sys.executable, "-m", "meet_transcriber", "serve", "--port", str(self.port)]
        self._process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **settings}, stderr=subprocess.DEVNULL
        )

    def __enter__(self) -> "Api":
        until("the API", lambda: answers(f"http://127.0.0.1:{self.port}/health"))
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)


class Nginx:
    """
    nginx over a folder of its own, with the site as it is but for ports, name and webroot.

    Attributes:
        folder: its `nginx.conf`, `sites-enabled/meet-transcriber` and logs.
        port: where it listens for HTTP.
    """

    def __init__(self, folder: Path, upstream: int, domain: str = "your-domain.com") -> None:
        self.folder, self.port = folder, free_port()
        self.webroot = folder / "html"
        enabled = folder / "sites-enabled"
        enabled.mkdir(parents=True)
        self.webroot.mkdir()
        site = SITE.read_text()
        site = site.replace("listen 80;", f"listen 127.0.0.1:{self.port};")
        site = site.replace("server 127.0.0.1:8000;", f"server 127.0.0.1:{upstream};")
        site = site.replace("your-domain.com", domain).replace("/var/www/html", str(self.webroot))
        (enabled / "meet-transcriber").write_text(site)
        spools = "".join(
            f"    {kind}_temp_path {folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (folder / "nginx.conf").write_text(
            f"pid {folder}/nginx.pid;\nerror_log {folder}/error.log;\nuser root;\n"
            "events {}\n"
            f"http {{\n{spools}    access_log off;\n    include {enabled}/*;\n}}\n"
        )

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run nginx on this configuration."""
        command = ["nginx", "-c", str(self.folder / "nginx.conf"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def __enter__(self) -> "Nginx":
        started = self.command()
        assert started.returncode == 0, started.stderr
        until("nginx", lambda: answers(f"http://127.0.0.1:{self.port}/health"))
        return self

    def __exit__(self, *_: object) -> None:
        self.command("-s", "stop")


def limit_bytes() -> int:
    """What the site takes as the body of a request."""
    found = re.search(r"client_max_body_size (\d+)m;", SITE.read_text())
    assert found is not None
    return int(found[1]) << 20


def states_heard(client: httpx.Client, job: str) -> list[str]:
    """
    The first and the last state that a job's events tell.

    What ends the job is asked for only after its first event came through the proxy.
    """
    states = []
    with client.stream("GET", f"{job}/events") as events:
        assert events.status_code == 200
        for line in events.iter_lines():
            if not line.startswith("data:"):
                continue
            states.append(json.loads(line[5:])["status"])
            if len(states) == 1:
                assert client.post(f"{job}/cancel").is_success
            if states[-1] == "cancelled":
                break
    return [states[0], states[-1]]
