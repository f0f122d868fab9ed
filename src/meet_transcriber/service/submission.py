"""
Submits recordings: streamed uploads, addresses to fetch and resumable uploads, all one way.

A job's record exists before its recording has arrived, unlisted and with a lease, so that
maintenance removes what a sender or a process that died left behind.
"""

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from meet_transcriber.core.errors import (
    IdempotencyInProgress,
    IdempotencyMismatch,
    InvalidOptions,
    JobConflict,
    JobNotFound,
    StorageError,
    TranscriptionError,
    UnsupportedFormat,
    UploadTooLarge,
)
from meet_transcriber.core.jobs import Job, Origin, Upload, Webhook
from meet_transcriber.core.options import Options
from meet_transcriber.core.transitions import submitted
from meet_transcriber.observability.logging import bound_pairs
from meet_transcriber.ports.observability import Meters
from meet_transcriber.ports.stores import ObjectWriter
from meet_transcriber.service.context import ServiceContext
from meet_transcriber.service.quotas import Quotas
from meet_transcriber.service.uploads import (
    KEPT_SECONDS,
    Uploads,
    complete_recording,
    open_recording,
    withdraw,
)

_MEBIBYTE = 1 << 20
_NAME_LENGTH = 255  # the most that common file systems allow
_RENEW_SHARE = 3  # renewals per lease, so that one slow write does not expire it


@dataclass(frozen=True)
class SubmissionRequest:
    """
    The options of a submission.

    Attributes:
        extras: objects that accompany the recording and are deleted with the job, by logical name.
    """

    options: Options = field(default_factory=Options)
    webhook_url: str | None = None
    extras: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def extra_bytes(self) -> int:
        """Bytes of the extras."""
        return sum(map(len, self.extras.values()))

    def fingerprint(self, *recording: str | None) -> str:
        """A digest of the request and of what identifies its recording."""
        asked: list[Any] = [{"options": asdict(self.options), "webhook_url": self.webhook_url}]
        extras = sorted(self.extras.items())
        asked += [[name, hashlib.sha256(data).hexdigest()] for name, data in extras]
        return hashlib.sha256(json.dumps([*asked, *recording]).encode()).hexdigest()


class Submissions:
    """Creates the jobs of one tenant; safe for several threads."""

    def __init__(self, context: ServiceContext, tenant: str = "") -> None:
        self.context = context
        self._tenant = tenant
        self._quotas = Quotas(context, tenant)
        self._uploads = Uploads(context, tenant)

    def start_upload(self, name: str = "", idempotency_key: str | None = None) -> "StreamedUpload":
        """
        Start an upload that is streamed in one request.

        Raises:
            IdempotencyInProgress: the first request with this key is still being received.
            QueueFull, QuotaExceeded: no more jobs are accepted, or none of this tenant.
            StorageError: the recording cannot be stored.
        """
        with _counted(self.context.meters, "upload", count_success=False):
            new = self._new_job(name, idempotency_key)
            job = self._reserve(replace(new, objects={"recording": f"{new.prefix}/recording"}))
            return StreamedUpload(self, job, new.name, self._quotas)

    def submit_url(
        self,
        url: str,
        request: SubmissionRequest,
        name: str = "",
        idempotency_key: str | None = None,
    ) -> Job:
        """
        Submit a recording that a worker fetches.

        Raises:
            AddressRefused, FetchError: the address may not be called.
            InvalidOptions, QueueFull, QuotaExceeded, IdempotencyError, StorageError: as
                `start_upload` and `StreamedUpload.finish`.
        """
        with _counted(self.context.meters, "url"):
            self.context.fetcher.check(url)
            new = self._new_job(name, idempotency_key)
            job = self._reserve(replace(new, source_url=url))
            # The digest of no bytes has the place of a file's, so that no file and address are the
            # same.
            fingerprint = request.fingerprint(new.name, url, hashlib.sha256().hexdigest())
            try:
                return self.begin(job, request, fingerprint)
            except BaseException:
                self.withdraw(job)
                raise

    def create_upload(self, name: str, size_bytes: int) -> Job:
        """
        Create a resumable upload; its id becomes the job's.

        Raises:
            UploadTooLarge, QuotaExceeded: it exceeds the limit of the server or of the tenant, or
                the tenant has too many open uploads.
            InvalidOptions: it has no bytes.
        """
        if size_bytes < 1:
            raise InvalidOptions("size_bytes must be 1 or more: the bytes of the recording.")
        self.check_size(size_bytes)
        self._quotas.check_uploads()
        job = self._new_job(name, lease_seconds=KEPT_SECONDS)
        job = replace(job, size_bytes=size_bytes, upload=Upload())
        with self._quotas.admit(size_bytes=size_bytes, seconds=0.0):
            return self.context.jobs.create(job)

    def submit_upload(
        self, upload_id: str, request: SubmissionRequest, idempotency_key: str | None = None
    ) -> Job:
        """
        Submit a complete resumable upload; returns the same job when called again.

        Raises:
            UploadNotFound, UploadConflict: there is none, or it is not complete.
            InvalidAudio, InvalidOptions, AddressRefused: the recording, the options or the webhook
                are refused.
            QuotaExceeded, QueueFull: no more jobs are accepted, or none of this tenant.
            IdempotencyMismatch: it, or the key, was used before for another request.
        """
        job = self._uploads.find(upload_id)
        fingerprint = request.fingerprint(upload_id, idempotency_key)
        if job.state != "uploading":
            return _same(job, fingerprint)
        with _counted(self.context.meters, "upload"):
            if _checked_key(idempotency_key) and self._find_by_key(idempotency_key):
                raise IdempotencyMismatch(
                    "This Idempotency-Key was used before for another request. An upload needs "
                    "none: it never becomes a second job."
                )
            recording = complete_recording(self.context.media, job)
            job = replace(job, objects={"recording": recording}, idempotency_key=idempotency_key)
            return self.begin(job, request, fingerprint)

    # -- the common path -------------------------------------------------------------------

    def begin(self, job: Job, request: SubmissionRequest, fingerprint: str) -> Job:
        """
        Check a request, probe its recording if that is here, and begin the job.

        Args:
            job: the stored record with its new objects, bytes and key. If it has begun already,
                it is returned unless the fingerprint differs.
        """
        if job.state != "uploading":
            return _same(job, fingerprint)
        self.context.check_options(request.options)
        webhook, tracer = None, self.context.tracer
        if request.webhook_url is not None:
            self.context.fetcher.check(request.webhook_url)
            webhook = Webhook(request.webhook_url)
        job = self._probed(job)
        facts = {
            "options": request.options,
            "webhook": webhook,
            "fingerprint": fingerprint,
            "origin": Origin(
                bound_pairs().get("request_id", ""), tracer.current() if tracer else ""
            ),
            "idempotency_key": job.idempotency_key,
            "size_bytes": job.size_bytes,
            "extra_bytes": request.extra_bytes,
            "media": job.media,
            "duration": job.duration,
            "objects": {**job.objects, **self._store_extras(job, request.extras)},
            "upload": job.upload and Upload(),
        }
        with self._admitted(job, request.extra_bytes):
            change = partial(_begun, facts=facts, now=self.context.clock())
            return _same(self.context.update(job.id, change).after, fingerprint)

    def _admitted(self, job: Job, extra_bytes: int) -> AbstractContextManager[None]:
        # Its bytes count already; a resumable upload is not among the unfinished jobs yet.
        return self._quotas.admit(
            place=job.upload is not None,
            begins=True,
            size_bytes=extra_bytes,
            seconds=job.duration or 0.0,
        )

    def _probed(self, job: Job) -> Job:
        if job.source_url is not None:
            return job
        if not job.size_bytes:
            raise UnsupportedFormat("The recording is empty: it has no bytes.")
        store, key = self.context.media, job.objects["recording"]
        # Only a resumable upload may consist of several objects.
        with open_recording(store, key) if job.upload else store.open(key) as file:
            media = self.context.probe(self._tenant, file)
        self.context.meters.upload(job.size_bytes)
        return replace(job, media=media, duration=media.duration)

    def _store_extras(self, job: Job, extras: Mapping[str, bytes]) -> dict[str, str]:
        """Write the extras under new keys; returns logical name -> key."""
        keys = {name: f"{job.prefix}/{name}.{uuid.uuid4().hex}" for name in extras}
        for name, key in keys.items():
            self.context.media.put(key, extras[name])
        return keys

    # -- records ---------------------------------------------------------------------------

    def _new_job(
        self, name: str, key: str | None = None, lease_seconds: float | None = None
    ) -> Job:
        now, policy = self.context.clock(), self.context.policy
        return Job(
            id=uuid.uuid4().hex,
            options=Options(),
            name=_base_name(name),
            created_at=now,
            state="uploading",
            max_attempts=policy.max_attempts,
            lease_until=now + (lease_seconds or policy.lease_seconds),
            tenant=self._tenant,
            idempotency_key=_checked_key(key),
        )

    def _reserve(self, new: Job) -> Job:
        """Store a new record, or return the job that a request with the same key made before."""
        job = self._find_by_key(new.idempotency_key)
        if job is None:
            self._quotas.check_queue()
            # Before its bytes are sent, where not even one of them fits.
            self._quotas.check(size_bytes=1, seconds=0.0)
            with self._quotas.admit(place=True):
                job = self.context.jobs.create(new)
        if job.id != new.id and (job.state == "uploading" or job.deleted):
            raise IdempotencyInProgress(
                "A request with this Idempotency-Key is still being received, or its job is "
                "being deleted; send it again a little later."
            )
        return job

    def _find_by_key(self, key: str | None) -> Job | None:
        return None if key is None else self.context.jobs.find_by_key(key, self._tenant)

    def check_size(self, size_bytes: int) -> None:
        """Raise UploadTooLarge for more bytes than a recording may have."""
        limit = self.context.policy.max_upload_bytes
        if size_bytes > limit:
            raise UploadTooLarge(
                f"The recording has more than {limit // _MEBIBYTE} MiB, the limit that "
                "MAX_UPLOAD_SIZE_MB sets; send a smaller file, for example its sound alone."
            )

    def withdraw(self, job: Job) -> None:
        """Delete an upload and its objects; a job that has begun stays."""
        with suppress(StorageError, JobNotFound):  # else maintenance does it after the lease
            withdraw(self.context, job.id)


class StreamedUpload:
    """
    One recording that is streamed in: `write` its bytes, then `finish`; or `abandon` it.

    If a job with the same Idempotency-Key exists, the bytes are only compared with its recording.
    """

    def __init__(self, submissions: Submissions, job: Job, name: str, quotas: Quotas) -> None:
        """
        Args:
            job: its record, or the job that an earlier request made.
            name: of the recording, as this request calls it.
        """
        self._submissions, self._context = submissions, submissions.context
        self._job, self._name, self._quotas = job, name, quotas
        self._is_new = job.state == "uploading"
        self._reserved = job.size_bytes
        self._hash = hashlib.sha256()
        self._size = 0
        self._renewed = self._context.clock()
        self._stack = ExitStack()
        self._writer: ObjectWriter | None = None
        if self._is_new:
            writer = self._context.media.writer(job.objects["recording"])
            self._writer = self._stack.enter_context(writer)

    @property
    def job_id(self) -> str:
        """The id of the job that this becomes."""
        return self._job.id

    @property
    def size_bytes(self) -> int:
        """Bytes written so far."""
        return self._size

    def write(self, data: bytes) -> None:
        """
        Append some bytes of the recording.

        Raises:
            UploadTooLarge: there are more than the limit allows.
            QuotaExceeded: there are more than the tenant may still store.
            StorageFull, StorageError: they cannot be stored.
        """
        self._size += len(data)
        self._submissions.check_size(self._size)
        if self._is_new and self._size > self._reserved:
            granted = self._quotas.reserve(self._job.id, self._reserved, self._size)
            self._reserved = self._size if granted is None else granted
        self._hash.update(data)
        if self._writer is not None:
            self._writer.write(data)
            self.renew_lease()

    def finish(self, request: SubmissionRequest) -> Job:
        """
        Probe the recording and begin the job; returns it. A failure deletes the upload.

        Repeating a request with its Idempotency-Key returns the same job.

        Raises:
            InvalidAudio: the recording cannot be used.
            QuotaExceeded: its tenant has reached a limit.
            InvalidOptions, AddressRefused: the options or the webhook are refused.
            IdempotencyMismatch: the key was used for another request.
            StorageError: the recording cannot be stored.
        """
        fingerprint = request.fingerprint(self._name, None, self._hash.hexdigest())
        try:
            with _counted(self._context.meters, "upload"):
                self._stack.close()
                job = replace(self._job, size_bytes=self._size) if self._is_new else self._job
                return self._submissions.begin(job, request, fingerprint)
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Delete this upload; after `finish` it does nothing."""
        self._stack.__exit__(JobConflict, JobConflict("abandoned"), None)
        if self._is_new:
            self._submissions.withdraw(self._job)

    def renew_lease(self) -> None:
        """Tell that the sender still waits, every few seconds; also beside `finish`."""
        now, lease = self._context.clock(), self._context.policy.lease_seconds
        if self._is_new and abs(now - self._renewed) > lease / _RENEW_SHARE:  # or was set back
            self._renewed = now
            self._context.jobs.update(self._job.id, partial(_leased, until=now + lease))


@contextmanager
def _counted(meters: Meters, source: str, *, count_success: bool = True) -> Iterator[None]:
    """Count a submission as accepted, or by the code of its error."""
    try:
        yield
    except TranscriptionError as error:
        meters.submission(source, error.code)
        raise
    if count_success:
        meters.submission(source, "accepted")


def _leased(job: Job, until: float) -> Job:
    """The sender of an upload is still there; a job that has begun needs no lease."""
    return replace(job, lease_until=until) if job.state == "uploading" else job


def _begun(job: Job, facts: Mapping[str, Any], now: float) -> Job:
    """The job begins, unless another request began it meanwhile."""
    return submitted(replace(job, **facts), now) if job.state == "uploading" else job


def _same(job: Job, fingerprint: str) -> Job:
    """The job, if it was made by the same request; raises IdempotencyMismatch."""
    if job.fingerprint == fingerprint:
        return job
    if job.upload is not None:
        raise IdempotencyMismatch(
            f"This upload has become a job with other options: /transcribe/{job.id}. Run that "
            "again with the options that you want."
        )
    raise IdempotencyMismatch(
        "This Idempotency-Key was used before for another request; use a new key for a "
        "new recording or other options."
    )


def _checked_key(key: str | None) -> str | None:
    """The Idempotency-Key; raises InvalidOptions if it is empty, too long or not printable."""
    if key is not None and not (1 <= len(key) <= _NAME_LENGTH and key.isprintable()):
        raise InvalidOptions(f"Idempotency-Key must have 1 to {_NAME_LENGTH} printable characters.")
    return key


def _base_name(name: str) -> str:
    """The last part of a path, its printable characters only."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(char for char in last if char.isprintable())[:_NAME_LENGTH]
