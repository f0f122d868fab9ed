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


class EngineError(TranscriptionError):
    """An engine could not do its work."""

    code = "engine_error"


class EngineUnavailable(EngineError):
    """The package, the weights or the memory for an engine is missing."""

    code = "engine_unavailable"


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


class StorageError(TranscriptionError):
    """Stored data is missing, damaged or cannot be written."""

    code = "storage_error"
