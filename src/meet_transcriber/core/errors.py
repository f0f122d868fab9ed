"""The errors of this package, as one tree.

Each class has a stable `code`; each instance a message that says what happened, why, and what
to do. Errors know neither HTTP nor exit codes; api and cli translate them.
"""


class TranscriptionError(Exception):
    """Base class of all errors of this package."""

    code = "transcription_error"


class InvalidAudio(TranscriptionError):
    """The recording cannot be used."""

    code = "invalid_audio"


class UnsupportedFormat(InvalidAudio):
    """The file is not audio or video in a supported format."""

    code = "unsupported_format"


class UnreadableAudio(InvalidAudio):
    """The file is audio or video, but damaged."""

    code = "unreadable_audio"


class AudioTooLong(InvalidAudio):
    """The recording exceeds the maximum duration."""

    code = "audio_too_long"


class InvalidOptions(TranscriptionError):
    """An option has an invalid value or contradicts another option."""

    code = "invalid_options"


class MalformedRequest(TranscriptionError):
    """The body of the request is malformed."""

    code = "malformed_request"


class EngineError(TranscriptionError):
    """An engine failed."""

    code = "engine_error"


class EngineUnavailable(EngineError):
    """An engine lacks its package, its weights or memory."""

    code = "engine_unavailable"


class NothingToFetch(EngineError):
    """No worker needs to fetch engines: they are configured by name, or already available."""

    code = "nothing_to_fetch"


class RecognitionFailed(EngineError):
    """Speech recognition failed; the engine's error is the cause."""

    code = "recognition_failed"


class DiarizationFailed(EngineError):
    """Diarization failed; the engine's error is the cause."""

    code = "diarization_failed"


class JobError(TranscriptionError):
    """The request does not fit the state of the job."""

    code = "job_error"


class JobCancelled(JobError):
    """The job was cancelled; raised by progress callbacks."""

    code = "job_cancelled"


class JobNotFound(JobError):
    """The job does not exist or was deleted."""

    code = "job_not_found"


class JobNotReady(JobError):
    """The job has not produced the requested result yet."""

    code = "job_not_ready"


class JobConflict(JobError):
    """The job's state does not allow the request, or the job was changed concurrently."""

    code = "job_conflict"


class EditConflict(JobConflict):
    """The transcript was changed concurrently; the edit was not applied."""

    code = "edit_conflict"


class LeaseLost(JobError):
    """Another worker has taken over the task; this worker's result is discarded."""

    code = "lease_lost"


class IdempotencyError(JobError):
    """The Idempotency-Key cannot be used for this request."""

    code = "idempotency_error"


class IdempotencyInProgress(IdempotencyError):
    """The first request with this Idempotency-Key is still in progress."""

    code = "idempotency_in_progress"


class IdempotencyMismatch(IdempotencyError):
    """The Idempotency-Key was used before for a different request."""

    code = "idempotency_mismatch"


class UploadTooLarge(InvalidAudio):
    """The recording exceeds the maximum size."""

    code = "upload_too_large"


class UploadNotFound(JobNotFound):
    """The upload does not exist, was aborted or has expired."""

    code = "upload_not_found"


class UploadConflict(JobConflict):
    """
    The request does not match the state of the upload.

    Attributes:
        received_bytes: bytes received so far; the offset to continue at.
    """

    code = "upload_conflict"

    def __init__(self, message: str = "", received_bytes: int = 0) -> None:
        super().__init__(message)
        self.received_bytes = received_bytes


class FetchError(TranscriptionError):
    """A recording could not be downloaded from its URL."""

    code = "fetch_failed"


class AddressRefused(FetchError):
    """The service may not connect to the address."""

    code = "address_refused"


class ServerError(TranscriptionError):
    """The server of a command refused the request, failed or is unreachable."""

    code = "server_error"


class AccessError(TranscriptionError):
    """The caller is not authorized for the request."""

    code = "access_error"


class KeyRequired(AccessError):
    """The request requires an API key and has none."""

    code = "key_required"


class KeyRefused(AccessError):
    """The API key or session is unknown, revoked or expired."""

    code = "invalid_api_key"


class ScopeMissing(AccessError):
    """The API key is valid but lacks the required scope."""

    code = "scope_missing"


class CsrfRefused(AccessError):
    """The request may come from another site, or lacks the CSRF token."""

    code = "csrf_refused"


class KeyConflict(TranscriptionError):
    """The state of the API key does not allow the request."""

    code = "key_conflict"


class KeyNotFound(TranscriptionError):
    """The API key does not exist."""

    code = "key_not_found"


class StorageError(TranscriptionError):
    """Stored data is missing, damaged or cannot be written."""

    code = "storage_error"


class VoicesOff(TranscriptionError):
    """Voices are not stored, because VOICE_PROFILES is off."""

    code = "voices_off"


class VoiceNotFound(TranscriptionError):
    """The voice does not exist or was deleted."""

    code = "voice_not_found"


class VoiceConflict(TranscriptionError):
    """The request conflicts with the stored voices."""

    code = "voice_conflict"


class NoVoice(JobError):
    """The job has no voice of this speaker."""

    code = "no_voice"


class VoicesSealed(StorageError):
    """Voices were encrypted with another secret, or are damaged."""

    code = "voices_sealed"


class StorageFull(StorageError):
    """The storage is full; the message names the setting that extends it."""

    code = "storage_full"


class StorageUnavailable(StorageError):
    """The store is temporarily unavailable."""

    code = "storage_unavailable"


class TooMuch(TranscriptionError):
    """
    A limit was exceeded; the request may succeed later.

    Attributes:
        retry_after_seconds: when to retry; None if waiting does not help.
    """

    code = "too_much"

    def __init__(self, message: str = "", retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class RateLimited(TooMuch):
    """A rate limit was exceeded."""

    code = "rate_limited"


class QuotaExceeded(TooMuch):
    """A quota of the tenant was exceeded; the message names the setting."""

    code = "quota_exceeded"


class QueueFull(TooMuch):
    """The queue is full; no jobs are accepted at the moment."""

    code = "queue_full"


class NotLocal(AccessError):
    """Only local requests are allowed, and this one may come from another machine."""

    code = "not_local"
