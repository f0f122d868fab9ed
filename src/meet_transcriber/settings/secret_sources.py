"""Sources of settings besides the environment: mounted files and secret managers."""

import base64
import json
import os
import ssl
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_args

import httpx
from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import (
    AWSSecretsManagerSettingsSource,
    AzureKeyVaultSettingsSource,
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from meet_transcriber.core.errors import InvalidOptions

Manager = Literal["aws", "gcp", "vault", "azure"]
"""A kind of secret manager."""

DEFAULT_NAMES: dict[str, str] = {
    "aws": "meet-transcriber/hf-token",
    "gcp": "hf-token",
    "vault": "secret/meet-transcriber",
}
"""Defaults of SECRETS_NAME, as the deployment guide names secrets."""

_TIMEOUT_SECONDS = 10.0


def extra_sources(
    settings_cls: type[BaseSettings], values: Mapping[str, Any]
) -> tuple[PydanticBaseSettingsSource, ...]:
    """
    The sources that the environment and .env name: mounted files, then a secret manager.

    Args:
        values: of `secrets_dir`, `secrets_from` and `secrets_name`, where set; an unknown manager
            is left to the validation of the settings.

    Raises:
        InvalidOptions: the manager cannot be read.
    """
    found: list[PydanticBaseSettingsSource] = []
    if folder := values.get("secrets_dir"):
        found.append(MountedFiles(settings_cls, Path(folder).expanduser()))
    manager: Any = values.get("secrets_from")
    if manager in get_args(Manager):
        name = values.get("secrets_name") or DEFAULT_NAMES.get(manager)
        if name is None:
            raise InvalidOptions(
                "SECRETS_FROM=azure needs SECRETS_NAME, the name or the address of the key vault."
            )
        read = {"aws": read_aws, "azure": read_azure, "gcp": read_google, "vault": read_vault}
        found.append(InitSettingsSource(settings_cls, read[manager](settings_cls, name)))
    return tuple(found)


# -- mounted files ----------------------------------------------------------------------------


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
        """The settings with a non-empty file; raises InvalidOptions if one cannot be read."""
        if not self._folder.is_dir():
            raise InvalidOptions(
                f"SECRETS_DIR is {self._folder}, which is not a folder; mount one, or unset it."
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # pydantic-settings only warns of unusable folders
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


# -- what managers share ----------------------------------------------------------------------


def unreadable(what: str, reason: str, hint: str) -> InvalidOptions:
    """The error of a secret that cannot be read; contains no value and no foreign error."""
    return InvalidOptions(f"{what} cannot be read: {reason}. {hint}")


def fetch_json(
    what: str,
    url: str,
    *,
    headers: Mapping[str, str],
    hints: Mapping[int, str],
    body: Mapping[str, str] | None = None,
    ca_file: Path | None = None,
) -> Any:
    """
    The JSON response of a manager; redirects are not followed, as headers contain tokens.

    Args:
        what: the secret, for error messages.
        hints: from status to advice.
        body: sent as JSON with POST; None sends GET.

    Raises:
        InvalidOptions: there is no response, or it is not one.
    """
    method = "GET" if body is None else "POST"
    try:
        verify = True if ca_file is None else ssl.create_default_context(cafile=ca_file)
        with httpx.Client(timeout=_TIMEOUT_SECONDS, verify=verify) as client:
            response = client.request(method, url, headers=dict(headers), json=body)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        reason = f"{_host(url)} cannot be reached ({type(error).__name__})"
        raise unreadable(what, reason, "Check its address and that it runs.") from None
    if response.status_code != httpx.codes.OK:
        hint = hints.get(response.status_code, "Its log says why.")
        raise unreadable(what, f"{_host(url)} answers {response.status_code}", hint)
    try:
        return response.json()
    except ValueError:
        reason = f"{_host(url)} does not answer in JSON"
        raise unreadable(what, reason, "Check its address.") from None


def _host(url: str) -> str:
    """Scheme, host and port of an address, without the password that it may contain."""
    try:
        parts = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError):
        return "the address"
    return f"{parts.scheme}://{parts.netloc.decode('ascii')}"


def match_settings(settings_cls: type[BaseSettings], values: Mapping[str, Any]) -> dict[str, Any]:
    """
    The values of known settings, by setting; others are dropped.

    Names are compared without case, and `-` equals `_`.
    """
    plain = {name.lower().replace("-", "_"): value for name, value in values.items()}
    found = {}
    for setting, field in settings_cls.model_fields.items():
        found_values = (plain[name] for name in _names(setting, field) if plain.get(name))
        if (value := next(found_values, None)) is not None:
            found[setting] = value
    return found


def _names(setting: str, field: FieldInfo) -> Iterable[str]:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [choice for choice in alias.choices if isinstance(choice, str)]
    return [setting]


# -- AWS and Azure, with their libraries ------------------------------------------------------

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
    """Settings from a secret with a JSON object, by name or ARN; raises InvalidOptions."""
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
    # these may contain the value
    except (json.JSONDecodeError, AttributeError, KeyError, TypeError):
        hint = 'Write it as {"HUGGINGFACE_ACCESS_TOKEN": "hf_..."}.'
        raise unreadable(what, "it is not a JSON object", hint) from None
    except ValueError:
        raise unreadable(what, "the address of AWS is not valid", _AWS_HINT) from None
    return match_settings(settings_cls, source())


def read_azure(settings_cls: type[BaseSettings], name: str) -> dict[str, Any]:
    """
    Settings from secrets named like them with `-` for `_`; raises InvalidOptions.

    `name` is that of the key vault, or its full address.
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


# -- Google and Vault, over HTTP --------------------------------------------------------------

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER"
"""The variable with which gcloud is directed to another address."""
_GOOGLE_HINTS = {
    401: "The credentials are not valid for it.",
    403: "Grant roles/secretmanager.secretAccessor on it to the service account.",
    404: "It does not exist or has no enabled version; SECRETS_NAME names another.",
}


def read_google(settings_cls: type[BaseSettings], name: str) -> dict[str, Any]:
    """
    Settings from a secret's newest version: the Hugging Face token itself, or a JSON object.

    In another project `name` is `projects/PROJECT/secrets/NAME`. Raises InvalidOptions.
    """
    what = f"The secret {name} of Google Secret Manager"
    token, project = _identity(what)
    if "/" not in name:
        if project is None:
            raise unreadable(what, "its project is unknown", "Set GOOGLE_CLOUD_PROJECT.")
        name = f"projects/{project}/secrets/{name}"
    endpoint = os.environ.get(_ENDPOINT) or "https://secretmanager.googleapis.com"
    answer = fetch_json(
        what,
        f"{endpoint.rstrip('/')}/v1/{name}/versions/latest:access",
        headers={"Authorization": f"Bearer {token}"},
        hints=_GOOGLE_HINTS,
    )
    try:
        text = base64.b64decode(answer["payload"]["data"]).decode()
    except (KeyError, TypeError, ValueError):
        raise unreadable(what, "it is not text", "Add a version that is.") from None
    with suppress(ValueError):
        if isinstance(values := json.loads(text), dict):
            return match_settings(settings_cls, values)
    return match_settings(settings_cls, {"hf_token": text.strip()})


def _identity(what: str) -> tuple[str, str | None]:
    """An access token of this identity, and its project."""
    try:
        import google.auth
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request
    except ImportError:
        raise InvalidOptions(
            "SECRETS_FROM=gcp needs Google's library: pip install 'meet-transcriber[gcp]'"
        ) from None
    try:
        found: tuple[Any, str | None] = google.auth.default(scopes=[_SCOPE])
        credentials, project = found
        credentials.refresh(Request())
    except GoogleAuthError as error:
        hint = "Run on Google Cloud, or set GOOGLE_APPLICATION_CREDENTIALS."
        reason = f"Google gives no credentials ({type(error).__name__})"
        raise unreadable(what, reason, hint) from None
    return str(credentials.token), project


_VAULT_HINTS = {
    403: "The token or role may not read it: give its policy `read` on this path.",
    404: "It does not exist: SECRETS_NAME is MOUNT/PATH, such as secret/meet-transcriber.",
    503: "Vault is sealed or not ready.",
}


class VaultAccess(BaseSettings):
    """Address and credentials of Vault, in the variables of its own command line."""

    model_config = SettingsConfigDict(
        env_prefix="VAULT_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    addr: str | None = None
    token: SecretStr | None = None
    namespace: str | None = None
    cacert: Path | None = None
    role: str | None = None
    auth_mount: str = "kubernetes"
    jwt_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


def read_vault(
    settings_cls: type[BaseSettings], name: str, access: VaultAccess | None = None
) -> dict[str, Any]:
    """
    The fields of a secret; `hf_token` is the Hugging Face token.

    Args:
        name: mount and path with a `/` between, such as `secret/meet-transcriber`.
        access: from the environment where None.

    Raises:
        InvalidOptions: Vault cannot be reached or refuses.
    """
    access, what = access or VaultAccess(), f"The secret {name} of Vault"
    if access.addr is None:
        raise unreadable(what, "VAULT_ADDR is not set", "Set it to Vault's address.")
    mount, _, path = name.strip("/").partition("/")
    answer = _request(access, what, f"{mount}/data/{path}", _token(access, what))
    try:
        return match_settings(settings_cls, answer["data"]["data"])
    except (KeyError, TypeError, AttributeError):
        hint = "SECRETS_NAME must name a secret of a key-value store, version 2."
        raise unreadable(what, "Vault's answer has no fields", hint) from None


def _token(access: VaultAccess, what: str) -> str:
    """VAULT_TOKEN, else a token for VAULT_ROLE by the service account of this pod."""
    if access.token is not None:
        return access.token.get_secret_value().strip()
    if access.role is None:
        raise unreadable(what, "no token is set", "Set VAULT_TOKEN, or VAULT_ROLE in Kubernetes.")
    try:
        jwt = access.jwt_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        reason = f"{access.jwt_file} is not readable ({type(error).__name__})"
        raise unreadable(what, reason, "VAULT_JWT_FILE names another one.") from None
    login = f"auth/{access.auth_mount}/login"
    answer = _request(access, what, login, body={"role": access.role, "jwt": jwt})
    try:
        return str(answer["auth"]["client_token"])
    except (KeyError, TypeError):
        reason = f"{login} gives no token"
        raise unreadable(what, reason, "VAULT_AUTH_MOUNT names another mount.") from None


def _request(
    access: VaultAccess,
    what: str,
    path: str,
    token: str | None = None,
    body: dict[str, str] | None = None,
) -> Any:
    headers = {"X-Vault-Request": "true"}  # agents of Vault may refuse requests without it
    if token is not None:
        headers["X-Vault-Token"] = token
    if access.namespace is not None:
        headers["X-Vault-Namespace"] = access.namespace
    url = f"{(access.addr or '').rstrip('/')}/v1/{path}"
    return fetch_json(
        what, url, headers=headers, hints=_VAULT_HINTS, body=body, ca_file=access.cacert
    )
