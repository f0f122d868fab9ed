"""
Resumable uploads: the bytes of a recording, sent in any number of requests before its job.

An upload is the record of the job that it becomes. Its bytes are stored as pieces, and a piece
counts once the record names it, which the record does only if it ends where the piece begins; so
two senders never mix. Pieces are not copied together: a recording is read across them.
"""

import uuid
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from itertools import accumulate
from typing import BinaryIO

from meet_transcriber.core.errors import (
    JobError,
    JobNotFound,
    StorageError,
    UploadConflict,
    UploadNotFound,
    UploadTooLarge,
)
from meet_transcriber.core.jobs import Job, Piece, Upload
from meet_transcriber.core.range_reader import BlockReader, buffered
from meet_transcriber.core.serialization import from_json, to_json
from meet_transcriber.core.transitions import withdrawn
from meet_transcriber.ports.stores import MediaStore, ObjectWriter
from meet_transcriber.service.context import ServiceContext

KEPT_SECONDS = 24 * 3600.0
"""How long an upload waits for more bytes, or to be submitted."""

PIECE_BYTES = 8 << 20
"""The most that is lost when this process is killed."""

MOST_PIECES = 2000  # the record lists them, and is written again with each
_USUAL_PIECES = 500  # of a large recording, so that its list stays short
_LIST = "pieces.json"
_BLOCK_BYTES = 1 << 20


class Uploads:
    """The resumable uploads of one tenant."""

    def __init__(self, context: ServiceContext, tenant: str = "") -> None:
        self._context = context
        self._tenant = tenant

    def find(self, upload_id: str) -> Job:
        """The record of an upload, or of the job that it became; raises UploadNotFound."""
        with suppress(JobNotFound):
            job = self._context.jobs.get(upload_id)
            if job.upload is not None and not job.deleted and job.tenant == self._tenant:
                return job
        raise UploadNotFound(
            f"There is no upload {upload_id}. It may have expired: an upload without new bytes is "
            "kept for a day."
        )

    def receive(self, upload_id: str, offset: int) -> "Receiving":
        """
        Append bytes from `offset` on.

        Raises:
            UploadNotFound: there is no such upload.
            UploadConflict: it continues at another offset, or has ended.
        """
        job = self.find(upload_id)
        _check_offset(job, offset)
        return Receiving(self._context, job, offset)

    def discard(self, upload_id: str) -> None:
        """
        Delete an upload.

        Raises:
            UploadNotFound, UploadConflict: there is none, or it has become a job.
        """
        job = withdraw(self._context, self.find(upload_id).id)
        if not job.deleted:
            raise UploadConflict(
                f"The upload has become a job; delete /transcribe/{job.id}.", job.size_bytes
            )


class Receiving:
    """Appends to an upload; `close` stores what has arrived, also after a failure."""

    def __init__(self, context: ServiceContext, job: Job, offset: int) -> None:
        self._context = context
        self._job = job
        self._received = offset
        # Larger pieces for a large upload, as its record lists them all.
        self._piece_bytes = max(PIECE_BYTES, -(-job.size_bytes // _USUAL_PIECES))
        self._stack = ExitStack()
        self._writer: ObjectWriter | None = None
        self._piece = Piece("", 0)

    @property
    def received_bytes(self) -> int:
        """Bytes of the upload that are stored and recorded."""
        return self._received

    @property
    def missing_bytes(self) -> int:
        """Bytes that may still be written."""
        return self._job.size_bytes - self._received - self._piece.size_bytes

    def write(self, data: bytes) -> None:
        """
        Append some bytes.

        Raises:
            UploadTooLarge: there are more than were announced; none of these is stored.
            UploadConflict: another sender continued meanwhile, or the upload has ended.
            StorageFull, StorageError: they cannot be stored.
        """
        if len(data) > self.missing_bytes:
            raise UploadTooLarge(
                f"The upload was announced with {self._job.size_bytes} bytes, and more came."
            )
        rest = memoryview(data)
        while rest:
            part = rest[: self._piece_bytes - self._piece.size_bytes]
            self._add(bytes(part))
            rest = rest[len(part) :]
            # Recorded piece by piece: a sender whose connection breaks repeats one piece at most.
            if self._piece.size_bytes == self._piece_bytes:
                self.close()

    def close(self) -> None:
        """Record the piece that was begun; raises as `write` does. Idempotent."""
        if self._writer is None:
            return
        piece, self._piece, self._writer = self._piece, Piece("", 0), None
        try:
            self._stack.close()
            self._record(piece)
        except (StorageError, JobNotFound) as error:
            if self._is_gone():
                raise UploadNotFound("The upload was deleted meanwhile.") from error
            raise
        self._received += piece.size_bytes

    def _record(self, piece: Piece) -> None:
        now = self._context.clock()
        try:
            self._context.jobs.update(
                self._job.id, partial(_appended, piece=piece, offset=self._received, now=now)
            )
        except JobError:
            with suppress(StorageError):  # else it is deleted with its job
                self._context.media.delete(piece.key)
            raise

    def _is_gone(self) -> bool:
        try:
            return self._context.jobs.get(self._job.id).deleted
        except JobNotFound:
            return True

    def _add(self, data: bytes) -> None:
        if self._writer is None:
            # Of two senders that continue at one place, neither writes over the other's piece.
            key = f"{_folder(self._job)}/{self._received}-{uuid.uuid4().hex[:12]}"
            self._writer = self._stack.enter_context(self._context.media.writer(key))
            self._piece = Piece(key, 0)
        try:
            self._writer.write(data)
        except BaseException as error:
            self._writer = None
            self._stack.__exit__(type(error), error, None)
            raise
        self._piece = replace(self._piece, size_bytes=self._piece.size_bytes + len(data))


def complete_recording(media: MediaStore, job: Job) -> str:
    """Make the pieces of an upload one recording; returns its key. Raises UploadConflict."""
    upload = job.upload or Upload()
    received = upload.received_bytes
    if received < job.size_bytes:
        raise UploadConflict(
            f"Only {received} of {job.size_bytes} bytes have arrived; send the rest first.",
            received,
        )
    # It can be read as it is; a list would cost every reader another object.
    if len(upload.pieces) == 1:
        return upload.pieces[0].key
    key = f"{_folder(job)}/{_LIST}"
    media.put(key, to_json(upload.pieces))
    return key


def withdraw(context: ServiceContext, job_id: str) -> Job:
    """
    Delete a recording that is still being uploaded; a job that has begun stays as it is.

    Raises:
        JobNotFound: there is none.
    """
    job = context.jobs.update(job_id, partial(withdrawn, now=context.clock())).after
    if job.deleted:
        with suppress(StorageError, JobNotFound):  # else maintenance does it
            context.media.delete(job.prefix)
            context.jobs.remove(job.id)
    return job


def _folder(job: Job) -> str:
    return f"{job.prefix}/recording"


def _check_offset(job: Job, offset: int) -> Upload:
    upload = job.upload
    if upload is None or job.state != "uploading" or job.deleted:
        raise UploadConflict("The upload has ended; nothing is added to it.", job.size_bytes)
    if upload.received_bytes != offset:
        raise UploadConflict(
            f"{upload.received_bytes} bytes have arrived: continue there, not at {offset}.",
            upload.received_bytes,
        )
    if len(upload.pieces) >= MOST_PIECES:
        raise UploadConflict(
            f"The upload has {MOST_PIECES} pieces; create another one and send larger requests.",
            offset,
        )
    return upload


def _appended(job: Job, piece: Piece, offset: int, now: float) -> Job:
    upload = _check_offset(job, offset)
    longer = replace(upload, pieces=(*upload.pieces, piece))
    return replace(job, upload=longer, lease_until=now + KEPT_SECONDS)


def open_recording(media: MediaStore, key: str) -> BinaryIO:
    """A recording as `MediaStore.open` opens an object."""
    pieces = pieces_of(media, key)
    return buffered(_Joined(media, pieces)) if pieces else media.open(key)


def size_of(media: MediaStore, key: str) -> int:
    """Bytes of a recording."""
    pieces = pieces_of(media, key)
    return sum(piece.size_bytes for piece in pieces) if pieces else media.size(key)


def delete_recording(media: MediaStore, key: str) -> None:
    """Remove a recording, its pieces first: as long as there is a list, they are found."""
    for piece in pieces_of(media, key):
        media.delete(piece.key)
    media.delete(key)


def pieces_of(media: MediaStore, key: str | None) -> tuple[Piece, ...]:
    """The pieces of a recording; none where it is one object."""
    if key is None or not key.endswith(f"/{_LIST}"):
        return ()
    return from_json(tuple[Piece, ...], media.get(key))


class _Joined(BlockReader):
    """The raw file over all pieces; keeps the one open that was read last."""

    def __init__(self, media: MediaStore, pieces: Sequence[Piece]) -> None:
        self._media, self._pieces = media, pieces
        self._starts = [0, *accumulate(piece.size_bytes for piece in pieces)]
        self._open: tuple[int, BinaryIO] | None = None
        super().__init__(self._starts[-1], self._block_at)

    def close(self) -> None:
        self._close_piece()
        super().close()

    def _block_at(self, position: int) -> tuple[int, bytes]:
        number = bisect_right(self._starts, position) - 1
        file = self._piece(number)
        file.seek(position - self._starts[number])
        # May end within the block, where the piece does; the next read begins with the next piece.
        return position, file.read(_BLOCK_BYTES)

    def _piece(self, number: int) -> BinaryIO:
        if self._open is not None and self._open[0] == number:
            return self._open[1]
        self._close_piece()
        file = self._media.open(self._pieces[number].key)
        self._open = number, file
        return file

    def _close_piece(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None
