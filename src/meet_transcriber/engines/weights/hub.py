"""The hub of models: whether it can be reached, and files from it."""

import http.client
import os
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.engines.weights.folder import ModelsFolder

_DECIDE_SECONDS = 8.0

Tell = Callable[[int, int], None]
"""Hears bytes done and bytes in all."""


def hub_endpoint() -> str:
    """The hub's address, to be shown; a mirror is set with HF_ENDPOINT."""
    return without_passwords(_endpoint())


def without_passwords(text: str) -> str:
    """A text whose addresses have lost the user and the password."""
    return re.sub(r"://\S*@", "://", text)


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


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
        except (OSError, ValueError, http.client.HTTPException) as error:
            answer.append(without_passwords(str(getattr(error, "reason", error))))

    # a name that does not resolve can block for longer than any socket's time limit
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answer[0] if answer else f"no answer within {seconds:.0f} seconds"


def cached(repository: str, revision: str | None, patterns: Sequence[str]) -> Path | None:
    """The folder of a repository in the hub's own cache; None where there is none."""
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415 - slow to import
        from huggingface_hub.errors import LocalEntryNotFoundError  # noqa: PLC0415
    except ImportError:  # an API's machine
        return None
    try:
        folder = snapshot_download(
            repository, revision=revision, allow_patterns=list(patterns), local_files_only=True
        )
    except (LocalEntryNotFoundError, ValueError):  # it is not there, or it is no name
        return None
    return Path(folder)


def fetch(
    repository: str, revision: str | None, patterns: Sequence[str], folder: Path, tell: Tell
) -> str:
    """
    Fetch files of a repository into a folder; what was begun there is gone on with.

    Returns:
        the commit they are from.

    Raises:
        EngineUnavailable: the hub cannot be reached, refuses, or has no such repository.
    """
    if problem := hub_problem():
        raise EngineUnavailable(f"{hub_endpoint()} cannot be reached ({problem})")
    try:
        from huggingface_hub import HfApi, snapshot_download  # noqa: PLC0415 - slow to import
        from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415
    except ImportError as error:
        raise EngineUnavailable("huggingface_hub is not installed here") from error
    # what its HTTP client raises, whichever that is, and what comes of a mirror that is none
    client = cast("tuple[type[Exception], ...]", HfHubHTTPError.__bases__)
    troubles: tuple[type[Exception], ...] = (
        *client,
        OSError,
        ValueError,
        TypeError,
        AssertionError,
        RuntimeError,
    )
    try:
        api = HfApi(endpoint=_endpoint())
        commit = api.model_info(repository, revision=revision).sha or revision or "main"
        snapshot_download(
            repository,
            revision=commit,
            allow_patterns=list(patterns),
            local_dir=folder,
            tqdm_class=_telling(tell),
            endpoint=_endpoint(),
        )
    except troubles as error:
        raise EngineUnavailable(f"{hub_endpoint()}/{repository}: {_first_line(error)}") from error
    return commit


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return without_passwords(lines[0].rstrip(".")) if lines else type(error).__name__


def _telling(tell: Tell) -> Any:
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


PLDA_REPOSITORY = "pyannote/speaker-diarization-community-1"
_PLDA_FILES = ("plda/xvec_transform.npz", "plda/plda.npz")


def find_plda(models: ModelsFolder) -> Path | None:
    """The folder of community-1's PLDA; None where it is not on this machine."""
    found = find_files(models, PLDA_REPOSITORY, _PLDA_FILES)
    return found / "plda" if found else None


def find_files(models: ModelsFolder, repository: str, names: Sequence[str]) -> Path | None:
    """
    The folder that has these files of a repository; None where none has them all.

    Looked for are the folder of models and the hub's cache; no network is used.
    """
    places = (models.place(repository), cached(repository, None, names))
    return next((each for each in places if each and _has(each, names)), None)


def _has(folder: Path, names: Sequence[str]) -> bool:
    return all((folder / name).is_file() for name in names)
