"""Secret managers read over plain HTTP: Google Secret Manager and HashiCorp Vault."""

import base64
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx
from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from meet_transcriber.core.errors import InvalidOptions

_TIMEOUT_SECONDS = 10.0


def unreadable(what: str, reason: str, mending: str) -> InvalidOptions:
    """The error of a secret that cannot be read; never carries a value or a foreign error."""
    return InvalidOptions(f"{what} cannot be read: {reason}. {mending}")


def ask(
    what: str,
    url: str,
    *,
    headers: Mapping[str, str],
    refusals: Mapping[int, str],
    body: Mapping[str, str] | None = None,
    ca_file: Path | None = None,
) -> Any:
    """
    The JSON that a manager answers with; redirects are not followed, for headers carry tokens.

    Args:
        what: the secret, for errors.
        refusals: status to what mends it.
        body: sent as JSON with POST; None asks with GET.

    Raises:
        InvalidOptions: there is no answer, or another one.
    """
    method = "GET" if body is None else "POST"
    try:
        verify: Any = True if ca_file is None else _trusting(ca_file)
        with httpx.Client(timeout=_TIMEOUT_SECONDS, verify=verify) as client:
            answer = client.request(method, url, headers=dict(headers), json=body)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        reason = f"{_host(url)} cannot be asked ({type(error).__name__})"
        raise unreadable(what, reason, "Check its address and that it runs.") from None
    if answer.status_code != httpx.codes.OK:
        mending = refusals.get(answer.status_code, "Its own log says why.")
        raise unreadable(what, f"{_host(url)} answers {answer.status_code}", mending)
    try:
        return answer.json()
    except ValueError:
        raise unreadable(what, f"{_host(url)} answers no JSON", "Check its address.") from None


def _trusting(ca_file: Path) -> Any:
    import ssl

    return ssl.create_default_context(cafile=str(ca_file))


def _host(url: str) -> str:
    """Scheme, host and port of an address, without a password that it may carry."""
    try:
        parts = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError):
        return "the address"
    return f"{parts.scheme}://{parts.netloc.decode('ascii')}"


def by_setting(settings_cls: type[BaseSettings], kept: Mapping[str, Any]) -> dict[str, Any]:
    """
    The values that settings have a name for, under their own names; others are left out.

    Neither case nor `-` for `_` matters in the names of what is kept.
    """
    plain = {name.lower().replace("-", "_"): value for name, value in kept.items()}
    found = {}
    for setting, field in settings_cls.model_fields.items():
        values = (plain[name] for name in _names(setting, field) if plain.get(name))
        if (value := next(values, None)) is not None:
            found[setting] = value
    return found


def _names(setting: str, field: FieldInfo) -> Iterable[str]:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [choice for choice in alias.choices if isinstance(choice, str)]
    return [setting]


def settings_in(text: str) -> dict[str, Any]:
    """A secret's text: a JSON object of settings, else the token itself, as the guide keeps it."""
    try:
        values = json.loads(text)
    except ValueError:
        values = text
    return values if isinstance(values, dict) else {"hf_token": text.strip()}


_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER"
"""The variable by which gcloud itself is sent to another address."""
_GOOGLE_REFUSALS = {
    401: "The credentials are not good for it.",
    403: "Grant roles/secretmanager.secretAccessor on it to the service account.",
    404: "There is none of that name with an enabled version; SECRETS_NAME names another.",
}


def read_google(settings_cls: type[BaseSettings], name: str) -> dict[str, Any]:
    """
    The newest version of a secret: the Hugging Face token itself, or a JSON object of settings.

    Args:
        name: of the secret; in another project `projects/PROJECT/secrets/NAME`.

    Raises:
        InvalidOptions: there are no credentials, or Google refuses.
    """
    what = f"The secret {name} of Google Secret Manager"
    token, project = _identity(what)
    if "/" not in name:
        if project is None:
            mending = "Set GOOGLE_CLOUD_PROJECT."
            raise unreadable(what, "nothing says which project it is in", mending)
        name = f"projects/{project}/secrets/{name}"
    endpoint = os.environ.get(_ENDPOINT) or "https://secretmanager.googleapis.com"
    answer = ask(
        what,
        f"{endpoint.rstrip('/')}/v1/{name}/versions/latest:access",
        headers={"Authorization": f"Bearer {token}"},
        refusals=_GOOGLE_REFUSALS,
    )
    try:
        text = base64.b64decode(answer["payload"]["data"]).decode()
    except (KeyError, TypeError, ValueError):
        raise unreadable(what, "it is no text", "Add a version that is.") from None
    return by_setting(settings_cls, settings_in(text))


def _identity(what: str) -> tuple[str, str | None]:
    """A token of whoever runs this, and the project that goes with it."""
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
        mending = "Run on Google Cloud, or set GOOGLE_APPLICATION_CREDENTIALS."
        reason = f"Google gives no credentials ({type(error).__name__})"
        raise unreadable(what, reason, mending) from None
    return str(credentials.token), project


_VAULT_REFUSALS = {
    403: "The token or role may not read it: give its policy `read` on this path.",
    404: "Nothing is there: SECRETS_NAME is MOUNT/PATH, such as secret/meet-transcriber.",
    503: "Vault is sealed or not ready.",
}


class VaultAccess(BaseSettings):
    """Where Vault is and who asks, in the variables of Vault's own command line."""

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
        access: None takes the environment's.

    Raises:
        InvalidOptions: Vault cannot be reached or refuses.
    """
    access, what = access or VaultAccess(), f"The secret {name} of Vault"
    if access.addr is None:
        raise unreadable(what, "VAULT_ADDR is not set", "Set it to Vault's address.")
    mount, _, path = name.strip("/").partition("/")
    answer = _ask(access, what, f"{mount}/data/{path}", _token(access, what))
    try:
        return by_setting(settings_cls, answer["data"]["data"])
    except (KeyError, TypeError, AttributeError):
        mending = "SECRETS_NAME has to name a secret of a key-value store, version 2."
        raise unreadable(what, "Vault's answer has no fields", mending) from None


def _token(access: VaultAccess, what: str) -> str:
    """The token that is set, else the one that Vault gives to this pod for its role."""
    if access.token is not None:
        return access.token.get_secret_value().strip()
    if access.role is None:
        mending = "Set VAULT_TOKEN, or VAULT_ROLE in Kubernetes."
        raise unreadable(what, "nothing says who asks", mending)
    try:
        jwt = access.jwt_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        reason = f"{access.jwt_file} is not readable ({type(error).__name__})"
        raise unreadable(what, reason, "VAULT_JWT_FILE names another one.") from None
    login = f"auth/{access.auth_mount}/login"
    answer = _ask(access, what, login, body={"role": access.role, "jwt": jwt})
    try:
        return str(answer["auth"]["client_token"])
    except (KeyError, TypeError):
        reason = f"{login} gives no token"
        raise unreadable(what, reason, "VAULT_AUTH_MOUNT names another mount.") from None


def _ask(
    access: VaultAccess,
    what: str,
    path: str,
    token: str | None = None,
    body: dict[str, str] | None = None,
) -> Any:
    headers = {"X-Vault-Request": "true"}
    if token is not None:
        headers["X-Vault-Token"] = token
    if access.namespace is not None:
        headers["X-Vault-Namespace"] = access.namespace
    url = f"{(access.addr or '').rstrip('/')}/v1/{path}"
    return ask(
        what, url, headers=headers, refusals=_VAULT_REFUSALS, body=body, ca_file=access.cacert
    )
