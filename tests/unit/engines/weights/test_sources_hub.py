"""The hub as a source: unreachable, a mirror, or not a hub."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from meet_transcriber.engines.weights.catalogue import ModelsFolder, WrongDigest, read_record
from meet_transcriber.engines.weights.fetch import Weights
from meet_transcriber.engines.weights.sources import hub_endpoint, hub_problem
from tests.unit.engines.weights.hub_at_home import COMMIT, hub
from tests.unit.engines.weights.making import CONTENT, known, little, put, sha256

# huggingface_hub reads its environment on import, so each case has a process.
RUN = """
import sys
from pathlib import Path
if sys.argv[3] == "without huggingface_hub":
    sys.modules["huggingface_hub"] = None
from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.engines.weights.fetch import Weights
from meet_transcriber.engines.weights.catalogue import ModelsFolder
from tests.unit.engines.weights.making import known, little
try:
    weights = Weights(ModelsFolder(Path(sys.argv[1])), known(little()))
    print(weights.pull(sys.argv[2], lambda *_: None))
    print(*weights.check(sys.argv[2]), sep="\\n")
    if sys.argv[3] == "with damage":
        weights.find(sys.argv[2]).joinpath("vocabulary.txt").write_bytes(b"changed")
        list(weights.check(sys.argv[2]))
except EngineUnavailable as error:
    print(error)
"""


def pulled(models: ModelsFolder, name: str, how: str = "", **variables: str) -> list[str]:
    """Return the lines printed by pulling and checking a model in a new process."""
    environment = {"HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1", **variables}
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(models.root), name, how],
        env={**os.environ, "HF_HOME": str(models.root.parent / "cache"), **environment},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_revision_and_digests_of_an_unknown_model_are_recorded(
    models: ModelsFolder,
) -> None:
    readme = {"README.md": b"not wanted"}
    with hub({**CONTENT, **readme}) as address:
        place = Path(pulled(models, "some/thing", HF_ENDPOINT=address)[0])
    record = read_record(place)
    assert record is not None
    assert (record.source, record.revision) == ("the hub", COMMIT)
    assert {name: each.sha256 for name, each in record.files.items()} == {
        name: sha256(data) for name, data in CONTENT.items()
    }
    (place / "config.json").write_bytes(b"[]")
    with pytest.raises(WrongDigest, match=r"config\.json"):
        list(Weights(models, known(little())).check("some/thing"))


def test_a_hub_with_another_file_is_refused(models: ModelsFolder) -> None:
    with hub({**CONTENT, "model.bin": b"another"}) as address:
        (said,) = pulled(models, "little", HF_ENDPOINT=address)
    expected = sha256(CONTENT["model.bin"])
    assert "the hub: model.bin is not the official file" in said
    assert f"its SHA-256 is {sha256(b'another')}, expected was {expected}" in said
    assert not list(models.root.rglob("model.bin"))


def test_a_repository_without_a_model_is_an_error(models: ModelsFolder) -> None:
    with hub({"config.json": b"{}"}) as address:
        (said,) = pulled(models, "some/thing", HF_ENDPOINT=address)
    assert said == (
        "some/thing is not a Whisper model in CTranslate2's format: it lacks model.bin, "
        "tokenizer.json, vocabulary.txt."
    )
    assert [path.name for path in models.root.iterdir()] == [".some--thing.lock"]


def test_a_web_page_in_place_of_the_hub_is_an_error(models: ModelsFolder) -> None:
    with hub(None) as address:
        (said,) = pulled(models, "some/thing", HF_ENDPOINT=address)
    assert said.startswith("some/thing cannot be fetched")
    assert f"{address}/some/thing: " in said


def test_without_huggingface_hub_the_hub_is_unavailable(models: ModelsFolder) -> None:
    with hub(CONTENT) as address:
        (said,) = pulled(models, "little", "without huggingface_hub", HF_ENDPOINT=address)
    assert "the hub: huggingface_hub is not installed here; the package index: no pack" in said


def test_a_model_of_the_hubs_cache_is_recorded_and_checked(models: ModelsFolder) -> None:
    cache = models.root.parent / "cache" / "hub" / "models--x--other"
    put(cache / "refs", {"main": COMMIT.encode()})
    place = put(cache / "snapshots" / COMMIT, CONTENT)
    said = pulled(models, "other", "with damage", HF_HUB_OFFLINE="1")
    assert said[0] == str(place)
    assert said[-1].startswith(f"{place / 'vocabulary.txt'} is not the official file")
    record = read_record(models.path("x/other"))
    assert record is not None
    assert (record.source, record.revision) == ("the hub's cache", COMMIT)


@pytest.mark.parametrize(
    "answer", [b"", b"\0\0\0", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n"]
)
def test_a_server_without_http_is_unreachable(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=serve)
        thread.start()
        point_to(monkeypatch, f"http://127.0.0.1:{server.getsockname()[1]}")
        assert hub_problem(5) not in (None, "no answer within 5 seconds")
        thread.join()


def test_a_hub_that_never_answers_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        point_to(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert hub_problem(0.2) == "no answer within 0 seconds"


def test_an_error_page_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with hub({}) as address:
        point_to(monkeypatch, address)
        assert hub_problem(5) is None


@pytest.mark.parametrize("place", ["", "https://user:secret@hub.example/", "https://hub.example"])
def test_no_password_of_the_hub_is_shown(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    point_to(monkeypatch, place)
    assert hub_endpoint() == ("https://hub.example" if place else "https://huggingface.co")
    assert "secret" not in str(hub_problem(1))


def point_to(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0" if "127.0.0.1" in address else "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
