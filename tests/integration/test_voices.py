"""People known by their voices, on one machine: SQLite and a folder."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.voice_story import VoiceStory
from tests.simulated.people import ANN, BOB, Town, call, town


@pytest.fixture(name="town")
def town_(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path) as made:
        yield made


@pytest.fixture
def everything(town: Town) -> Callable[[], bytes]:
    def read() -> bytes:
        files = (path for path in town.folder.rglob("*") if path.is_file())
        return b"\n".join(path.read_bytes() for path in files)

    return read


class TestVoicesOnOneMachine(VoiceStory):
    """The key is made in DATA_DIR."""


def test_nothing_is_kept_where_voices_are_off(tmp_path: Path) -> None:
    with town(tmp_path, VOICE_PROFILES="off") as plain:
        job_id = plain.met((ANN, 6))
        answer = plain.introduce(job_id, "SPEAKER_00", "Ann")
        assert (answer.status_code, answer.json()["code"]) == (409, "voices_off")
        assert "VOICE_PROFILES" in answer.json()["detail"]
        assert plain.ask("GET", "/voices").json()["code"] == "voices_off"
        (row,) = plain.speakers(job_id)
        assert (row["rememberable"], row["similarity"]) == (False, None)
        assert [key for key in plain.objects() if "sealed" in key] == []
    assert not (tmp_path / "data" / "voices.key").exists()


def test_the_key_of_a_machine_is_its_owners_alone(town: Town) -> None:
    key = town.folder / "data" / "voices.key"
    assert key.stat().st_mode & 0o777 == 0o600


def test_with_another_key_meetings_go_on_and_say_so(tmp_path: Path) -> None:
    with town(tmp_path) as before:
        before.introduce(before.met((ANN, 6)), "SPEAKER_00", "Ann")
    (tmp_path / "data" / "voices.key").write_text("the key of another machine\n")
    with town(tmp_path) as after:
        job = after.ask("GET", f"/transcribe/{after.met((ANN, 6))}").json()
        assert (job["status"], job["names"]) == ("completed", {})
        assert [each["code"] for each in job["warnings"]] == ["voices_sealed"]
        answer = after.ask("GET", "/voices")
        assert (answer.status_code, answer.json()["code"]) == (500, "voices_sealed")


def test_many_changes_at_once_are_all_kept(town: Town) -> None:
    job_id = town.met(*((pitch, 2) for pitch in range(200, 1000, 100)))
    labels = [row["speaker"] for row in town.speakers(job_id)]
    with ThreadPoolExecutor(len(labels)) as pool:
        answers = list(pool.map(lambda each: town.introduce(job_id, each, f"{each} X"), labels))
    assert {answer.status_code for answer in answers} == {201}
    assert len(town.ask("GET", "/voices").json()["data"]) == len(labels)


def test_channels_that_are_speakers_have_voices(town: Town) -> None:
    files = {"file": ("call.wav", call(ANN, BOB)), "channels": (None, "split")}
    job_id = town.ask("POST", "/transcribe", files=files).json()["job_id"]
    town.work()
    town.introduce(job_id, "SPEAKER_01", "Bob")
    assert town.named(town.met((BOB, 6))) == {"SPEAKER_00": "Bob"}
