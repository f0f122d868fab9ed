"""Sources of settings besides the environment: mounted files and secret managers."""

import os
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from json import JSONDecodeError
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic.fields import FieldInfo
from pydantic_settings import (
    AWSSecretsManagerSettingsSource,
    AzureKeyVaultSettingsSource,
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsError,
)

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.settings.http_secrets import (
    match_settings,
    read_google,
    read_vault,
    unreadable,
)


class MountedFiles(SecretsSettingsSource):
    """
    One file per setting, named like it in either case; surrounding whitespace is removed.

    A link out of the folder is refused, so that write access to the folder does not allow reading
    other files; the links that Kubernetes makes stay inside.
    """

    def __init__(self, settings_cls: type[BaseSettings], folder: Path) -> None:
        super().__init__(settings_cls, folder)
        self._folder = folder

    def __call__(self) -> dict[str, Any]:
        """
        The settings that have a non-empty file.

        Raises:
            InvalidOptions: the folder does not exist, or a file in it cannot be read.
        """
        if not self._folder.is_dir():
            raise InvalidOptions(
                f"SECRETS_DIR is {self._folder}, which is not a folder; mount one, or unset it."
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                values = super().__call__()
        except (OSError, SettingsError) as error:  # the error has the contents of the file
            raise InvalidOptions(self._message(error)) from None
        return {name: value for name, value in values.items() if value != ""}

    def _message(self, error: Exception) -> str:
        cause = error.__cause__ or error
        if isinstance(cause, OSError):
            what = f"{cause.filename or 'a file'} cannot be read: {cause.strerror}"
        elif isinstance(cause, UnicodeDecodeError):
            what = "a file is not valid UTF-8"
        else:
            what = str(cause)
        return f"SECRETS_DIR {self._folder} cannot be used: {what}. Fix or remove the file."


_AWS_HINTS = {
    "AccessDeniedException": "Grant secretsmanager:GetSecretValue on it to the task's role.",
    "ResourceNotFoundException": "It does not exist in this region; SECRETS_NAME names another, "
    "AWS_REGION another region.",
    "NoRegionError": "Set AWS_REGION.",
    "NoCredentialsError": "Assign a role to the machine, or set AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY.",
}

_AWS_HINT = "Check the network, AWS_REGION and the permissions of this identity."


def read_aws(settings_cls: type[BaseSettings], name: str) -> dict[str, Any]:
    """
    The settings of a secret that is a JSON object, `{"HUGGINGFACE_ACCESS_TOKEN": "..."}`.

    Args:
        name: or ARN of the secret.

    Raises:
        InvalidOptions: there are no credentials, AWS refuses, or the secret has another form.
    """
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise InvalidOptions(
            "SECRETS_FROM=aws needs Amazon's library: pip install 'meet-transcriber[aws]'"
        ) from None
    what = f"The secret {name} of AWS Secrets Manager"
    try:
        source = AWSSecretsManagerSettingsSource(
            settings_cls, name, os.environ.get("AWS_REGION") or None, case_sensitive=False
        )
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "nothing"))
        raise unreadable(what, f"AWS answers {code}", _AWS_HINTS.get(code, _AWS_HINT)) from None
    except BotoCoreError as error:
        code = type(error).__name__
        raise unreadable(what, code, _AWS_HINTS.get(code, _AWS_HINT)) from None
    except (JSONDecodeError, AttributeError, KeyError, TypeError):  # they may contain the value
        hint = 'Write it as {"HUGGINGFACE_ACCESS_TOKEN": "hf_..."}.'
        raise unreadable(what, "it is not a JSON object", hint) from None
    except ValueError:
        raise unreadable(what, "the address of AWS is not valid", _AWS_HINT) from None
    return match_settings(settings_cls, source())


def read_azure(settings_cls: type[BaseSettings], name: str) -> dict[str, Any]:
    """
    The secrets of a key vault that are named like settings, with `-` for `_`.

    Args:
        name: of the vault, or its full address.

    Raises:
        InvalidOptions: there are no credentials, or the vault refuses.
    """
    try:
        from azure.core.exceptions import AzureError
        from azure.identity import DefaultAzureCredential
    except ImportError:
        raise InvalidOptions(
            "SECRETS_FROM=azure needs Microsoft's libraries: pip install 'meet-transcriber[azure]'"
        ) from None
    address = name if "://" in name else f"https://{name}.vault.azure.net"
    try:
        source = AzureKeyVaultSettingsSource(
            settings_cls, address, DefaultAzureCredential(), dash_to_underscore=True
        )
        return match_settings(settings_cls, source())
    except (AzureError, SettingsError, ValueError) as error:
        cause = error.__cause__ or error
        status = getattr(cause, "status_code", None)
        reason = type(cause).__name__ + (f", status {status}" if status else "")
        hint = "Assign the role Key Vault Secrets User to the identity, and check SECRETS_NAME."
        raise unreadable(f"The key vault {address}", reason, hint) from None


Manager = Literal["aws", "gcp", "vault", "azure"]
"""A kind of secret manager."""

DEFAULT_NAMES: dict[str, str] = {
    "aws": "meet-transcriber/hf-token",
    "gcp": "hf-token",
    "vault": "secret/meet-transcriber",
}
"""Defaults of SECRETS_NAME, as the deployment guide names secrets."""

Read = Callable[[type[BaseSettings], str], dict[str, Any]]
"""From the settings class and a secret's name to values by setting."""


class ManagedSecrets(PydanticBaseSettingsSource):
    """Reads a secret manager, once per instance of the settings."""

    def __init__(
        self, settings_cls: type[BaseSettings], read: Callable[[], dict[str, Any]]
    ) -> None:
        super().__init__(settings_cls)
        self._read = read

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Not called: one read returns every field."""
        raise NotImplementedError(field, field_name)

    def __call__(self) -> dict[str, Any]:
        """All values; raises InvalidOptions where the manager cannot be read."""
        return self._read()


def extra_sources(
    settings_cls: type[BaseSettings], values: Mapping[str, Any]
) -> tuple[PydanticBaseSettingsSource, ...]:
    """
    The sources that the environment and .env name: mounted files, then a secret manager.

    Args:
        values: of `secrets_dir`, `secrets_from` and `secrets_name`, where set; an unknown manager
            is left to the validation of the settings.
    """
    found: list[PydanticBaseSettingsSource] = []
    if folder := values.get("secrets_dir"):
        found.append(MountedFiles(settings_cls, Path(folder).expanduser()))
    manager: Any = values.get("secrets_from")
    if manager in get_args(Manager):
        name = values.get("secrets_name") or DEFAULT_NAMES.get(manager)
        found.append(ManagedSecrets(settings_cls, partial(_read, settings_cls, manager, name)))
    return tuple(found)


def _read(settings_cls: type[BaseSettings], manager: Manager, name: str | None) -> dict[str, Any]:
    if name is None:
        raise InvalidOptions(
            "SECRETS_FROM=azure needs SECRETS_NAME, the name or the address of the key vault."
        )
    return _reader(manager)(settings_cls, name)


def _reader(manager: Manager) -> Read:
    """Each imports its client only when it is called."""
    return {"aws": read_aws, "azure": read_azure, "gcp": read_google, "vault": read_vault}[manager]
