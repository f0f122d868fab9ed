"""Which models there are: the configured one, under its own names and the hosted ones."""

from collections.abc import Iterator
from typing import Any

from meet_transcriber.api.openai.errors import ApiError
from meet_transcriber.settings import Settings

ALIASES = (
    "whisper-1",
    "gpt-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
    "gpt-4o-transcribe-diarize",
)
"""Names of OpenAI's own models; each stands for the configured one."""


class Catalogue:
    """The names that `model` may have."""

    def __init__(self, settings: Settings, created: int) -> None:
        """
        Args:
            created: seconds since 1970, shown as the time of every model.
        """
        self._names = tuple(_configured(settings))
        self._created = created

    def listing(self) -> dict[str, Any]:
        """OpenAI's list of models."""
        return {"object": "list", "data": [self.entry(name) for name in self._known()]}

    def entry(self, name: str) -> dict[str, Any]:
        """
        OpenAI's object for a model.

        Raises:
            ApiError: 404, there is no such model.
        """
        if name not in self._known():
            raise ApiError(
                404,
                f"The model {name[:100]!r} does not exist here; there are "
                f"{', '.join(self._known())}.",
                code="model_not_found",
                param="model",
            )
        return {
            "id": name,
            "object": "model",
            "created": self._created,
            "owned_by": "meet-transcriber",
        }

    def _known(self) -> tuple[str, ...]:
        return (*self._names, *ALIASES)


def _configured(settings: Settings) -> Iterator[str]:
    """The configured model's names; of a folder or a hub id the last part, no path is shown."""
    name = settings.whisper_model.rstrip("/").rpartition("/")[2]
    yield name
    yield f"whisper-{name}"
