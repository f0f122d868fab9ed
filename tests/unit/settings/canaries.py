"""A value for every secret setting that is easily found again wherever it turns up."""

import base64
from typing import Any, get_args

from pydantic import SecretStr

from meet_transcriber.settings import Settings

CLOSED_PORT = 9
"""Nobody listens there."""


def secret_settings() -> list[str]:
    """Every setting that holds a secret, by its type."""
    fields = Settings.model_fields.items()
    return [name for name, field in fields if SecretStr in _kinds(field.annotation)]


def _kinds(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) or (annotation,)


def canary(name: str) -> str:
    """What must turn up nowhere."""
    return base64.b64encode(f"canary of {name}".encode().ljust(32)).decode()


def value_of(name: str) -> str:
    """The canary in the form that the setting wants."""
    forms = {
        "redis_url": f"redis://:{canary(name)}@127.0.0.1:{CLOSED_PORT}/0",
        "webhook_secret": f"whsec_{canary(name)}",
    }
    return forms.get(name, canary(name))


def environment(*without: str) -> dict[str, str]:
    """Every secret as a variable, but for some."""
    return {name.upper(): value_of(name) for name in secret_settings() if name not in without}


def leaked(text: str) -> list[str]:
    """The secrets that a text gives away, whole or their first half."""
    return [name for name in secret_settings() if canary(name)[:20] in text]
