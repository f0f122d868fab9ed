"""Single files of repositories on this machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from meet_transcriber.engines.weights.catalogue import ModelsFolder
from meet_transcriber.engines.weights.sources import PLDA_REPOSITORY, find_plda
from tests.unit.engines.weights.hub_at_home import COMMIT
from tests.unit.engines.weights.making import put

PLDA = {"xvec_transform.npz": b"one", "plda.npz": b"two"}

# huggingface_hub reads its environment on import, so each case has a process.
FIND = """
import sys
from pathlib import Path
from meet_transcriber.engines.weights.sources import find_plda
from meet_transcriber.engines.weights.catalogue import ModelsFolder
print(find_plda(ModelsFolder(Path(sys.argv[1]))))
"""


def test_a_plda_in_the_models_folder_is_found_once_complete(models: ModelsFolder) -> None:
    place = models.path(PLDA_REPOSITORY) / "plda"
    assert place.parent.name == "pyannote--speaker-diarization-community-1"
    for name, content in PLDA.items():
        assert find_plda(models) is None
        put(place, {name: content})
    assert find_plda(models) == place


@pytest.mark.parametrize("names", [list(PLDA), ["plda.npz"]])
def test_a_plda_in_the_hubs_cache_is_found_if_complete(
    models: ModelsFolder, tmp_path: Path, names: list[str]
) -> None:
    cache = tmp_path / "cache" / "hub" / f"models--{PLDA_REPOSITORY.replace('/', '--')}"
    put(cache / "refs", {"main": COMMIT.encode()})
    place = cache / "snapshots" / COMMIT / "plda"
    put(place, {name: PLDA[name] for name in names})
    done = subprocess.run(
        [sys.executable, "-c", FIND, str(models.root)],
        env={**os.environ, "HF_HOME": str(tmp_path / "cache")},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == str(place if names == list(PLDA) else None)
