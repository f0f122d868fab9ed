"""The recording that recognition is measured on, and the weights it is measured with."""

import os
from dataclasses import dataclass
from pathlib import Path

from meet_transcriber.engines.weights.catalogue import ModelsFolder
from meet_transcriber.engines.weights.fetch import Weights

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "benchmarks"


@dataclass(frozen=True)
class Recording:
    """A file, and the words that are said in it."""

    path: Path
    words: list[str]


def recording(minutes: float) -> Recording:
    """Synthetic meetings of so much talk, made once; needs flite and festival to make them."""
    path = CACHE / f"meetings-{minutes:g}.flac"
    if not path.with_suffix(".txt").exists():
        from benchmarks.meetings import joined  # noqa: PLC0415 - a machine with a GPU has no scipy

        path.parent.mkdir(parents=True, exist_ok=True)
        joined.write(minutes, path)
    return read(path)


def read(path: Path) -> Recording:
    """A recording with its words beside it as .txt."""
    return Recording(path, path.with_suffix(".txt").read_text(encoding="utf-8").split())


def models_dir() -> Path:
    """MODELS_DIR, else the folder that the Makefile fetches weights into."""
    return Path(os.environ.get("MODELS_DIR") or ROOT / ".cache" / "models")


def model_folder(model: str) -> Path:
    """The folder of a model, fetched if need be; raises EngineUnavailable."""
    return Weights(ModelsFolder(models_dir())).pull(model, lambda _done, _all: None)
