"""The cost of an edit, an undo and a redo does not grow with the log, with cold caches either."""

import random
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from meet_transcriber.core.edits import SNAPSHOT_EDITS, Edit, Edited, edited
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.jobs import Job
from meet_transcriber.service import Service
from meet_transcriber.stores.disk import DiskMediaStore
from tests.unit.service.conftest import ServiceFixture

MOST = 2 * SNAPSHOT_EDITS
"""Edits applied for one request."""


@pytest.fixture
def job(fixture: ServiceFixture) -> Job:
    return fixture.complete_job()


def edit(fixture: ServiceFixture, job: Job, *edits: Edit) -> int:
    """Edit in a service that has cached nothing; returns how many edits were applied."""
    service = Service(fixture.context)
    read = service.queries.edited_transcript(job.id)[1].applied
    service.commands.edit(job.id, *edits)
    return read + service.queries.edited_transcript(job.id)[1].applied


def edit_often(fixture: ServiceFixture, job: Job, number: int) -> None:
    for at in range(number):
        fixture.service.commands.edit(job.id, Edit("text", 0, f"edit {at}"))


def state(fixture: ServiceFixture, job: Job) -> Edited:
    return Service(fixture.context).queries.edited_transcript(job.id)[1]


def test_a_thousand_edits_cost_as_much_as_a_few(fixture: ServiceFixture, job: Job) -> None:
    edit_often(fixture, job, 1000)
    assert state(fixture, job).applied <= MOST
    for kind in ("undo", "redo", "undo", "undo", "redo"):
        assert edit(fixture, job, Edit(kind)) <= MOST
    assert edit(fixture, job, Edit("text", 0, "last")) <= MOST
    found = state(fixture, job)
    assert found == edited(found.machine(), found.log)
    assert len(fixture.service.queries.snapshots(fixture.jobs.get(job.id))) <= 10


class CountingStore(DiskMediaStore):
    """Remembers what was read."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.read: list[str] = []

    def get(self, key: str) -> bytes:
        self.read.append(key)
        return super().get(key)


def test_an_undo_with_cold_caches_reads_one_snapshot_once(
    fixture: ServiceFixture, job: Job, tmp_path: Path
) -> None:
    edit_often(fixture, job, 40)
    media = CountingStore(tmp_path / "media")
    Service(replace(fixture.context, media=media)).commands.edit(job.id, Edit("undo"))
    assert len([key for key in media.read if "/snapshots/" in key]) == 1


def test_undoing_everything_repeats_the_log_a_few_times_only(
    fixture: ServiceFixture, job: Job
) -> None:
    edit_often(fixture, job, 300)
    applied = sum(edit(fixture, job, Edit("undo")) for _ in range(300))
    assert applied < 300 * MOST
    assert state(fixture, job).transcript.segments == state(fixture, job).machine().segments


def test_with_warm_caches_undo_and_redo_apply_no_edits(fixture: ServiceFixture, job: Job) -> None:
    edit_often(fixture, job, 50)
    for kind in ("undo", "undo", "redo", "undo", "redo", "redo"):
        fixture.service.commands.edit(job.id, Edit(kind))
        found = fixture.service.queries.edited_transcript(job.id)[1]
        assert found.applied == 0
        assert found == edited(found.machine(), found.log)


def test_snapshots_change_no_transcript(fixture: ServiceFixture, job: Job) -> None:
    chance = random.Random(5)
    for at in range(200):
        one = Edit("text", chance.randrange(3), f"edit {at}")
        steps = [
            [one],
            [one, Edit("split", one.segment, at=1), one] * 5,
            [Edit("speaker", one.segment, speaker=f"SPEAKER_0{at % 4}")],
            [Edit("reassign", source="SPEAKER_00", speaker=f"SPEAKER_0{at % 4}")],
            [Edit("name", speaker="SPEAKER_01", text=f"Ann {at}")],
            *[[Edit("undo")]] * 3,
            [Edit("redo")],
        ]
        with suppress(InvalidOptions):
            edit(fixture, job, *chance.choice(steps))
        found = state(fixture, job)
        assert found == edited(found.machine(), found.log)
    assert len(state(fixture, job).log.edits) > 300


def test_lost_snapshots_are_not_missed(fixture: ServiceFixture, job: Job) -> None:
    edit_often(fixture, job, 70)
    before = state(fixture, job)
    for key in fixture.stored_keys():
        if "/snapshots/" in key:
            fixture.media.delete(key)
    assert state(fixture, job) == before
    assert state(fixture, job).applied == 70


def test_snapshots_belong_to_the_job(fixture: ServiceFixture, job: Job) -> None:
    edit_often(fixture, job, 70)
    named = fixture.jobs.get(job.id).objects.values()
    assert {key for key in fixture.stored_keys() if "snapshots" in key} <= {*named}
    fixture.service.commands.rerun(job.id, ["attribute"])
    worker = fixture.worker()
    while worker.work():
        pass
    edit_often(fixture, job, 1)
    assert state(fixture, job).transcript.segments[0].text == "edit 0"
    fixture.advance(3600)
    assert not [key for key in fixture.stored_keys() if "snapshots" in key]
    edit_often(fixture, job, 70)
    fixture.service.commands.delete(job.id)
    fixture.advance(3600)
    assert not fixture.stored_keys()
