"""Azure Key Vault, through pydantic-settings' own source."""

from typing import Any

from pydantic_settings import AzureKeyVaultSettingsSource, BaseSettings, SettingsError

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.secrets.asking import by_setting, unreadable


def read(settings_cls: type[BaseSettings], name: str) -> dict[str, Any]:
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
