"""Google Secret Manager: Google's library says who asks, one GET reads.

pydantic-settings has a source of its own. It asks for every setting by name, needs the right to
list secrets, which the guide does not grant, and takes a refusal for a secret that is not there.
"""

import base64
import os
from typing import Any

from pydantic_settings import BaseSettings

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.secrets.asking import ask, by_setting, settings_in, unreadable

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER"
"""The variable by which gcloud itself is sent to another address."""
_REFUSALS = {
    401: "The credentials are not good for it.",
    403: "Grant roles/secretmanager.secretAccessor on it to the service account.",
    404: "There is none of that name with an enabled version; SECRETS_NAME names another.",
}


def read(settings_cls: type[BaseSettings], name: str) -> dict[str, Any]:
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
        refusals=_REFUSALS,
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
