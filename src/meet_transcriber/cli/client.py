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
Update = Callable[[str, float], None]
"""Called with a stage and its completed share."""

_TIMEOUT = httpx.Timeout(30.0, read=120.0)  # a submission is answered after the probe
_POLL_SECONDS = 0.5
_RETRY_SECONDS = 60.0
_MAX_STALLED = 10
"""Attempts to resume an upload without progress."""
_BLOCK_BYTES = 1 << 16
_PIECE_BYTES = 16 << 20
"""Size of the requests of an upload; Cloud Run and common proxies refuse those above 32 MiB."""
_TRANSIENT = (408, 502, 503, 504)
"""Statuses of a server, or the proxy in front of it, that is temporarily unavailable."""
ENDED = ("completed", "failed", "cancelled")


class Client:
    """Talks to one server; raises its error responses as ServerError, with their messages."""

    def __init__(self, server: str, key: str | None = None) -> None:
        """Raises InvalidOptions if the API key has characters that no key has."""
        self._server = server.rstrip("/")
        if key is not None and not (key.isascii() and key.isprintable()):
            raise InvalidOptions("The API key contains invalid characters; copy it again.")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=self._server, timeout=_TIMEOUT, headers=headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def submit(self, path: Path, options: Mapping[str, str], update: Update) -> dict[str, Any]:
        """
        Upload a recording and create a job for it; returns the job's first status.

        Resumes from the server's offset when the connection breaks.

        Args:
            options: by their names in the API.
            update: called with the share that is uploaded.

        Raises:
            UnreadableAudio: the file cannot be read, or is empty.
        """
        with _opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            if not size:
                raise UnreadableAudio("The file is empty; nothing was recorded or the copy failed.")
            upload_request = {"name": path.name, "size_bytes": size, "method": "resumable"}
            upload = self._json("POST", "/uploads", json=upload_request)["upload_id"]
            try:
                self._send(f"/uploads/{upload}", file, size, update)
                job = {**options, "upload": upload}
                return self._retried(lambda: self._json("POST", "/transcribe", json=job))
            except ServerUnreachable:  # the server removes abandoned uploads itself
                raise
            except (ServerError, UnreadableAudio):
                with suppress(ServerError):
                    self._request("DELETE", f"/uploads/{upload}")
                raise

    def _send(self, upload: str, file: BinaryIO, size: int, update: Update) -> None:
        """Send what the server does not have yet, in pieces, until it has everything."""
        received, stalled = 0, 0
        # The server says what it has, as the answer to a piece may be lost after it was stored.
        while (offset := self._retried(lambda: self._offset(upload))) < size:
            # Only attempts in a row without progress count; a long upload may break more often.
            stalled = 0 if offset > received else stalled
            received, end = offset, min(offset + _PIECE_BYTES, size)
            headers = {
                "Content-Type": "application/partial-upload",
                "Content-Length": str(end - offset),
                "Upload-Offset": str(offset),
            }
            piece = _blocks(file, offset, end, lambda sent: update("upload", sent / size))
            try:
                self._request("PATCH", upload, transient=409, content=piece, headers=headers)
            except ServerUnreachable:
                stalled += 1
                if stalled == _MAX_STALLED:
                    raise
                time.sleep(_POLL_SECONDS)

    def _offset(self, upload: str) -> int:
        return int(self._request("HEAD", upload).headers["Upload-Offset"])

    def status(self, job_id: str) -> dict[str, Any]:
        """A job's status, without its transcript."""
        return self._json("GET", f"/transcribe/{job_id}", params={"transcript": "false"})

    def wait(self, job_id: str, update: Update) -> dict[str, Any]:
        """Wait until the job has ended; returns its status."""
        while True:
            status = self._retried(lambda: self.status(job_id))
            update(str(status["stage"]), float(status["progress"]) / 100)
            if status["status"] in ENDED:
                return status
            time.sleep(_POLL_SECONDS)

    def download(self, job_id: str, form: str) -> bytes:
        """The transcript in one of `EXPORTERS`."""
        path = f"/transcribe/{job_id}/download"
        return self._request("GET", path, params={"format": form}).content

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Cancel a job; returns its status."""
        return self._json("POST", f"/transcribe/{job_id}/cancel")

    def jobs(self, limit: int, status: str | None) -> list[dict[str, Any]]:
        """The latest jobs, newest first."""
        params: dict[str, Any] = {"limit": limit} | ({"status": status} if status else {})
        return list(self._json("GET", "/transcribe", params=params)["data"])

    def voices(self, method: str, tail: str = "", **request: Any) -> dict[str, Any]:
        """Send a request below /voices; returns its JSON."""
        return self._json(method, f"/voices{tail}", **request)

    def delete_voice(self, voice_id: str) -> None:
        """Delete a person and their voice."""
        self._request("DELETE", f"/voices/{voice_id}")

    def enroll_clip(self, path: Path, name: str, consent: str) -> str:
        """Upload a clip of one person; returns the id of the job that enrolls them."""
        with _opened(path) as file:
            parts = {"name": (None, name), "consent": (None, consent), "file": (path.name, file)}
            return str(self.voices("POST", files=parts)["job_id"])

    def _json(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        response = self._request(method, path, **request)
        try:
            return cast(dict[str, Any], response.json())
        except ValueError as error:
            raise ServerError(
                f"{self._server} does not answer in JSON; --server must name a Meet Transcriber."
            ) from error

    def _retried(self, call: Callable[[], T]) -> T:
        """Call, and again for up to a minute while the server is unreachable or limits requests."""
        deadline = time.monotonic() + _RETRY_SECONDS
        while True:
            try:
                return call()
            except ServerUnreachable as error:
                if time.monotonic() + error.retry_after_seconds > deadline:
                    raise
                time.sleep(max(error.retry_after_seconds, _POLL_SECONDS))

    def _request(
        self, method: str, path: str, transient: int | None = None, **request: Any
    ) -> httpx.Response:
        """
        Args:
            transient: another status to treat as temporary.

        Raises:
            ServerUnreachable: a retry may succeed.
            ServerError: any other error response.
        """
        try:
            response = self._http.request(method, path, **request)
        except httpx.TransportError as error:
            raise ServerUnreachable(
                f"{self._server} cannot be reached ({error}); start it with "
                "'meet-transcriber serve', or name another with --server."
            ) from error
        except httpx.InvalidURL as error:
            raise ServerError(f"{self._server} is not a valid address: {error}.") from error
        if response.is_success:
            return response
        pause = response.headers.get("Retry-After", "")
        limited = response.status_code == httpx.codes.TOO_MANY_REQUESTS and pause.isdecimal()
        if limited or response.status_code in (*_TRANSIENT, transient):
            raise ServerUnreachable(_message(response), float(pause) if pause.isdecimal() else 0.0)
        raise ServerError(_message(response))


class ServerUnreachable(ServerError, code="server_unreachable"):
    """There is no server, or it is temporarily unavailable or limits requests."""

    def __init__(self, message: str = "", retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


def _blocks(file: BinaryIO, start: int, end: int, update: Callable[[int], None]) -> Iterator[bytes]:
    """The bytes of a file between two positions; `update` is called with each position reached."""
    file.seek(start)
    while start < end:
        data = file.read(min(_BLOCK_BYTES, end - start))
        if not data:
            raise UnreadableAudio("The file became shorter while it was sent; send it again.")
        yield data
        start += len(data)
        update(start)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise UnreadableAudio(f"The file cannot be read: {error.strerror or error}.") from error
    with file:
        yield file


def _message(response: httpx.Response) -> str:
    """The message of an error response."""
    try:
        problem = response.json()
        return str(problem.get("detail") or problem["title"])
    except (ValueError, KeyError, AttributeError):
        return f"The server answered with status {response.status_code}."
