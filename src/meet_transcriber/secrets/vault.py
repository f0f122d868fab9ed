"""HashiCorp Vault's key-value store, version 2: one GET, so no client library is needed."""

from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from meet_transcriber.secrets.asking import ask, by_setting, unreadable

_REFUSALS = {
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


def read(
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
    return ask(what, url, headers=headers, refusals=_REFUSALS, body=body, ca_file=access.cacert)
