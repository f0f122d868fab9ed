"""Secret managers of clouds as local servers with their published HTTP interfaces."""

import base64
import json
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import MappingProxyType
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """What a server answers."""

    status: int
    body: Any
    headers: Mapping[str, str] = MappingProxyType({})


class Cloud:
    """Answers by path; `asked` has every request's path and Authorization."""

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {}
        self.needs_token = frozenset[str]()
        self.refusal = Reply(401, {})
        self.asked: list[tuple[str, str]] = []

    def answer(self, path: str, authorization: str) -> Reply:
        """The reply for a path; `refusal` where a token is needed and none is shown."""
        self.asked.append((path, authorization))
        if path in self.needs_token and authorization != "Bearer theirs":
            return self.refusal
        return self.replies.get(path, Reply(404, {"error": {"code": "NotFound"}}))


@contextmanager
def serving(cloud: Cloud, certificate: Path | None = None) -> Iterator[int]:
    """The port on 127.0.0.1 where `cloud` answers, by TLS where there is a certificate."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0].rstrip("/")
            reply = cloud.answer(path, self.headers.get("Authorization", ""))
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            headers = {"Content-Type": "application/json", "Metadata-Flavor": "Google"}
            for name, value in (headers | dict(reply.headers)).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def google(project: str = "meetings") -> Cloud:
    """The metadata server of a machine at Google, and the Secret Manager."""
    cloud = Cloud()
    instance = "/computeMetadata/v1/instance/service-accounts/default"
    cloud.replies = {
        "": Reply(200, b""),
        "/computeMetadata/v1/project/project-id": Reply(
            200, project.encode(), {"Content-Type": "text/plain"}
        ),
        instance: Reply(200, {"email": "them@example.com", "scopes": [], "aliases": []}),
        f"{instance}/token": Reply(
            200, {"access_token": "theirs", "expires_in": 3600, "token_type": "Bearer"}
        ),
    }
    return cloud


def add_google_secret(cloud: Cloud, name: str, value: bytes) -> None:
    """Keep a secret that only the machine's token opens."""
    path = f"/v1/{name}/versions/latest:access"
    cloud.replies[path] = Reply(200, {"payload": {"data": base64.b64encode(value).decode()}})
    cloud.needs_token |= {path}


def play_azure(cloud: Cloud, port: int) -> None:
    """Be a key vault on a port, and the identity endpoint of a machine at Azure."""
    token = {"access_token": "theirs", "expires_on": str(int(time.time()) + 3600)}
    cloud.replies["/identity"] = Reply(200, token | {"token_type": "Bearer"})
    # The library checks that a vault lies below the resource's domain, as `.vault.azure.net`.
    challenge = f'Bearer authorization="https://127.0.0.1/t", resource="https://0.0.1:{port}"'
    cloud.refusal = Reply(401, {}, {"WWW-Authenticate": challenge})
    cloud.needs_token = frozenset({"/secrets"})


def add_azure_secrets(cloud: Cloud, vault: str, **values: str) -> None:
    """Keep secrets; `_` in a name is `-` there."""
    ids = {f"{vault}/secrets/{name.replace('_', '-')}": value for name, value in values.items()}
    enabled = {"attributes": {"enabled": True}}
    cloud.replies["/secrets"] = Reply(200, {"value": [{"id": each} | enabled for each in ids]})
    for each, value in ids.items():
        reply = Reply(200, {"value": value, "id": f"{each}/1"} | enabled)
        cloud.replies[each.removeprefix(vault)] = reply


def make_certificate(folder: Path) -> Path:
    """A key and a certificate of 127.0.0.1 in one file."""
    both = folder / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "crt.pem")]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    both.write_bytes((folder / "key.pem").read_bytes() + (folder / "crt.pem").read_bytes())
    return both
