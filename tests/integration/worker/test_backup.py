"""Backups of a service that runs, and what comes of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulated.people import ANN, town
from tests.simulated.system import System


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with System(tmp_path / "old", SIMULATED_PART_SECONDS=0.5) as system:
        yield system


def test_a_backup_of_a_running_service_goes_on_elsewhere(system: System, tmp_path: Path) -> None:
    token = system.run("keys", "create", "laptop").stdout
    system.host()
    done, again = system.submit(seconds=1), system.submit(seconds=1)
    system.ended(done), system.ended(again)
    under_way, waiting = system.submit(seconds=4), system.submit(seconds=2)
    system.begun(times=3)
    said = system.run("backup", str(tmp_path / "backup"))
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("Copied 4 jobs and ")
    system.service.commands.delete(done)  # what comes later is not in it
    before = system.words(again)
    with System(tmp_path / "new", SIMULATED_PART_SECONDS=0.1, LEASE_SECONDS=3) as new:
        said = new.run("restore", str(tmp_path / "backup"))
        assert said.stdout.startswith("Restored 4 jobs and "), said.stderr
        assert new.words(again) == before
        assert new.words(done)
        new.worker()
        for job_id in (under_way, waiting):
            assert new.ended(job_id).state == "completed"
        assert "laptop" in new.run("keys", "list").stdout
        client = new.api(AUTH_MODE="required")
        answer = client.get("/transcribe", headers={"Authorization": f"Bearer {token.strip()}"})
        assert answer.is_success


def test_a_backup_is_a_data_dir_itself(system: System, tmp_path: Path) -> None:
    system.worker()
    job_id = system.submit(seconds=1)
    system.ended(job_id)
    assert system.run("backup", str(tmp_path / "copy" / "data")).returncode == 0
    with System(tmp_path / "copy") as copy:
        assert copy.words(job_id)


def test_a_folder_that_is_in_use_is_refused(system: System, tmp_path: Path) -> None:
    system.submit(seconds=1)
    assert system.run("backup", str(tmp_path / "backup")).returncode == 0
    again = system.run("backup", str(tmp_path / "backup"))
    assert "is not empty" in again.stderr
    onto = system.run("restore", str(tmp_path / "backup"))
    assert "There are jobs in" in onto.stderr
    system.environment["DATA_DIR"] = str(tmp_path / "fresh")
    nothing = system.run("restore", str(tmp_path))
    assert "is not a complete backup" in nothing.stderr
    assert 0 not in (again.returncode, onto.returncode, nothing.returncode)


def test_with_redis_the_command_says_where_to_look(tmp_path: Path, system: System) -> None:
    system.environment["REDIS_URL"] = "redis://127.0.0.1:9/0"
    assert "docs/operations.md" in system.run("backup", str(tmp_path / "backup")).stderr


def test_voices_come_along_sealed_and_open_with_their_own_secret_alone(tmp_path: Path) -> None:
    secret = {"VOICE_PROFILES": "on", "VOICE_SECRET": "the secret of the old system"}
    with town(tmp_path / "old", **secret) as old:
        old.introduce(old.met((ANN, 6)), "SPEAKER_00", "Ann")
        assert old.system.run("backup", str(tmp_path / "backup")).returncode == 0
    with System(tmp_path / "new") as new:
        said = new.run("restore", str(tmp_path / "backup"))
        assert said.returncode == 0, said.stderr
    with town(tmp_path / "new", **secret) as new_town:
        assert [each["name"] for each in new_town.ask("GET", "/voices").json()["data"]] == ["Ann"]
    with town(tmp_path / "new", **{**secret, "VOICE_SECRET": "that of somebody else"}) as other:
        assert other.ask("GET", "/voices").json()["code"] == "voices_sealed"
