"""The errors of this package, as one tree.

Each class has a stable `code`, inherited where it is not given; each instance a message that says
what happened, why, and what to do. Errors know neither HTTP nor exit codes; api and cli translate
them.
"""


class TranscriptionError(Exception):
    """Base class of all errors of this package."""

    code = "transcription_error"

    def __init_subclass__(cls, code: str | None = None) -> None:
        super().__init_subclass__()
        cls.code = code or cls.code


class InvalidAudio(TranscriptionError, code="invalid_audio"):
    """The recording cannot be used."""


class UnsupportedFormat(InvalidAudio, code="unsupported_format"):
    """The file is not audio or video in a supported format."""


class UnreadableAudio(InvalidAudio, code="unreadable_audio"):
    """The file is audio or video, but damaged."""


class DecoderStopped(UnreadableAudio):
    """The decoder reached a limit of time or memory, or crashed, and was stopped."""


class AudioTooLong(InvalidAudio, code="audio_too_long"):
    """The recording exceeds the maximum duration."""


class UploadTooLarge(InvalidAudio, code="upload_too_large"):
    """The recording exceeds the maximum size."""


class InvalidOptions(TranscriptionError, code="invalid_options"):
    """An option has an invalid value or contradicts another option."""


class MalformedRequest(TranscriptionError, code="malformed_request"):
    """The body of the request is malformed."""


class EngineError(TranscriptionError, code="engine_error"):
    """An engine failed."""


class EngineUnavailable(EngineError, code="engine_unavailable"):
    """An engine lacks its package, its weights or memory."""


class NothingToFetch(EngineError, code="nothing_to_fetch"):
    """No worker needs to fetch engines: they are configured by name, or already available."""


class RecognitionFailed(EngineError, code="recognition_failed"):
    """Speech recognition failed; the engine's error is the cause."""


class DiarizationFailed(EngineError, code="diarization_failed"):
    """Diarization failed; the engine's error is the cause."""


class JobError(TranscriptionError, code="job_error"):
    """The request does not fit the state of the job."""


class JobCancelled(JobError, code="job_cancelled"):
    """The job was cancelled; raised by progress callbacks."""


class JobNotFound(JobError, code="job_not_found"):
    """The job does not exist or was deleted."""


class UploadNotFound(JobNotFound, code="upload_not_found"):
    """The upload does not exist, was aborted or has expired."""


class JobNotReady(JobError, code="job_not_ready"):
    """The job has not produced the requested result yet."""


class JobConflict(JobError, code="job_conflict"):
    """The job's state does not allow the request, or the job was changed concurrently."""


class EditConflict(JobConflict, code="edit_conflict"):
    """The transcript was changed concurrently; the edit was not applied."""


class LeaseLost(JobError, code="lease_lost"):
    """Another worker has taken over the task; this worker's result is discarded."""


class IdempotencyError(JobError, code="idempotency_error"):
    """The Idempotency-Key cannot be used for this request."""


class IdempotencyInProgress(IdempotencyError, code="idempotency_in_progress"):
    """The first request with this Idempotency-Key is still in progress."""


class IdempotencyMismatch(IdempotencyError, code="idempotency_mismatch"):
    """The Idempotency-Key was used before for a different request."""


class UploadConflict(JobConflict, code="upload_conflict"):
    """
    The request does not match the state of the upload.

    Attributes:
        received_bytes: bytes received so far; the offset to continue at.
    """

    def __init__(self, message: str = "", received_bytes: int = 0) -> None:
        super().__init__(message)
        self.received_bytes = received_bytes


class FetchError(TranscriptionError, code="fetch_failed"):
    """A recording could not be downloaded from its URL."""


class AddressRefused(FetchError, code="address_refused"):
    """The service may not connect to the address."""


class ServerError(TranscriptionError, code="server_error"):
    """The server of a command refused the request, failed or is unreachable."""


class AccessError(TranscriptionError, code="access_error"):
    """The caller is not authorized for the request."""


class KeyRequired(AccessError, code="key_required"):
    """The request requires an API key and has none."""


class KeyRefused(AccessError, code="invalid_api_key"):
    """The API key or session is unknown, revoked or expired."""


class ScopeMissing(AccessError, code="scope_missing"):
    """The API key is valid but lacks the required scope."""


class CsrfRefused(AccessError, code="csrf_refused"):
    """The request may come from another site, or lacks the CSRF token."""


class NotLocal(AccessError, code="not_local"):
    """Only local requests are allowed, and this one may come from another machine."""


class HostRefused(AccessError, code="host_refused"):
    """The request names a host that is not known to be this service."""


class KeyConflict(TranscriptionError, code="key_conflict"):
    """The state of the API key does not allow the request."""


class KeyNotFound(TranscriptionError, code="key_not_found"):
    """The API key does not exist."""


class VoicesOff(TranscriptionError, code="voices_off"):
    """Voices are not stored, because VOICE_PROFILES is off."""


class VoiceNotFound(TranscriptionError, code="voice_not_found"):
    """The voice does not exist or was deleted."""


class VoiceConflict(TranscriptionError, code="voice_conflict"):
    """The request conflicts with the stored voices."""


class NoVoice(JobError, code="no_voice"):
    """The job has no voice of this speaker."""


class StorageError(TranscriptionError, code="storage_error"):
    """Stored data is missing, damaged or cannot be written."""


class StorageFull(StorageError, code="storage_full"):
    """The storage is full; the message names the setting that extends it."""


class StorageUnavailable(StorageError, code="storage_unavailable"):
    """The store is temporarily unavailable."""


class VoicesSealed(StorageError, code="voices_sealed"):
    """Voices were encrypted with another secret, or are damaged."""


class TooMuch(TranscriptionError, code="too_much"):
    """
    A limit was exceeded; the request may succeed later.

    Attributes:
        retry_after_seconds: when to retry; None if waiting does not help.
    """

    def __init__(self, message: str = "", retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class RateLimited(TooMuch, code="rate_limited"):
    """A rate limit was exceeded."""


class QuotaExceeded(TooMuch, code="quota_exceeded"):
    """A quota of the tenant was exceeded; the message names the setting."""


class QueueFull(TooMuch, code="queue_full"):
    """The queue is full; no jobs are accepted at the moment."""
