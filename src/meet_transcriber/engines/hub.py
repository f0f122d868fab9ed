"""Whisper's weights on disk and on the hub: finding, checking and fetching them."""

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meet_transcriber.core.errors import EngineUnavailable

# Where faster-whisper's conversions live (SYSTRAN/faster-whisper: faster_whisper/utils.py).
_SIZES = (
    "tiny", "tiny.en", "base", "base.en", "small", "small.en", "medium", "medium.en",
    "large-v1", "large-v2", "large-v3",
)  # fmt: skip
_DISTILLED = ("distil-small.en", "distil-medium.en", "distil-large-v2", "distil-large-v3")
REPOSITORIES = {
    **{size: f"Systran/faster-whisper-{size}" for size in _SIZES},
    **{size: f"Systran/faster-{size.replace('distil-', 'distil-whisper-')}" for size in _DISTILLED},
    "large": "Systran/faster-whisper-large-v3",
    "turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
}
"""Size to hub id."""

_PATTERNS = [
    "config.json",
    "preprocessor_config.json",
    "model.bin",
    "tokenizer.json",
    "vocabulary.*",
]
_DECIDE_SECONDS = 8.0  # leaves `doctor` two seconds of ten for everything else
_MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class LocalModel:
    """Weights in the cache: name, folder and size."""

    name: str
    folder: Path
    size_bytes: int


def repository_of(model: str) -> str:
    """
    The hub id of a size, or the id itself.

    Raises:
        EngineUnavailable: it is neither a size nor an id.
    """
    if model in REPOSITORIES:
        return REPOSITORIES[model]
    if model.count("/") == 1 and not model.startswith(("/", ".")):
        return model
    raise EngineUnavailable(
        f"There is no Whisper model {model!r}; use one of {', '.join(REPOSITORIES)}, "
        "a folder, or a hub id."
    )


def find_model(model: str) -> Path | None:
    """The folder of a model whose weights are complete on disk, without any network."""
    folder = Path(model)
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - slow to import
    from huggingface_hub.errors import LocalEntryNotFoundError  # noqa: PLC0415

    try:
        cached = snapshot_download(
            repository_of(model), allow_patterns=_PATTERNS, local_files_only=True
        )
    except (LocalEntryNotFoundError, EngineUnavailable):
        return None
    return Path(cached) if not missing_files(Path(cached)) else None


def missing_files(folder: Path) -> list[str]:
    """What a folder lacks to be a CTranslate2 Whisper model."""
    missing = [
        name
        for name in ("model.bin", "config.json")
        if not (folder / name).is_file() or not (folder / name).stat().st_size
    ]
    if not any(folder.glob("vocabulary.*")):
        missing.append("vocabulary.json")
    return missing


def hub_endpoint() -> str:
    """The hub's address; a mirror is set with HF_ENDPOINT."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def hub_problem(seconds: float = _DECIDE_SECONDS) -> str | None:
    """Why the hub cannot be reached, None when it can; decided within `seconds`."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return "HF_HUB_OFFLINE is set"
    answer: list[str | None] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(hub_endpoint(), timeout=2 * seconds):  # noqa: S310
                answer.append(None)
        except urllib.error.HTTPError:
            answer.append(None)  # it answered, whatever it said
        except (OSError, ValueError) as error:
            answer.append(str(getattr(error, "reason", error)))

    # a name that does not resolve can block for longer than any socket's time limit
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answer[0] if answer else f"no answer within {seconds:.0f} seconds"


def pull_model(model: str, tell: Callable[[int, int], None]) -> Path:
    """
    Fetch a model into the cache, if it is not there yet.

    Args:
        tell: hears bytes done and bytes in all.

    Raises:
        EngineUnavailable: the hub is out of reach or has no such model.
    """
    if found := find_model(model):
        return found
    repository = repository_of(model)
    if problem := hub_problem():
        raise EngineUnavailable(
            f"Cannot fetch {repository}: {hub_endpoint()} cannot be reached ({problem}). "
            f"With a network or a mirror in HF_ENDPOINT run: meet-transcriber models pull {model} "
            "- or copy the folder from elsewhere and set WHISPER_MODEL to it."
        )
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - slow to import
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415

    try:
        folder = snapshot_download(repository, allow_patterns=_PATTERNS, tqdm_class=_telling(tell))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise EngineUnavailable(f"Cannot fetch {repository}: {error}") from error
    return Path(folder)


def _telling(tell: Callable[[int, int], None]) -> Any:
    """A tqdm class that reports bytes instead of drawing."""
    from tqdm.auto import tqdm  # noqa: PLC0415 - comes with huggingface_hub

    class Telling(tqdm):  # type: ignore[misc,unused-ignore]
        def __init__(self, *args: Any, **options: Any) -> None:
            options.pop("name", None)
            options["disable"] = False
            options["mininterval"] = 0  # pieces are large, and the first is told, too
            super().__init__(*args, **options)

        def display(self, *_: Any, **__: Any) -> bool:
            if self.unit == "B" and self.total:
                tell(int(self.n), int(self.total))
            return True

    return Telling


def local_models() -> Iterator[LocalModel]:
    """Every Whisper model in the hub's cache that is complete."""
    for name, repository in REPOSITORIES.items():
        if REPOSITORIES.get("large") == repository and name == "large":
            continue
        if folder := find_model(name):
            size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
            yield LocalModel(name, folder, size)
