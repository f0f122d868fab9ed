"""A folder of models may be copied, shared, read-only, or damaged."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.engines.weights.catalogue import ModelsFolder, WrongDigest, read_record
from meet_transcriber.engines.weights.fetch import Weights
from tests.unit.engines.weights.making import CONTENT, files_below, known, little, put, sha256


def kept(models: ModelsFolder) -> Weights:
    return Weights(models, known(little()))


def change_a_byte(path: Path) -> None:
    """As a disk does: size and time do not change."""
    facts = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def test_a_folder_with_the_official_files_alone_works_and_is_verified(models: ModelsFolder) -> None:
    place = put(models.path("little"), CONTENT)
    assert kept(models).find("little") == place
    record = read_record(place)
    assert record is not None
    assert record.source == "a copy"
    assert {name: each.sha256 for name, each in record.files.items()} == {
        name: sha256(data) for name, data in CONTENT.items()
    }


def test_a_copied_folder_works_without_any_source(models: ModelsFolder, tmp_path: Path) -> None:
    put(models.path("little"), CONTENT)
    put(models.path("some/thing"), CONTENT)
    for name in ("little", "some/thing"):
        kept(models).find(name)
    there = Weights(ModelsFolder(tmp_path / "there"), known(little()))
    for place in models.root.iterdir():
        shutil.copytree(place, there.folder.root / place.name)
    for name in ("little", "some/thing"):
        assert there.pull(name, print) == there.folder.path(name)
        assert len(list(there.check(name))) == len(CONTENT)


def test_a_wrong_file_is_named_with_what_to_do(models: ModelsFolder) -> None:
    place = put(models.path("little"), {**CONTENT, "vocabulary.txt": b"another"})
    expected, found = sha256(CONTENT["vocabulary.txt"]), sha256(b"another")
    with pytest.raises(WrongDigest) as error:
        kept(models).find("little")
    assert str(error.value) == (
        f"{place / 'vocabulary.txt'} is not the official file: its SHA-256 is {found}, expected "
        f"was {expected}. Remove {place}, then fetch or copy it again."
    )


def test_a_file_that_changes_is_noticed_at_its_next_use(models: ModelsFolder) -> None:
    place = put(models.path("little"), CONTENT)
    kept(models).find("little")
    (place / "config.json").write_bytes(b"[]")
    with pytest.raises(WrongDigest, match=r"config\.json"):
        kept(models).find("little")


def test_digests_are_computed_once(models: ModelsFolder) -> None:
    place = put(models.path("little"), CONTENT)
    kept(models).find("little")
    change_a_byte(place / "model.bin")
    assert kept(models).find("little") == place  # as its size and time are the recorded ones


@pytest.mark.parametrize("name", ["little", "some/thing"])
@pytest.mark.parametrize("file", sorted(CONTENT))
def test_a_check_finds_a_byte_that_the_disk_changed(
    models: ModelsFolder, name: str, file: str
) -> None:
    place = put(models.path(name), CONTENT)
    kept(models).find(name)
    change_a_byte(place / file)
    with pytest.raises(WrongDigest, match=str(place / file)):
        list(kept(models).check(name))


def test_a_check_names_a_file_that_is_gone(models: ModelsFolder) -> None:
    place = put(models.path("some/thing"), {**CONTENT, "preprocessor_config.json": b"{}"})
    kept(models).find("some/thing")
    (place / "preprocessor_config.json").unlink()
    with pytest.raises(EngineUnavailable, match=r"preprocessor_config\.json"):
        list(kept(models).check("some/thing"))


@pytest.mark.parametrize("record", ["", "[]", "{", '{"files": []}', '{"files": {"a": 1}}', "null"])
def test_an_invalid_record_is_written_again(models: ModelsFolder, record: str) -> None:
    place = put(models.path("little"), {**CONTENT, "manifest.json": record.encode()})
    assert kept(models).find("little") == place
    assert read_record(place) is not None


# Root may write anywhere; without this capability (CAP_DAC_OVERRIDE is 1) it is like any user.
AS_ANYBODY = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
"""
PULL = """
import sys
from pathlib import Path
from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.engines.weights.sources import Source
from meet_transcriber.engines.weights.fetch import Weights
from meet_transcriber.engines.weights.catalogue import ModelsFolder
from tests.unit.engines.weights.making import CONTENT, known, little, put
import time
def fetch(model, wanted, folder, tell):
    with open(sys.argv[2], "a") as log:
        log.write("fetched\\n")
    put(folder, {file.path: CONTENT[file.path][:1] for file in wanted})
    time.sleep(0.3)
    put(folder, {file.path: CONTENT[file.path] for file in wanted})
folder = ModelsFolder(Path(sys.argv[1]))
try:
    print(Weights(folder, known(little()), (Source("it", fetch),)).pull("little", print))
except EngineUnavailable as error:
    print(error)
"""


def start(code: str, *words: str) -> "subprocess.Popen[str]":
    """Start Python with this code in a new process."""
    return subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True)


def test_of_two_processes_one_fetches_and_both_get_the_model(
    models: ModelsFolder, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    both = [start(PULL, str(models.root), str(log)) for _ in range(2)]
    said = [process.communicate(timeout=60)[0].strip() for process in both]
    assert said == [str(models.path("little"))] * 2
    assert log.read_text() == "fetched\n"


def pulled_where_nothing_may_be_written(models: ModelsFolder, log: Path) -> str:
    folders = [models.root, *(path for path in models.root.iterdir() if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        process = start(AS_ANYBODY, PULL, str(models.root), str(log))
        return process.communicate(timeout=60)[0].strip()
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_a_model_in_a_read_only_folder_works(models: ModelsFolder, tmp_path: Path) -> None:
    place = put(models.path("little"), CONTENT)
    assert pulled_where_nothing_may_be_written(models, tmp_path / "log") == str(place)
    assert files_below(place) == set(CONTENT)


def test_a_read_only_folder_without_the_model_is_an_error(
    models: ModelsFolder, tmp_path: Path
) -> None:
    models.root.mkdir()
    said = pulled_where_nothing_may_be_written(models, tmp_path / "log")
    assert f"Weights cannot be read from or written to {models.root}" in said
    assert "Permission denied" in said
    assert not (tmp_path / "log").exists()
