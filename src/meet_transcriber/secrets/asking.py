"""What the managers that speak plain HTTP have in common."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx
from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

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
