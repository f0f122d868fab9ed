"""Single files of repositories on this machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from meet_transcriber.engines.weights.catalogue import ModelsFolder
from meet_transcriber.engines.weights.sources import PLDA_REPOSITORY, find_files, find_plda
from tests.unit.engines.weights.hub_at_home import COMMIT
from tests.unit.engines.weights.making import put

REPOSITORY = "x/pipeline"

# huggingface_hub reads its environment on import, so each case has a process.
FIND = f"""
import sys
from pathlib import Path
from meet_transcriber.engines.weights.sources import find_files
from meet_transcriber.engines.weights.catalogue import ModelsFolder
print(find_files(ModelsFolder(Path(sys.argv[1])), {REPOSITORY!r}, sys.argv[2:]))
"""


def test_files_in_the_models_folder_are_found_once_complete(models: ModelsFolder) -> None:
    place, names = models.path(REPOSITORY), ("plda/one.npz", "plda/two.npz")
    put(place / "plda", {"one.npz": b"one"})
    assert find_files(models, REPOSITORY, names) is None
    put(place / "plda", {"two.npz": b"two"})
    assert find_files(models, REPOSITORY, names) == place


def test_the_plda_of_community_1_is_a_folder_of_its_repository(models: ModelsFolder) -> None:
    assert find_plda(models) is None
    place = models.path(PLDA_REPOSITORY) / "plda"
    put(place, {"xvec_transform.npz": b"one", "plda.npz": b"two"})
    assert find_plda(models) == place
    assert place.parent.name == "pyannote--speaker-diarization-community-1"


@pytest.mark.parametrize("name", ["plda/plda.npz", "plda/other.npz"])
def test_files_in_the_hubs_cache_are_found(models: ModelsFolder, tmp_path: Path, name: str) -> None:
    cache = tmp_path / "cache" / "hub" / "models--x--pipeline"
    put(cache / "refs", {"main": COMMIT.encode()})
    place = cache / "snapshots" / COMMIT
    put(place / "plda", {"plda.npz": b"numbers"})
    done = subprocess.run(
        [sys.executable, "-c", FIND, str(models.root), name],
        env={**os.environ, "HF_HOME": str(tmp_path / "cache")},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == str(place if name == "plda/plda.npz" else None)
