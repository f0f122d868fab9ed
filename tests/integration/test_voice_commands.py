"""`meet-transcriber voices`, as people use it, against a server with a worker."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from meet_transcriber.service import SubmissionRequest
from tests.simulated.house import House
from tests.simulated.people import ANN, BOB, meeting


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    with House(folder, VOICE_PROFILES="on", SIMULATED_VOICES="tones") as house:
        house.environment["MEET_TRANSCRIBER_SERVER"] = str(house.api().base_url)
        house.worker()
        yield house


def said(house: House, *words: str) -> str:
    """What a command that goes well prints."""
    result = house.run("voices", *words)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def known(house: House) -> dict[str, int]:
    """Everybody's name and number of samples."""
    people = json.loads(said(house, "list", "--json"))
    return {person["name"]: len(person["samples"]) for person in people}


def met(house: House) -> str:
    """The id of a finished meeting of Ann and Bob."""
    upload = house.service.submissions.begin("standup.wav")
    upload.write(meeting((ANN, 5), (BOB, 5)))
    return house.ended(upload.finish(SubmissionRequest()).id).id


def test_the_life_of_a_voice(house: House, tmp_path: Path) -> None:
    job_id = met(house)
    meant = ("--job", job_id, "--speaker", "SPEAKER_00", "--consent", "true")
    ann = said(house, "add", "Ann", *meant)
    clip = tmp_path / "clip.wav"
    clip.write_bytes(meeting((ANN, 4)))
    assert said(house, "add", "Ann", "--clip", str(clip), "--consent", "Ann, by mail") == ann
    assert known(house) == {"Ann": 2}
    bob = said(house, "add", "Bob", *meant[:3], "SPEAKER_01", *meant[4:])
    said(house, "rename", bob, "Robert")
    assert known(house) == {"Ann": 2, "Robert": 1}
    assert "Ann, by mail" in said(house, "list")
    assert "embedding" not in said(house, "export", ann)
    exported = json.loads(said(house, "export", ann, "--embeddings"))
    assert [len(each["embedding"]) for each in exported["samples"]] == [192, 192]
    said(house, "merge", ann, bob)
    assert known(house) == {"Ann": 3}
    said(house, "delete", ann)
    assert known(house) == {}


@pytest.mark.parametrize(
    ("words", "code"),
    [(("add", "Ann", "--consent", "true"), 2),
     (("add", "Ann", "--job", "x", "--speaker", "S", "--consent", "true", "--clip", "c"), 2),
     (("add", "Ann", "--clip", "nowhere.wav", "--consent", "true"), 3),
     (("add", "Ann", "--job", "x", "--speaker", "S", "--consent", "no"), 7),
     (("delete", "nobody"), 7)],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(house: House, words: tuple[str, ...], code: int) -> None:
    result = house.run("voices", *words)
    assert (result.returncode, "Traceback" in result.stderr) == (code, False)
    assert known(house) == {}
