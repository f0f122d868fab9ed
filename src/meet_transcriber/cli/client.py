"""A client of the HTTP API, for the commands that talk to a server."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeVar, cast

import httpx

from meet_transcriber.core.errors import InvalidOptions, ServerError, UnreadableAudio

T = TypeVar("T")
Tell = Callable[[str, float], None]
"""Hears a stage and the share of it that is done."""

_TIMEOUT = httpx.Timeout(30.0, read=120.0)
_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 60.0
_FRUITLESS = 10
"""Times that an upload is gone on with although nothing of it came through."""
_BLOCK_BYTES = 1 << 16
_PASSING = (408, 502, 503, 504)
"""What a server, or the proxy before it, answers while it is away."""
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

    def submit(self, path: Path, wishes: Mapping[str, str], tell: Tell) -> dict[str, Any]:
        """
        Upload a recording and make one job of it; returns the job's first status.

        A connection that breaks is gone on with from where the server had come.

        Args:
            wishes: options by their names in the API.
            tell: hears how much of the file is sent.

        Raises:
            UnreadableAudio: the file cannot be read, or is empty.
        """
        with _opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            if not size:
                raise UnreadableAudio("The file is empty; nothing was recorded or the copy failed.")
            wish = {"name": path.name, "size_bytes": size, "method": "resumable"}
            upload = self._json("POST", "/uploads", json=wish)["upload_id"]
            try:
                self._fill(f"/uploads/{upload}", file, size, tell)
                job = {**wishes, "upload": upload}
                return self._patiently(lambda: self._json("POST", "/transcribe", json=job))
            except ServerUnreachable:  # it is removed there when nothing comes of it
                raise
            except (ServerError, UnreadableAudio):
                with suppress(ServerError):
                    self._answer("DELETE", f"/uploads/{upload}")
                raise

    def _fill(self, upload: str, file: BinaryIO, size: int, tell: Tell) -> None:
        """Send what the server does not have, until it has everything."""
        received, fruitless = 0, 0
        while (offset := self._patiently(lambda: self._received(upload))) < size:
            fruitless = 0 if offset > received else fruitless
            received = offset
            headers = {
                "Content-Type": "application/partial-upload",
                "Content-Length": str(size - offset),
                "Upload-Offset": str(offset),
            }
            rest = _rest(file, offset, size, tell)
            try:
                self._answer("PATCH", upload, passing=409, content=rest, headers=headers)
            except ServerUnreachable:
                fruitless += 1
                if fruitless == _FRUITLESS:
                    raise
                time.sleep(_POLL_SECONDS)

    def _received(self, upload: str) -> int:
        return int(self._answer("HEAD", upload).headers["Upload-Offset"])

    def status(self, job_id: str) -> dict[str, Any]:
        """A job's status, without its transcript."""
        return self._json("GET", f"/transcribe/{job_id}", params={"transcript": "false"})

    def wait(self, job_id: str, tell: Tell) -> dict[str, Any]:
        """The status once the job has ended; a server that is away for a while is waited for."""
        while True:
            status = self._patiently(lambda: self.status(job_id))
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

    def voices(self, method: str, tail: str = "", **request: Any) -> dict[str, Any]:
        """Do something with the people who are known by their voices; {} without an answer."""
        answer = self._answer(method, f"/voices{tail}", **request)
        return cast(dict[str, Any], answer.json()) if answer.content else {}

    def remember_clip(self, path: Path, name: str, consent: str) -> str:
        """Send a clip of somebody; returns the id of the job that remembers them."""
        with _opened(path) as file:
            parts = {
                "name": (None, name),
                "consent": (None, consent),
                "file": (path.name, file),
            }
            return str(self.voices("POST", files=parts)["job_id"])

    def _json(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        return cast(dict[str, Any], self._answer(method, path, **request).json())

    def _patiently(self, ask: Callable[[], T]) -> T:
        """What `ask` returns; a server that is away is asked again for a minute."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return ask()
            except ServerUnreachable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_SECONDS)

    def _answer(
        self, method: str, path: str, passing: int | None = None, **request: Any
    ) -> httpx.Response:
        """
        Args:
            passing: another status that passes by itself.

        Raises:
            ServerUnreachable: nobody is there, or not now.
            ServerError: the server refuses; with its own words.
        """
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
        away = response.status_code in (*_PASSING, passing)
        raise (ServerUnreachable if away else ServerError)(_sentence(response))


class ServerUnreachable(ServerError):
    """Nobody answers there, or not now."""

    code = "server_unreachable"


def _rest(file: BinaryIO, position: int, size: int, tell: Tell) -> Iterator[bytes]:
    """What a file has from a position on, up to the size that was announced."""
    file.seek(position)
    while position < size:
        data = file.read(min(_BLOCK_BYTES, size - position))
        if not data:
            raise UnreadableAudio("The file became shorter while it was sent; send it again.")
        yield data
        position += len(data)
        tell("upload", position / size)


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
