"""Backups of a service that runs, and what comes of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulated.house import House
from tests.simulated.people import ANN, town


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path / "old", SIMULATED_PART_SECONDS=0.5) as house:
        yield house


def test_a_backup_of_a_running_service_goes_on_elsewhere(house: House, tmp_path: Path) -> None:
    token = house.run("keys", "create", "laptop").stdout
    house.host()
    done, again = house.submit(seconds=1), house.submit(seconds=1)
    house.ended(done), house.ended(again)
    under_way, waiting = house.submit(seconds=4), house.submit(seconds=2)
    house.begun(times=3)
    said = house.run("backup", str(tmp_path / "backup"))
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("4 meetings with ")
    house.service.commands.delete(done)  # what comes later is not in it
    before = house.words(again)
    with House(tmp_path / "new", SIMULATED_PART_SECONDS=0.1, LEASE_SECONDS=3) as new:
        said = new.run("restore", str(tmp_path / "backup"))
        assert said.stdout.startswith("4 meetings with "), said.stderr
        assert new.words(again) == before
        assert new.words(done)
        new.worker()
        for job_id in (under_way, waiting):
            assert new.ended(job_id).state == "completed"
        assert "laptop" in new.run("keys", "list").stdout
        client = new.api(AUTH_MODE="required")
        answer = client.get("/transcribe", headers={"Authorization": f"Bearer {token.strip()}"})
        assert answer.is_success


def test_a_backup_is_a_data_dir_itself(house: House, tmp_path: Path) -> None:
    house.worker()
    job_id = house.submit(seconds=1)
    house.ended(job_id)
    assert house.run("backup", str(tmp_path / "copy" / "data")).returncode == 0
    with House(tmp_path / "copy") as copy:
        assert copy.words(job_id)


def test_a_folder_that_is_in_use_is_refused(house: House, tmp_path: Path) -> None:
    house.submit(seconds=1)
    assert house.run("backup", str(tmp_path / "backup")).returncode == 0
    again = house.run("backup", str(tmp_path / "backup"))
    assert "is not empty" in again.stderr
    onto = house.run("restore", str(tmp_path / "backup"))
    assert "There are jobs in" in onto.stderr
    house.environment["DATA_DIR"] = str(tmp_path / "fresh")
    nothing = house.run("restore", str(tmp_path))
    assert "is no backup" in nothing.stderr
    assert 0 not in (again.returncode, onto.returncode, nothing.returncode)


def test_with_redis_the_command_says_where_to_look(tmp_path: Path, house: House) -> None:
    house.environment["REDIS_URL"] = "redis://127.0.0.1:9/0"
    assert "docs/operations.md" in house.run("backup", str(tmp_path / "backup")).stderr


def test_voices_come_along_sealed_and_open_with_their_own_secret_alone(tmp_path: Path) -> None:
    secret = {"VOICE_PROFILES": "on", "VOICE_SECRET": "the secret of the old house"}
    with town(tmp_path / "old", **secret) as old:
        old.introduce(old.met((ANN, 6)), "SPEAKER_00", "Ann")
        assert old.house.run("backup", str(tmp_path / "backup")).returncode == 0
    with House(tmp_path / "new") as new:
        said = new.run("restore", str(tmp_path / "backup"))
        assert said.returncode == 0, said.stderr
    with town(tmp_path / "new", **secret) as new_town:
        assert [each["name"] for each in new_town.ask("GET", "/voices").json()["data"]] == ["Ann"]
    with town(tmp_path / "new", **{**secret, "VOICE_SECRET": "that of somebody else"}) as other:
        assert other.ask("GET", "/voices").json()["code"] == "voices_sealed"
