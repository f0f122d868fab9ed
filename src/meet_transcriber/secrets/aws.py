"""AWS Secrets Manager, through pydantic-settings' own source."""

import os
from json import JSONDecodeError
from typing import Any

from pydantic_settings import AWSSecretsManagerSettingsSource, BaseSettings

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.secrets.asking import by_setting, unreadable

_MENDING = {
    "AccessDeniedException": "Grant secretsmanager:GetSecretValue on it to the task's role.",
    "ResourceNotFoundException": "There is none of that name in this region; SECRETS_NAME names "
    "another, AWS_REGION another region.",
    "NoRegionError": "Set AWS_REGION.",
    "NoCredentialsError": "Give the machine a role, or set AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY.",
}

_OTHERWISE = "Check the network, AWS_REGION and the rights of whoever asks."


def read(settings_cls: type[BaseSettings], name: str) -> dict[str, Any]:
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
