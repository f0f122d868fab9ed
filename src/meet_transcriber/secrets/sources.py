"""Which places are read for settings, and in which order they win."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from meet_transcriber.core.errors import InvalidOptions

Manager = Literal["aws", "gcp", "vault", "azure"]
"""Kinds of secret managers."""

DEFAULT_NAMES: dict[str, str] = {
    "aws": "meet-transcriber/hf-token",
    "gcp": "hf-token",
    "vault": "secret/meet-transcriber",
}
"""What is read where SECRETS_NAME is unset: the deployment guide's own names."""

Read = Callable[[type[BaseSettings], str], dict[str, Any]]
"""From the class of settings and a secret's name to values by the names of settings."""


class ManagedSecrets(PydanticBaseSettingsSource):
    """Reads a manager once, each time that settings are made."""

    def __init__(
        self, settings_cls: type[BaseSettings], read: Callable[[], dict[str, Any]]
    ) -> None:
        super().__init__(settings_cls)
        self._read = read

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Not asked for: one read gives every field."""
        raise NotImplementedError(field, field_name)

    def __call__(self) -> dict[str, Any]:
        """Every value that is there; raises InvalidOptions where the manager cannot be read."""
        return self._read()


def kept_elsewhere(
    settings_cls: type[BaseSettings], said: Mapping[str, Any]
) -> tuple[PydanticBaseSettingsSource, ...]:
    """
    The sources behind the environment and .env, as these say: files first, then a manager.

    Args:
        said: `secrets_dir`, `secrets_from` and `secrets_name`, as far as they are set; a value
            that is none of a kind is left to the validation of the settings.
    """
    found: list[PydanticBaseSettingsSource] = []
    if folder := said.get("secrets_dir"):
        from meet_transcriber.secrets.mounted import MountedFiles

        found.append(MountedFiles(settings_cls, Path(folder).expanduser()))
    manager: Any = said.get("secrets_from")
    if manager in get_args(Manager):
        name = said.get("secrets_name") or DEFAULT_NAMES.get(manager)
        found.append(ManagedSecrets(settings_cls, partial(_read, settings_cls, manager, name)))
    return tuple(found)


def _read(settings_cls: type[BaseSettings], manager: Manager, name: str | None) -> dict[str, Any]:
    if name is None:
        raise InvalidOptions(
            "SECRETS_FROM=azure needs SECRETS_NAME, the name or the address of the key vault."
        )
    return _reader(manager)(settings_cls, name)


def _reader(manager: Manager) -> Read:
    """A client is loaded only where its manager is chosen."""
    if manager == "aws":
        from meet_transcriber.secrets.aws import read
    elif manager == "gcp":
        from meet_transcriber.secrets.google import read
    elif manager == "vault":
        from meet_transcriber.secrets.vault import read
    else:
        from meet_transcriber.secrets.azure import read
    return read
