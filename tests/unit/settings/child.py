"""Settings as a process of its own finds them; its environment is what is said and no more."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_SHOW = """
import json, sys
from pydantic import SecretStr
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.settings import load_settings

try:
    settings = load_settings()
except InvalidOptions as error:
    sys.exit(f"error: {error}")
shown = {}
for name in settings.model_fields_set:
    value = getattr(settings, name)
    shown[name] = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
print(json.dumps(shown))
"""


@dataclass(frozen=True)
class Loaded:
    """What a process read: every setting that is not a default, or the sentence it ended with."""

    settings: dict[str, str]
    error: str

    @property
    def token(self) -> str | None:
        return self.settings.get("huggingface_access_token")


def load(folder: Path, **environment: object) -> Loaded:
    """Load settings in `folder`, where a `.env` may lie."""
    done = subprocess.run(
        [sys.executable, "-c", _SHOW],
        cwd=folder,
        env={name: str(value) for name, value in environment.items()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return Loaded(json.loads(done.stdout or "{}"), done.stderr.strip())
