"""A hub of models on 127.0.0.1 that speaks as much of Hugging Face's HTTP as fetching takes."""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from tests.integration.hearing import NO_INDEX
from tests.redis_server import free_port

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL = "someone/tiny-whisper"
"""A model whose digests are known nowhere."""
HELD_BYTES = 16 << 20
"""What a client gets of a file at most, until the hub lets go: more than it reads at once."""

_INFO = re.compile(r"/api/models/(?P<repository>[^/]+/[^/]+)(/revision/[^/]+)?")
_TREE = re.compile(r"/api/models/[^/]+/[^/]+/tree/[^/]+")
_FILE = re.compile(r"/[^/]+/[^/]+/resolve/[^/]+/(?P<name>.+)")


class _Server(ThreadingHTTPServer):
    def __init__(
        self, address: tuple[str, int], files: dict[str, Path], go_on: threading.Event
    ) -> None:
        super().__init__(address, _Handler)
        self.files, self.go_on = files, go_on


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, *, body: bool) -> None:
        path, files = urlsplit(self.path).path, self.server.files
        if found := _INFO.fullmatch(path):
            self._send(_information(found["repository"], files), body)
        elif _TREE.fullmatch(path):
            self._send(_tree(files), body)
        elif (found := _FILE.fullmatch(path)) and found["name"] in files:
            data = files[found["name"]].read_bytes()
            self._send(data, body, hashlib.sha256(data).hexdigest())
        else:
            self.send_error(404)

    def _send(self, data: bytes, body: bool, etag: str = "") -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Repo-Commit", COMMIT)
        if etag:
            self.send_header("ETag", f'"{etag}"')
        self.end_headers()
        if body:
            self.wfile.write(data[:HELD_BYTES])
            self.wfile.flush()
            if rest := data[HELD_BYTES:]:
                self.server.go_on.wait()
                self.wfile.write(rest)


class ModelHub:
    """
    Has one model under whatever name it is asked for; away until `start`.

    Args:
        folder: the model's files.
        models: where services keep what they fetched.
    """

    def __init__(self, folder: Path, models: Path) -> None:
        self.models = models
        self._files = {file.name: file for file in folder.iterdir()}
        self._port = free_port()
        self._server: _Server | None = None
        self.go_on = threading.Event()

    @property
    def environment(self) -> dict[str, str]:
        """What sends a process here, and nowhere else, for a model that it has not."""
        return {
            **NO_INDEX,
            "WHISPER_MODEL": MODEL,
            "MODELS_DIR": str(self.models),
            "HF_HOME": str(self.models.parent / "hub"),
            "DIARIZATION_ENGINE": "none",
            "HF_ENDPOINT": f"http://127.0.0.1:{self._port}",
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DOWNLOAD_TIMEOUT": "120",
            "NO_PROXY": "127.0.0.1",
        }

    def start(self) -> None:
        """Come up; files are held in their middle until `go_on` is set."""
        self._server = _Server(("127.0.0.1", self._port), self._files, self.go_on)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Go away."""
        self.go_on.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def _information(repository: str, files: dict[str, Path]) -> bytes:
    siblings = [{"rfilename": name} for name in files]
    return json.dumps({"id": repository, "sha": COMMIT, "siblings": siblings}).encode()


def _tree(files: dict[str, Path]) -> bytes:
    rows = [
        {"type": "file", "path": name, "size": file.stat().st_size, "oid": name}
        for name, file in files.items()
    ]
    return json.dumps(rows).encode()
