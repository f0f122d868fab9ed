"""Google's interfaces on 127.0.0.1: records every request, answers that all is done."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

PROJECT = "meetings"
SERVICES = (
    "CONTAINER",
    "SECRETMANAGER",
    "ARTIFACTREGISTRY",
    "CLOUDBUILD",
    "REDIS",
    "STORAGE",
    "IAM",
    "SERVICEUSAGE",
    "CLOUDRESOURCEMANAGER",
)


class Asked(NamedTuple):
    """A request: its method, path and body, read from JSON."""

    method: str
    path: str
    body: Any


@contextmanager
def google() -> Iterator[tuple[list[Asked], dict[str, str]]]:
    """What was asked, and the environment that leads `gcloud` here without an account."""
    asked: list[Asked] = []
    named: set[str] = (
        set()
    )  # with `?secretId=hf-token` something is made, and is there from then on

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = urlsplit(self.path).path
            told = self.headers.get_content_type() == "application/json" and text
            asked.append(Asked(self.command, path, json.loads(told or b"null")))
            query = parse_qs(urlsplit(self.path).query)
            named.update(f"{path}/{x}" for each in query.values() for x in each)
            found = self.command != "GET" or "/images/family/" in path or ":getIamPolicy" in path
            found = found or path in named
            status = 200 if found else 404
            done = {"name": "operations/one", "done": True, "status": "DONE", "bindings": [],
                    "host": "10.0.0.3", "port": 6379, "authString": "theirs"}  # fmt: skip
            error = {"error": {"code": 404, "message": "not found", "status": "NOT_FOUND"}}
            image = {"name": "image", "selfLink": "https://compute.googleapis.com/image"}
            body = json.dumps(image if "/images/" in path else done if found else error).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = _answer  # noqa: N815 - http.server finds them by name

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        override = "CLOUDSDK_API_ENDPOINT_OVERRIDES_"
        environment = {f"{override}{name}": url for name in SERVICES}
        environment |= {
            f"{override}COMPUTE": f"{url}compute/v1/",
            # The client puts the region before this name, so it is asked for as from a proxy.
            f"{override}RUN": "http://run.test/",
            "http_proxy": url,
            "no_proxy": "127.0.0.1",
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_CORE_PROJECT": PROJECT,
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
            "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
        }
        yield asked, environment
        server.shutdown()
