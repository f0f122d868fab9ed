"""Settings kept outside the environment: mounted files and secret managers."""

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
    by_setting,
    read_google,
    read_vault,
    unreadable,
)


class MountedFiles(SecretsSettingsSource):
    """
    One file for each setting: its name in either case, its text without space around it.

    A file that leads out of the folder is refused, so that whoever may write links there
    cannot have other files read; Kubernetes' own links stay inside.
    """

    def __init__(self, settings_cls: type[BaseSettings], folder: Path) -> None:
        super().__init__(settings_cls, folder)
        self._folder = folder

    def __call__(self) -> dict[str, Any]:
        """
        The settings that have a file which is not empty.

        Raises:
            InvalidOptions: there is no such folder, or a file of it cannot be read.
        """
        if not self._folder.is_dir():
            raise InvalidOptions(
                f"SECRETS_DIR is {self._folder}, and no folder is there; mount one, or unset it."
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                values = super().__call__()
        except (OSError, SettingsError) as error:  # a broken file's bytes hang on the error
            raise InvalidOptions(self._words(error)) from None
        return {name: value for name, value in values.items() if value != ""}

    def _words(self, error: Exception) -> str:
        cause = error.__cause__ or error
        if isinstance(cause, OSError):
            what = f"{cause.filename or 'a file'} cannot be read: {cause.strerror}"
        elif isinstance(cause, UnicodeDecodeError):
            what = "a file is no text in UTF-8"
        else:
            what = str(cause)
        return f"SECRETS_DIR {self._folder} cannot be used: {what}. Mend the file or take it away."


_MENDING = {
    "AccessDeniedException": "Grant secretsmanager:GetSecretValue on it to the task's role.",
    "ResourceNotFoundException": "There is none of that name in this region; SECRETS_NAME names "
    "another, AWS_REGION another region.",
    "NoRegionError": "Set AWS_REGION.",
    "NoCredentialsError": "Give the machine a role, or set AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY.",
}

_OTHERWISE = "Check the network, AWS_REGION and the rights of whoever asks."


def read_aws(settings_cls: type[BaseSettings], name: str) -> dict[str, Any]:
    """
    The settings of a secret that is a JSON object, `{"HUGGINGFACE_ACCESS_TOKEN": "..."}`.

    Args:
        name: or ARN of the secret.

    Raises:
        InvalidOptions: there are no credentials, AWS refuses, or the secret is something else.
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
        raise unreadable(what, f"AWS answers {code}", _MENDING.get(code, _OTHERWISE)) from None
    except BotoCoreError as error:
        code = type(error).__name__
        raise unreadable(what, code, _MENDING.get(code, _OTHERWISE)) from None
    except (JSONDecodeError, AttributeError, KeyError, TypeError):  # they may carry the value
        mending = 'Write it as {"HUGGINGFACE_ACCESS_TOKEN": "hf_..."}.'
        raise unreadable(what, "it is no JSON object", mending) from None
    except ValueError:
        raise unreadable(what, "the address of AWS is none", _OTHERWISE) from None
    return by_setting(settings_cls, source())


def read_azure(settings_cls: type[BaseSettings], name: str) -> dict[str, Any]:
    """
    The secrets of a vault that are called like settings, with `-` for `_`.

    Args:
        name: of the vault, or its whole address.

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
        return by_setting(settings_cls, source())
    except (AzureError, SettingsError, ValueError) as error:
        cause = error.__cause__ or error
        status = getattr(cause, "status_code", None)
        reason = type(cause).__name__ + (f", status {status}" if status else "")
        mending = "Give the identity the role Key Vault Secrets User, and check SECRETS_NAME."
        raise unreadable(f"The key vault {address}", reason, mending) from None


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
    """Each imports its client only when it is called."""
    return {"aws": read_aws, "azure": read_azure, "gcp": read_google, "vault": read_vault}[manager]
