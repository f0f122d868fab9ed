"""Writers that become multipart uploads."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Full, Queue

from meet_transcriber.core.errors import StorageError

PART_BYTES = 5 << 20
"""The least that S3 takes as a part; its 10,000 parts make 50 GB."""

Send = Callable[[bytes | Iterator[bytes]], None]
"""Stores an object from its bytes, or from parts as they come; nothing of it if these raise."""


class _Abandoned(Exception):
    """Raised inside an upload so that it is aborted."""


class Upload:
    """
    Gathers bytes to parts, and sends these from a thread: stores pull, writers push.

    Holds a part that is being filled, one that waits, and those under way. An object smaller
    than a part is sent at the end, with one request and no thread.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._gathered = bytearray()
        self._parts: Queue[bytes | None] = Queue(maxsize=1)
        self._abandoned = False
        self._thread: ThreadPoolExecutor | None = None
        self._sent: Future[None] | None = None

    def write(self, data: bytes, /) -> int:
        rest = memoryview(data)
        while rest:
            taken = rest[: PART_BYTES - len(self._gathered)]
            self._gathered += taken
            rest = rest[len(taken) :]
            if len(self._gathered) == PART_BYTES:
                self._hand_over(self._take_gathered())
        return len(data)

    def finish(self) -> None:
        """Return once the object is there; raises what sending it raised."""
        if self._sent is None:
            self._send(self._take_gathered())
            return
        if self._gathered:
            self._hand_over(self._take_gathered())
        self._hand_over(None)
        self._sent.result()

    def abandon(self) -> None:
        """Return once the upload is aborted, if one had begun."""
        self._abandoned = True
        if self._sent is not None:
            with suppress(_Abandoned, StorageError):
                self._hand_over(None)
                self._sent.result()

    def close(self) -> None:
        """End the thread."""
        if self._thread:
            self._thread.shutdown()

    def _take_gathered(self) -> bytes:
        part = bytes(self._gathered)
        self._gathered.clear()
        return part

    def _hand_over(self, part: bytes | None) -> None:
        """Wait for room; raises what ended the upload, should it have ended."""
        if self._sent is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="upload")
            self._sent = self._thread.submit(self._send, self._handed_over())
        while not self._sent.done():
            with suppress(Full):
                self._parts.put(part, timeout=0.1)
                return
        self._sent.result()

    def _handed_over(self) -> Iterator[bytes]:
        while (part := self._parts.get()) is not None:
            yield part
        if self._abandoned:
            raise _Abandoned
