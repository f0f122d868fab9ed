"""Single files of hub repositories that no catalogue knows."""

from collections.abc import Sequence
from pathlib import Path

from meet_transcriber.engines.weights import hub
from meet_transcriber.engines.weights.folder import ModelsFolder

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
    places = (models.place(repository), hub.cached(repository, None, names))
    return next((each for each in places if each and _has(each, names)), None)


def _has(folder: Path, names: Sequence[str]) -> bool:
    return all((folder / name).is_file() for name in names)
