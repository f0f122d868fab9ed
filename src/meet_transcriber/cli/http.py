"""A client of the HTTP API, for the commands that talk to a server."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

import httpx

from meet_transcriber.core.errors import InvalidOptions, ServerError, UnreadableAudio

Tell = Callable[[str, float], None]
"""Hears a stage and the share of it that is done."""

_TIMEOUT = httpx.Timeout(30.0, read=120.0)
_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 60.0
ENDED = ("completed", "failed", "cancelled")


class Client:
    """Talks to one server; what it refuses is raised as ServerError with its own words."""

    def __init__(self, server: str, key: str | None = None) -> None:
        """
        Args:
            key: an API key, where the server asks for one.

        Raises:
            InvalidOptions: the key has characters that no key has.
        """
        self._server = server.rstrip("/")
        if key is not None and not (key.isascii() and key.isprintable()):
            raise InvalidOptions("The API key has characters that no key has; copy it again.")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=self._server, timeout=_TIMEOUT, headers=headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def submit(self, path: Path, wishes: Mapping[str, str], key: str, tell: Tell) -> dict[str, Any]:
        """
        Upload a recording; returns the job's first status.

        Args:
            wishes: options by their names in the API.
            key: makes sending again harmless.
            tell: hears how much of the file is sent.
        """
        with _opened(path) as file:
            watched = _Watched(file, path.stat().st_size, tell)
            files = {"file": (path.name, cast(BinaryIO, watched))}
            return self._json(
                "POST", "/transcribe", data=wishes, files=files, headers={"Idempotency-Key": key}
            )

    def status(self, job_id: str) -> dict[str, Any]:
        """A job's status, without its transcript."""
        return self._json("GET", f"/transcribe/{job_id}", params={"transcript": "false"})

    def wait(self, job_id: str, tell: Tell) -> dict[str, Any]:
        """The status once the job has ended; a server that is away for a while is waited for."""
        last_heard = time.monotonic()
        while True:
            try:
                status = self.status(job_id)
            except ServerUnreachable:
                if time.monotonic() - last_heard > _PATIENCE_SECONDS:
                    raise
            else:
                last_heard = time.monotonic()
                tell(str(status["stage"]), float(status["progress"]) / 100)
                if status["status"] in ENDED:
                    return status
            time.sleep(_POLL_SECONDS)

    def download(self, job_id: str, form: str) -> bytes:
        """The transcript in a format of the registry."""
        path = f"/transcribe/{job_id}/download"
        return self._answer("GET", path, params={"format": form}).content

    def cancel(self, job_id: str) -> dict[str, Any]:
        """End a job."""
        return self._json("POST", f"/transcribe/{job_id}/cancel")

    def jobs(self, limit: int, status: str | None) -> list[dict[str, Any]]:
        """The latest jobs, newest first."""
        params: dict[str, Any] = {"limit": limit} | ({"status": status} if status else {})
        return list(self._json("GET", "/transcribe", params=params)["data"])

    def _json(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        return cast(dict[str, Any], self._answer(method, path, **request).json())

    def _answer(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **request)
        except httpx.TransportError as error:
            raise ServerUnreachable(
                f"{self._server} cannot be reached ({error}); start it with "
                "'meet-transcriber serve', or name another with --server."
            ) from error
        except httpx.InvalidURL as error:
            raise ServerError(f"{self._server} is no address of a server: {error}.") from error
        if response.is_success:
            return response
        raise ServerError(_sentence(response))


class ServerUnreachable(ServerError):
    """Nobody answers there."""

    code = "server_unreachable"


class _Watched:
    """A file whose reading is told."""

    def __init__(self, file: BinaryIO, size: int, tell: Tell) -> None:
        self._file, self._size, self._tell, self._done = file, size, tell, 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self._done += len(data)
        self._tell("upload", self._done / max(self._size, 1))
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(1 << 16), b"")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise UnreadableAudio(f"The file cannot be read: {error.strerror or error}.") from error
    with file:
        yield file


def _sentence(response: httpx.Response) -> str:
    """What the server says is wrong."""
    try:
        problem = response.json()
        return str(problem.get("detail") or problem["title"])
    except (ValueError, KeyError, AttributeError):
        return f"The server answered with status {response.status_code}."
