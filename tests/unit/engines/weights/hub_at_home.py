"""A local hub with one repository, for huggingface_hub."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from tests.unit.engines.weights.making import sha256

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub(content: Mapping[str, bytes] | None) -> Iterator[str]:
    """Return the address of a hub with these files in any repository; None serves a web page."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.split("?")[0].rsplit("/", 1)[-1]
            if content is None:
                self.answer(b"<html>Please log in.</html>")
            elif "/resolve/" in self.path and name in content:
                self.answer(content[name])
            elif "/tree/" in self.path:
                files = [
                    {"type": "file", "path": path, "size": len(data), "oid": sha256(data)[:40]}
                    for path, data in content.items()
                ]
                self.answer(json.dumps(files).encode())
            else:
                siblings = [{"rfilename": path} for path in content]
                facts = {"id": "some/thing", "sha": COMMIT, "siblings": siblings}
                self.answer(json.dumps(facts).encode())

        do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

        def answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{sha256(body)[:40]}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
