"""Everything that can go wrong, as one tree of errors.

Each class carries a stable `code`; each instance one sentence that says what happened,
why, and what to do. Errors know no HTTP and no exit codes: the edges translate them.
"""


class TranscriptionError(Exception):
    """Base of every error this package raises on purpose."""

    code = "transcription_error"


class InvalidAudio(TranscriptionError):
    """The recording cannot be used."""

    code = "invalid_audio"


class UnsupportedFormat(InvalidAudio):
    """The file is no audio or video that can be decoded."""

    code = "unsupported_format"


class UnreadableAudio(InvalidAudio):
    """The file claims to be audio or video but breaks while being read."""

    code = "unreadable_audio"


class AudioTooLong(InvalidAudio):
    """The recording is longer than the limit allows."""

    code = "audio_too_long"


class InvalidOptions(TranscriptionError):
    """An option has a value that makes no sense, or contradicts another."""

    code = "invalid_options"


class MalformedRequest(TranscriptionError):
    """The request cannot be read: its body is broken."""

    code = "malformed_request"


class EngineError(TranscriptionError):
    """An engine could not do its work."""

    code = "engine_error"


class EngineUnavailable(EngineError):
    """The package, the weights or the memory for an engine is missing."""

    code = "engine_unavailable"


class NothingToFetch(EngineError):
    """No worker would look for other engines: they are named, or the real ones are there."""

    code = "nothing_to_fetch"


class RecognitionFailed(EngineError):
    """Speech recognition stopped; the engine's own error is the cause."""

    code = "recognition_failed"


class DiarizationFailed(EngineError):
    """Diarization stopped; the engine's own error is the cause."""

    code = "diarization_failed"


class JobError(TranscriptionError):
    """The request does not fit the state of the job."""

    code = "job_error"


class JobCancelled(JobError):
    """Somebody cancelled the work; raised by progress callbacks."""

    code = "job_cancelled"


class JobNotFound(JobError):
    """There is no such job, or it was deleted."""

    code = "job_not_found"


class JobNotReady(JobError):
    """The job has not come far enough for what was asked."""

    code = "job_not_ready"


class JobConflict(JobError):
    """The job's state forbids what was asked, or somebody else changed it first."""

    code = "job_conflict"


class EditConflict(JobConflict):
    """Somebody else changed the transcript first; the edit was not made."""

    code = "edit_conflict"


class LeaseLost(JobError):
    """Somebody else took over the task, so this worker's result does not count."""

    code = "lease_lost"


class IdempotencyError(JobError):
    """An Idempotency-Key was used before, in a way that does not fit."""

    code = "idempotency_error"


class IdempotencyInProgress(IdempotencyError):
    """The first request with this key has not been answered yet."""

    code = "idempotency_in_progress"


class IdempotencyMismatch(IdempotencyError):
    """The key was used before for another request."""

    code = "idempotency_mismatch"


class UploadTooLarge(InvalidAudio):
    """The recording has more bytes than the limit allows."""

    code = "upload_too_large"


class UploadNotFound(JobNotFound):
    """There is no such upload, or it was given up or has expired."""

    code = "upload_not_found"


class UploadConflict(JobConflict):
    """
    What was asked does not fit what has come of the upload.

    Attributes:
        received_bytes: how much has come: where to go on.
    """

    code = "upload_conflict"

    def __init__(self, message: str = "", received_bytes: int = 0) -> None:
        super().__init__(message)
        self.received_bytes = received_bytes


class FetchError(TranscriptionError):
    """A recording could not be fetched from its address."""

    code = "fetch_failed"


class AddressRefused(FetchError):
    """The address is not one that this service may connect to."""

    code = "address_refused"


class ServerError(TranscriptionError):
    """A server that a command talks to refuses, fails, or cannot be reached."""

    code = "server_error"


class AccessError(TranscriptionError):
    """The caller may not do what was asked."""

    code = "access_error"


class KeyRequired(AccessError):
    """There is no API key in the request, and it needs one."""

    code = "key_required"


class KeyRefused(AccessError):
    """The API key or session is unknown, was revoked or has expired."""

    code = "invalid_api_key"


class ScopeMissing(AccessError):
    """The API key holds, but not for this."""

    code = "scope_missing"


class CsrfRefused(AccessError):
    """A page of another site may have sent the request, or the CSRF token is missing."""

    code = "csrf_refused"


class KeyConflict(TranscriptionError):
    """What was asked cannot be done to this API key."""

    code = "key_conflict"


class KeyNotFound(TranscriptionError):
    """There is no such API key."""

    code = "key_not_found"


class StorageError(TranscriptionError):
    """Stored data is missing, damaged or cannot be written."""

    code = "storage_error"


class VoicesOff(TranscriptionError):
    """Voices are not remembered here, as VOICE_PROFILES is off."""

    code = "voices_off"


class VoiceNotFound(TranscriptionError):
    """There is no such voice, or it was deleted."""

    code = "voice_not_found"


class VoiceConflict(TranscriptionError):
    """What was asked does not fit the voices that are remembered."""

    code = "voice_conflict"


class NoVoice(JobError):
    """The meeting keeps no voice of this speaker."""

    code = "no_voice"


class VoicesSealed(StorageError):
    """Voices were sealed with another secret, or are damaged."""

    code = "voices_sealed"


class StorageFull(StorageError):
    """There is no room for what should be stored; says which setting gives more."""

    code = "storage_full"


class StorageUnavailable(StorageError):
    """The store does not answer at the moment; trying again may help."""

    code = "storage_unavailable"


class TooMuch(TranscriptionError):
    """
    More was asked than is allowed; later, or after something has ended, it may be possible.

    Attributes:
        retry_after_seconds: when asking again makes sense; None where waiting does not help.
    """

    code = "too_much"

    def __init__(self, message: str = "", retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class RateLimited(TooMuch):
    """Too many requests came in too short a time."""

    code = "rate_limited"


class QuotaExceeded(TooMuch):
    """The caller has used up what one tenant may use; names the setting."""

    code = "quota_exceeded"


class QueueFull(TooMuch):
    """So many jobs wait that no more are taken at the moment."""

    code = "queue_full"


class NotLocal(AccessError):
    """Only programs on this machine may call, and this request may come from elsewhere."""

    code = "not_local"
