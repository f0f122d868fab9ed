"""Everything that can be set from outside: the environment, or a `.env` file beside it."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """One frozen set of settings; the names are the environment's, in lower case."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True)

    huggingface_access_token: SecretStr | None = Field(
        None, description="Token for gated models of Hugging Face; nothing else uses it."
    )
    whisper_model: str = Field(
        "base",
        description="Whisper model: a size (tiny, base, small, medium, large-v3, turbo, "
        "distil-large-v3), a folder, or a hub id.",
    )
    whisper_device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where Whisper computes; auto takes a GPU where there is one."
    )
    whisper_compute_type: str | None = Field(
        None, description="Precision, such as int8 or float16; unset takes what the device does."
    )
    diarization_model: str = Field(
        "pyannote/speaker-diarization-3.1",
        description="pyannote pipeline: a hub id or a folder with a config.yaml.",
    )
    asr_engine: Literal["auto", "faster-whisper", "pocketsphinx"] = Field(
        "auto",
        description="Recognizer; auto takes faster-whisper where weights are to be had, else the "
        "draft engine pocketsphinx, and says so.",
    )
    diarization_engine: Literal["auto", "pyannote", "acoustic", "none"] = Field(
        "auto",
        description="Diarizer; auto takes pyannote where it is installed with its weights, else "
        "the draft engine acoustic, and says so.",
    )
    min_speakers: int | None = Field(
        None, ge=1, le=50, description="Fewest speakers, where the request says nothing."
    )
    max_speakers: int | None = Field(
        None, ge=1, le=50, description="Most speakers, where the request says nothing."
    )
    max_audio_duration_seconds: float = Field(
        14_400, gt=0, description="Longest recording taken, in seconds."
    )
    data_dir: Path = Field(
        Path.home() / ".local" / "share" / "meet-transcriber",
        description="Folder for checkpoints of recordings that were interrupted.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severity of the log lines on stderr."
    )
