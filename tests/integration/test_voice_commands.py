"""`meet-transcriber voices`, as people use it, against a server with a worker."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from meet_transcriber.service import SubmissionRequest
from tests.simulated.people import ANN, BOB, meeting
from tests.simulated.system import System


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    with System(folder, VOICE_PROFILES="on", SIMULATED_VOICES="tones") as system:
        system.environment["MEET_TRANSCRIBER_SERVER"] = str(system.api().base_url)
        system.worker()
        yield system


def said(system: System, *words: str) -> str:
    """What a command that goes well prints."""
    result = system.run("voices", *words)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def known(system: System) -> dict[str, int]:
    """Everybody's name and number of samples."""
    people = json.loads(said(system, "list", "--json"))
    return {person["name"]: len(person["samples"]) for person in people}


def met(system: System) -> str:
    """The id of a finished meeting of Ann and Bob."""
    upload = system.service.submissions.start_upload("standup.wav")
    upload.write(meeting((ANN, 5), (BOB, 5)))
    return system.ended(upload.finish(SubmissionRequest()).id).id


def test_the_life_of_a_voice(system: System, tmp_path: Path) -> None:
    job_id = met(system)
    meant = ("--job", job_id, "--speaker", "SPEAKER_00", "--consent", "true")
    ann = said(system, "add", "Ann", *meant)
    clip = tmp_path / "clip.wav"
    clip.write_bytes(meeting((ANN, 4)))
    assert said(system, "add", "Ann", "--clip", str(clip), "--consent", "Ann, by mail") == ann
    assert known(system) == {"Ann": 2}
    bob = said(system, "add", "Bob", *meant[:3], "SPEAKER_01", *meant[4:])
    said(system, "rename", bob, "Robert")
    assert known(system) == {"Ann": 2, "Robert": 1}
    assert "Ann, by mail" in said(system, "list")
    assert "embedding" not in said(system, "export", ann)
    exported = json.loads(said(system, "export", ann, "--embeddings"))
    assert [len(each["embedding"]) for each in exported["samples"]] == [192, 192]
    said(system, "merge", ann, bob)
    assert known(system) == {"Ann": 3}
    said(system, "delete", ann)
    assert known(system) == {}


@pytest.mark.parametrize(
    ("words", "code"),
    [(("add", "Ann", "--consent", "true"), 2),
     (("add", "Ann", "--job", "x", "--speaker", "S", "--consent", "true", "--clip", "c"), 2),
     (("add", "Ann", "--clip", "nowhere.wav", "--consent", "true"), 3),
     (("add", "Ann", "--job", "x", "--speaker", "S", "--consent", "no"), 7),
     (("delete", "nobody"), 7)],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(system: System, words: tuple[str, ...], code: int) -> None:
    result = system.run("voices", *words)
    assert (result.returncode, "Traceback" in result.stderr) == (code, False)
    assert known(system) == {}
