"""Single files of hub repositories that no catalogue knows."""

from collections.abc import Sequence
from pathlib import Path

from meet_transcriber.engines.weights import hub
from meet_transcriber.engines.weights.folder import ModelsFolder


def find_files(models: ModelsFolder, repository: str, names: Sequence[str]) -> Path | None:
    """
    The folder that has these files of a repository; None where none has them all.

    Looked for are the folder of models and the hub's cache; no network is used.
    """
    places = (models.place(repository), hub.cached(repository, None, names))
    return next((each for each in places if each and _has(each, names)), None)


def _has(folder: Path, names: Sequence[str]) -> bool:
    return all((folder / name).is_file() for name in names)
