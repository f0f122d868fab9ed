"""
Uploads of their own: a recording comes first, in as many requests as it takes; then its job.

An upload is a job that nothing was asked of yet, under the id that the job will have: whoever
submits it again gets that job. What comes is kept in pieces, and a piece counts once the record
names it, which it does only if the record was where the piece begins; so two senders never mix.
"""

import hashlib
import json
import uuid
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial

from meet_transcriber.core.errors import (
    IdempotencyMismatch,
    InvalidOptions,
    JobConflict,
    JobError,
    JobNotFound,
    StorageError,
    StorageUnavailable,
    UploadConflict,
    UploadNotFound,
    UploadTooLarge,
)
from meet_transcriber.core.jobs import Job, Origin, Piece, Upload, UploadMethod, Webhook
from meet_transcriber.core.options import Options
from meet_transcriber.core.transitions import submitted
from meet_transcriber.observability.logging import now_bound
from meet_transcriber.ports.stores import ObjectWriter, SignedPut
from meet_transcriber.service.context import ServiceContext
from meet_transcriber.service.quotas import Quotas
from meet_transcriber.service.recordings import join, open_recording
from meet_transcriber.service.submission import (
    Refuse,
    SubmissionRequest,
    checked_key,
    clean,
    counted,
    keep_extras,
    refuse_too_large,
    withdrawn,
)

KEPT_SECONDS = 24 * 3600.0
"""How long an upload waits for more bytes, or for its job."""

SIGNED_SECONDS = 3600.0
PIECE_BYTES = 8 << 20
"""What is lost at most where this process is killed."""

MOST_PIECES = 2000
_USUAL_PIECES = 500


class Uploads:
    """The door for recordings that come by themselves."""

    def __init__(
        self, context: ServiceContext, refuse: Refuse = lambda _options: None, tenant: str = ""
    ) -> None:
        """
        Args:
            refuse: raises InvalidOptions for what the configured engines cannot do.
            tenant: whose uploads are made and found.
        """
        self._context = context
        self._refuse = refuse
        self._tenant = tenant
        self._quotas = Quotas(context, tenant)

    def create(self, name: str, size_bytes: int, method: UploadMethod | None = None) -> Job:
        """
        Begin an upload of so many bytes.

        Args:
            method: None takes the bucket where there is one.

        Raises:
            UploadTooLarge, QuotaExceeded: it is larger than anybody's, or this tenant's, may be.
            InvalidOptions: it has no bytes, or there is no bucket to sign for.
        """
        if size_bytes < 1:
            raise InvalidOptions("size_bytes must be 1 or more: the bytes of the recording.")
        refuse_too_large(size_bytes, self._context.rules.max_upload_bytes)
        if method == "signed" and self._context.direct is None:
            raise InvalidOptions(
                "Recordings are not kept in a bucket here (MEDIA_URL), so no URL can be signed; "
                'use the method "resumable".'
            )
        usual: UploadMethod = "resumable" if self._context.direct is None else "signed"
        now = self._context.clock()
        job = Job(
            id=uuid.uuid4().hex,
            options=Options(),
            name=clean(name),
            created_at=now,
            state="uploading",
            size_bytes=size_bytes,
            upload=Upload(method or usual),
            max_attempts=self._context.rules.max_attempts,
            lease_until=now + KEPT_SECONDS,
            tenant=self._tenant,
        )
        with self._quotas.room(size_bytes, 0.0):
            return self._context.jobs.create(job)

    def find(self, upload_id: str) -> Job:
        """
        The record of an upload, or of the job that it became.

        Raises:
            UploadNotFound: there is none of this tenant.
        """
        with suppress(JobNotFound):
            job = self._context.jobs.get(upload_id)
            if job.upload is not None and not job.deleted and job.tenant == self._tenant:
                return job
        raise UploadNotFound(
            f"There is no upload {upload_id}. It may have expired: one that nothing comes of is "
            "kept for a day."
        )

    def sign(self, job: Job) -> SignedPut | None:
        """Where to put the bytes of a signed upload; None for others and where it has ended."""
        if job.state != "uploading" or job.upload is None or job.upload.method != "signed":
            return None
        if self._context.direct is None:
            raise StorageError("MEDIA_URL is no bucket any more; begin another upload.")
        until = self._context.clock() + SIGNED_SECONDS
        self._context.jobs.update(job.id, partial(_signed, until=until))
        return self._context.direct.sign_put(_whole(job), SIGNED_SECONDS)

    def receive(self, upload_id: str, offset: int) -> "Receiving":
        """
        Take bytes from `offset` on.

        Raises:
            UploadNotFound: there is no such upload.
            UploadConflict: it goes on elsewhere, or takes nothing through us (any more).
        """
        job = self.find(upload_id)
        _check_place(job, offset)
        return Receiving(self._context, job, offset)

    def discard(self, upload_id: str) -> None:
        """
        Keep nothing of an upload.

        Raises:
            UploadNotFound, UploadConflict: there is none, or it has become a job.
        """
        job = self.find(upload_id)
        _, job = self._context.jobs.update(job.id, partial(withdrawn, now=self._context.clock()))
        if not job.deleted:
            raise UploadConflict(
                f"The upload has become a job; delete /transcribe/{job.id}.", job.size_bytes
            )
        with suppress(StorageError, JobNotFound):  # tending does it
            self._context.media.delete(job.prefix)
            if job.upload is None or job.upload.signed_until <= self._context.clock():
                self._context.jobs.remove(job.id)

    def submit(
        self, upload_id: str, request: SubmissionRequest, idempotency_key: str | None = None
    ) -> Job:
        """
        Look at an upload that is complete and begin its job; the same job when asked again.

        Raises:
            UploadNotFound, UploadConflict: there is none, or it is not complete.
            InvalidAudio, InvalidOptions, AddressRefused: it cannot be used, or not so.
            QuotaExceeded, QueueFull: no more jobs are taken, or none of this tenant.
            IdempotencyMismatch: it, or the key, was used before for another request.
        """
        job = self.find(upload_id)
        asked = json.dumps([*request.told(), upload_id, idempotency_key])
        fingerprint = hashlib.sha256(asked.encode()).hexdigest()
        if job.state == "uploading":
            self._refuse(request.options)
            if request.webhook_url is not None:
                self._context.fetcher.check(request.webhook_url)
            self._check_key(idempotency_key)
            with counted(self._context.meters, "upload"):
                job = self._begun(job, request, fingerprint, idempotency_key)
        if job.fingerprint != fingerprint:
            raise IdempotencyMismatch(
                f"This upload has become a job with other options: /transcribe/{job.id}. Run that "
                "again with the options that you want."
            )
        return job

    def _begun(
        self, job: Job, request: SubmissionRequest, fingerprint: str, key: str | None
    ) -> Job:
        recording = self._complete(job)
        with open_recording(self._context.media, recording) as file:
            media = self._context.decoder.probe(file)
        self._context.meters.upload(job.size_bytes)
        facts = {
            "origin": Origin(now_bound("request_id"), self._context.tracer.current()),
            "media": media,
            "duration": media.duration,
            "fingerprint": fingerprint,
            "idempotency_key": key,
            "extra_bytes": request.extra_bytes,
        }
        with self._quotas.beginning(media.duration or 0.0, request.extra_bytes):
            facts["objects"] = {"recording": recording, **keep_extras(self._context, job, request)}
            now = self._context.clock()
            return self._context.update(
                job.id, partial(_submitted, facts=facts, request=request, now=now)
            ).after

    def _complete(self, job: Job) -> str:
        """The key of a recording of which every byte is here."""
        upload = job.upload or Upload("resumable")
        if upload.method == "resumable":
            received = upload.received_bytes
        else:
            received = self._size_in_bucket(job)
        if received < job.size_bytes:
            raise UploadConflict(
                f"Only {received} of {job.size_bytes} bytes have come; send the rest first.",
                received,
            )
        if received > job.size_bytes:
            raise UploadTooLarge(
                f"{received} bytes were put into the bucket, and {job.size_bytes} were announced."
            )
        if upload.method == "signed":
            return _whole(job)
        return join(self._context.media, _folder(job), upload.pieces)

    def _size_in_bucket(self, job: Job) -> int:
        try:
            return self._context.media.size(_whole(job))
        except StorageUnavailable:
            raise
        except StorageError:
            if self._context.media.exists(_whole(job)):
                raise
            return 0

    def _check_key(self, key: str | None) -> None:
        if checked_key(key) and self._context.jobs.find_by_key(key or "", self._tenant):
            raise IdempotencyMismatch(
                "This Idempotency-Key was used before for another request. An upload needs none: "
                "it never becomes a second job."
            )


class Receiving:
    """Appends to an upload; `close` keeps what has come, in whatever way it ended."""

    def __init__(self, context: ServiceContext, job: Job, offset: int) -> None:
        self._context = context
        self._job = job
        self._received = offset
        self._piece_bytes = max(PIECE_BYTES, -(-job.size_bytes // _USUAL_PIECES))
        self._stack = ExitStack()
        self._writer: ObjectWriter | None = None
        self._piece = Piece("", 0)

    @property
    def received_bytes(self) -> int:
        """What counts of the upload by now."""
        return self._received

    @property
    def missing_bytes(self) -> int:
        """What may still come."""
        return self._job.size_bytes - self._received - self._piece.size_bytes

    def write(self, data: bytes) -> None:
        """
        Take some bytes.

        Raises:
            UploadTooLarge: there are more than were announced; none of these is taken.
            UploadConflict: somebody else went on meanwhile, or ended it.
            StorageFull, StorageError: they cannot be kept.
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
            if self._piece.size_bytes == self._piece_bytes:
                self.close()

    def close(self) -> None:
        """Let the piece that was begun count; raises as `write` does. Harmless when repeated."""
        if self._writer is None:
            return
        piece, self._piece, self._writer = self._piece, Piece("", 0), None
        try:
            self._stack.close()
            self._count(piece)
        except (StorageError, JobNotFound) as error:
            if self._is_gone():
                raise UploadNotFound("The upload was given up meanwhile.") from error
            raise
        self._received += piece.size_bytes

    def _count(self, piece: Piece) -> None:
        now = self._context.clock()
        try:
            self._context.jobs.update(
                self._job.id, partial(_appended, piece=piece, offset=self._received, now=now)
            )
        except JobError:
            with suppress(StorageError):  # goes with its job
                self._context.media.delete(piece.key)
            raise

    def _is_gone(self) -> bool:
        try:
            return self._context.jobs.get(self._job.id).deleted
        except JobNotFound:
            return True

    def _add(self, data: bytes) -> None:
        if self._writer is None:
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


def _folder(job: Job) -> str:
    return f"{job.prefix}/recording"


def _whole(job: Job) -> str:
    return f"{job.prefix}/recording"


def _check_place(job: Job, offset: int) -> Upload:
    upload = job.upload
    if upload is None or job.state != "uploading" or job.deleted:
        raise UploadConflict("The upload has ended; nothing is added to it.", job.size_bytes)
    if upload.method == "signed":
        raise UploadConflict("This upload goes straight to the bucket, with PUT to its url.", 0)
    if upload.received_bytes != offset:
        raise UploadConflict(
            f"{upload.received_bytes} bytes have come, so it goes on there and not at {offset}.",
            upload.received_bytes,
        )
    if len(upload.pieces) >= MOST_PIECES:
        raise UploadConflict(
            f"The upload came in {MOST_PIECES} pieces; begin another one with larger requests.",
            offset,
        )
    return upload


def _appended(job: Job, piece: Piece, offset: int, now: float) -> Job:
    upload = _check_place(job, offset)
    longer = replace(upload, pieces=(*upload.pieces, piece))
    return replace(job, upload=longer, lease_until=now + KEPT_SECONDS)


def _signed(job: Job, until: float) -> Job:
    if job.upload is None or job.state != "uploading" or job.deleted:
        raise JobConflict("The upload has ended.")
    lease = max(job.lease_until, until)
    return replace(job, upload=replace(job.upload, signed_until=until), lease_until=lease)


def _submitted(job: Job, facts: dict[str, object], request: SubmissionRequest, now: float) -> Job:
    """The job begins, unless somebody was quicker: then it stays as it is."""
    if job.upload is None or job.state != "uploading":
        return job
    webhook = None if request.webhook_url is None else Webhook(request.webhook_url)
    upload = replace(job.upload, pieces=())
    facts = {**facts, "options": request.options, "webhook": webhook, "upload": upload}
    return submitted(replace(job, **facts), now)  # type: ignore[arg-type]
