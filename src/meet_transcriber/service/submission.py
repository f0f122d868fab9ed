"""Taking in recordings: bytes stream to the MediaStore while they are counted and hashed."""

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
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
from meet_transcriber.core.jobs import Job, Origin, Webhook
from meet_transcriber.core.media import MediaInfo
from meet_transcriber.core.options import Options
from meet_transcriber.core.serialization import to_plain
from meet_transcriber.core.transitions import deleted, submitted
from meet_transcriber.observability.logging import now_bound
from meet_transcriber.ports.observability import Meters
from meet_transcriber.ports.stores import ObjectWriter
from meet_transcriber.service.context import ServiceContext
from meet_transcriber.service.quotas import Quotas

Refuse = Callable[[Options], None]
"""Raises InvalidOptions for what the configured engines cannot do."""

_MEBIBYTE = 1 << 20
_NAME_LENGTH = 255
_RENEW_SHARE = 3


@dataclass(frozen=True)
class SubmissionRequest:
    """
    What a sender wants done with a recording.

    Attributes:
        extras: objects that come along and go with the job, by logical name.
    """

    options: Options = field(default_factory=Options)
    webhook_url: str | None = None
    extras: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def extra_bytes(self) -> int:
        """Bytes of the extras."""
        return sum(map(len, self.extras.values()))

    def told(self) -> list[Any]:
        """What tells it from another request, ready for JSON."""
        asked: list[Any] = [{"options": to_plain(self.options), "webhook_url": self.webhook_url}]
        extras = sorted(self.extras.items())
        return asked + [[name, hashlib.sha256(data).hexdigest()] for name, data in extras]


class Upload:
    """
    One recording on its way in: `write` its bytes, then `finish`; or `abandon` it.

    The job's record exists from the start, unseen and with a lease, so that whatever an
    upload leaves behind is found and removed when its sender or this process dies.
    """

    def __init__(
        self, context: ServiceContext, job: Job, earlier: Job | None, refuse: Refuse
    ) -> None:
        self._context = context
        self._job = job
        self._earlier = earlier
        self._refuse = refuse
        self._quotas = Quotas(context, job.tenant)
        self._free = None if earlier else self._quotas.free_bytes()
        self._hash = hashlib.sha256()
        self._size = 0
        self._renewed = context.clock()
        self._stack = ExitStack()
        self._writer: ObjectWriter | None = None
        if earlier is None and job.source_url is None:
            self._writer = self._stack.enter_context(context.media.writer(job.objects["recording"]))

    @property
    def job_id(self) -> str:
        """The id of the job that this becomes, unless the request was made before."""
        return self._job.id

    @property
    def size_bytes(self) -> int:
        """Bytes written so far."""
        return self._size

    def write(self, data: bytes) -> None:
        """
        Take some bytes of the recording.

        Raises:
            UploadTooLarge: there are more than the limit allows.
            QuotaExceeded: there are more than its tenant may still keep.
            StorageFull, StorageError: they cannot be kept.
        """
        self._size += len(data)
        refuse_too_large(self._size, self._context.rules.max_upload_bytes)
        if self._free is not None and self._size > self._free:
            raise self._quotas.no_room()
        self._hash.update(data)
        if self._writer is not None:
            self._writer.write(data)
            self._renew()

    def finish(self, request: SubmissionRequest) -> Job:
        """
        Look at the recording and begin the job; returns it.

        A request that was made before with the same Idempotency-Key gives the job of then.
        When it fails, nothing of the upload is kept.

        Raises:
            InvalidAudio: the recording cannot be used.
            QuotaExceeded: its tenant has used up what one may use.
            InvalidOptions, AddressRefused: what is asked cannot be done.
            IdempotencyMismatch: the key was used for another request.
            StorageError: it cannot be kept.
        """
        try:
            with counted(self._context.meters, source_of(self._job)):
                return self._finish(request)
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Keep nothing of this upload; after `finish` it does nothing."""
        self._stack.__exit__(JobConflict, JobConflict("abandoned"), None)
        if self._earlier is not None:
            return
        with suppress(StorageError, JobNotFound):  # tending removes it when its lease is over
            now = self._context.clock()
            _, job = self._context.jobs.update(self._job.id, partial(withdrawn, now=now))
            if job.deleted:
                self._context.media.delete(job.prefix)
                self._context.jobs.remove(job.id)

    def _finish(self, request: SubmissionRequest) -> Job:
        self._refuse(request.options)
        if request.webhook_url is not None:
            self._context.fetcher.check(request.webhook_url)
        fingerprint = self._fingerprint(request)
        if self._earlier is not None:
            return _same(self._earlier, fingerprint)
        self._stack.close()
        facts: dict[str, Any] = {
            "fingerprint": fingerprint,
            "options": request.options,
            "extra_bytes": request.extra_bytes,
        }
        if request.webhook_url is not None:
            facts["webhook"] = Webhook(request.webhook_url)
        if self._job.source_url is None:
            media = self._probe()
            self._context.meters.upload(self._size)
            facts |= {"size_bytes": self._size, "media": media, "duration": media.duration}
        facts["objects"] = {**self._job.objects, **keep_extras(self._context, self._job, request)}
        return self._submitted(facts)

    def _submitted(self, facts: dict[str, Any]) -> Job:
        size = self._size + facts["extra_bytes"]
        with self._quotas.room(size, facts.get("duration") or 0.0):
            now = self._context.clock()
            return self._context.update(
                self._job.id, lambda job: submitted(replace(job, **facts), now)
            ).after

    def _probe(self) -> MediaInfo:
        if not self._size:
            raise UnsupportedFormat("The recording is empty: it has no bytes.")
        with self._context.media.open(self._job.objects["recording"]) as file:
            return self._context.decoder.probe(file)

    def _fingerprint(self, request: SubmissionRequest) -> str:
        asked = [*request.told(), self._job.name, self._job.source_url, self._hash.hexdigest()]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()

    def _renew(self) -> None:
        now, lease = self._context.clock(), self._context.rules.lease_seconds
        if abs(now - self._renewed) > lease / _RENEW_SHARE:  # a clock may be set back
            self._renewed = now
            self._context.jobs.update(self._job.id, partial(replace, lease_until=now + lease))


class Submissions:
    """The door for recordings."""

    def __init__(
        self, context: ServiceContext, refuse: Refuse = lambda _options: None, tenant: str = ""
    ) -> None:
        """
        Args:
            refuse: raises InvalidOptions for what the configured engines cannot do.
            tenant: whose jobs are made.
        """
        self._context = context
        self._refuse = refuse
        self._tenant = tenant

    def begin(self, name: str = "", idempotency_key: str | None = None) -> Upload:
        """
        Open an upload; what is wanted of it is said when it is finished.

        Raises:
            IdempotencyInProgress: the first request with this key is still being received.
            QueueFull, QuotaExceeded: no more jobs are taken, or none of this tenant.
            StorageError: there is no place to keep it.
        """
        with counted(self._context.meters, "upload", also_success=False):
            job = self._new(name, idempotency_key)
            return self._open(replace(job, objects={"recording": f"{job.prefix}/recording"}))

    def submit_url(
        self,
        url: str,
        request: SubmissionRequest,
        name: str = "",
        idempotency_key: str | None = None,
    ) -> Job:
        """
        Begin a job whose recording a worker fetches.

        Raises:
            AddressRefused, FetchError: the address is not one that may be called.
            InvalidOptions, IdempotencyError: as `begin` and `Upload.finish` do.
        """
        with counted(self._context.meters, "url", also_success=False):
            self._context.fetcher.check(url)
            job = replace(self._new(name, idempotency_key), source_url=url)
            upload = self._open(job)
        return upload.finish(request)

    def _open(self, job: Job) -> Upload:
        kept = self._known(job) or self._created(job)
        if kept.id == job.id:
            return Upload(self._context, kept, None, self._refuse)
        if kept.state == "uploading" or kept.deleted:
            raise IdempotencyInProgress(
                "A request with this Idempotency-Key is still being received, or its job is "
                "being deleted; send it again a little later."
            )
        return Upload(self._context, job, kept, self._refuse)

    def _known(self, job: Job) -> Job | None:
        """The job of a repeated request, which needs no place of its own."""
        key = job.idempotency_key
        return None if key is None else self._context.jobs.find_by_key(key, self._tenant)

    def _created(self, job: Job) -> Job:
        with Quotas(self._context, self._tenant).place():
            return self._context.jobs.create(job)

    def _new(self, name: str, key: str | None) -> Job:
        now = self._context.clock()
        return Job(
            id=uuid.uuid4().hex,
            options=Options(),
            name=clean(name),
            created_at=now,
            state="uploading",
            max_attempts=self._context.rules.max_attempts,
            lease_until=now + self._context.rules.lease_seconds,
            tenant=self._tenant,
            idempotency_key=checked_key(key),
            origin=Origin(now_bound("request_id"), self._context.tracer.current()),
        )


@contextmanager
def counted(meters: Meters, source: str, *, also_success: bool = True) -> Iterator[None]:
    """Count what somebody sends: that it was accepted, or why it was not."""
    try:
        yield
    except TranscriptionError as error:
        meters.submission(source, error.code)
        raise
    if also_success:
        meters.submission(source, "accepted")


def keep_extras(context: ServiceContext, job: Job, request: SubmissionRequest) -> dict[str, str]:
    """
    Write what comes along with a recording, under keys that nobody else uses.

    Returns:
        What the job's record should name: logical name -> key.

    Raises:
        StorageFull, StorageError: it cannot be kept.
    """
    keys = {name: f"{job.prefix}/{name}.{uuid.uuid4().hex}" for name in request.extras}
    for name, key in keys.items():
        context.media.put(key, request.extras[name])
    return keys


def source_of(job: Job) -> str:
    """How a recording comes."""
    return "upload" if job.source_url is None else "url"


def refuse_too_large(size_bytes: int, limit: int) -> None:
    """Raise UploadTooLarge for more bytes than the limit."""
    if size_bytes > limit:
        raise UploadTooLarge(
            f"The recording has more than {limit // _MEBIBYTE} MiB, the limit that "
            "MAX_UPLOAD_SIZE_MB sets; send a smaller file, for example its sound alone."
        )


def checked_key(key: str | None) -> str | None:
    """An Idempotency-Key as it is; raises InvalidOptions for what is none."""
    if key is not None and not (1 <= len(key) <= _NAME_LENGTH and key.isprintable()):
        raise InvalidOptions(f"Idempotency-Key must have 1 to {_NAME_LENGTH} printable characters.")
    return key


def clean(name: str) -> str:
    """The last part of a path as anybody may show it: printable, on one line."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(char for char in last if char.isprintable())[:_NAME_LENGTH]


def _same(earlier: Job, fingerprint: str) -> Job:
    if earlier.fingerprint != fingerprint:
        raise IdempotencyMismatch(
            "This Idempotency-Key was used before for another request; use a new key for a "
            "new recording or other options."
        )
    return earlier


def withdrawn(job: Job, now: float) -> Job:
    """Nobody waits for this upload any more; a job that it has become stays."""
    return deleted(job, now) if job.state == "uploading" else job
