"""The recording and the weights for measuring recognition."""

import os
from dataclasses import dataclass
from pathlib import Path

from meet_transcriber.engines.weights.catalogue import ModelsFolder
from meet_transcriber.engines.weights.fetch import Weights

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "benchmarks"


@dataclass(frozen=True)
class Recording:
    """A file and its words."""

    path: Path
    words: list[str]


def recording(minutes: float) -> Recording:
    """Return synthetic meetings of this duration, made once with flite and festival."""
    path = CACHE / f"meetings-{minutes:g}.flac"
    if not path.with_suffix(".txt").exists():
        from benchmarks.meetings import joined  # noqa: PLC0415 - a machine with a GPU has no scipy

        path.parent.mkdir(parents=True, exist_ok=True)
        joined.write(minutes, path)
    return read(path)


def read(path: Path) -> Recording:
    """Read a recording and its words from the .txt next to it."""
    return Recording(path, path.with_suffix(".txt").read_text(encoding="utf-8").split())


def models_dir() -> Path:
    """Return MODELS_DIR, else the folder where the Makefile fetches weights to."""
    return Path(os.environ.get("MODELS_DIR") or ROOT / ".cache" / "models")


def model_folder(model: str) -> Path:
    """Return the folder of a model, fetched if necessary; raises EngineUnavailable."""
    return Weights(ModelsFolder(models_dir())).pull(model, lambda _done, _all: None)
