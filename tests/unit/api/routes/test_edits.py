"""Cancelling, naming, editing, undoing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from meet_transcriber.api.app import create_app
from meet_transcriber.core.edits import Edit
from meet_transcriber.core.transcript import Turn
from meet_transcriber.service import Service
from meet_transcriber.settings import Settings
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from tests.simulated.meetings import keep, spoken, transcript_of
from tests.unit.api.secured_app import SecuredApp
from tests.unit.api.service_fixture import complete_job, make_service


@pytest.fixture
def path(service: Service) -> str:
    return f"/transcribe/{complete_job(service).id}"


def text(client: TestClient, path: str) -> str:
    return client.get(f"{path}/download", params={"format": "txt"}).text


def test_a_name_shows_in_every_format(client: TestClient, path: str) -> None:
    answer = client.patch(f"{path}/speakers", json={"SPEAKER_00": "Ann <Q&A>"})
    assert answer.json()["names"] == {"SPEAKER_00": "Ann <Q&A>"}
    assert "Ann <Q&A>: word0" in text(client, path)
    assert "Ann" in client.get(f"{path}/download", params={"format": "vtt"}).text
    client.patch(f"{path}/speakers", json={"SPEAKER_00": None})
    assert "SPEAKER_00: word0" in text(client, path)


@pytest.mark.parametrize(
    ("room", "body"),
    [("speakers", {"SPEAKER_00": "A" * 201}), ("segments/0", {"split_at": 0}),
     ("segments/0", {"text": " "}), ("segments/0", {"text": "a" * 10_001})],
)  # fmt: skip
def test_a_body_that_never_fits_is_refused_before_anybody_compares_editions(
    client: TestClient, path: str, room: str, body: dict[str, object]
) -> None:
    answer = client.patch(f"{path}/{room}", json=body, headers={"If-Match": '"another"'})
    assert answer.status_code == 422


def test_an_edit_shows_in_exports_and_is_taken_back(client: TestClient, path: str) -> None:
    client.patch(f"{path}/segments/0", json={"text": "Good morning."})
    assert "SPEAKER_00: Good morning." in text(client, path)
    assert client.get(path).json()["edited"]
    client.post(f"{path}/undo")
    assert "Good morning." not in text(client, path)
    kinds = [each["kind"] for each in client.get(f"{path}/edits").json()["data"]]
    assert kinds == ["text", "undo"]


@pytest.mark.parametrize(
    ("change", "count"),
    [({"speaker": None}, 6), ({"speaker": "SPEAKER_05"}, 6),
     ({"split_at": 1}, 7), ({"merge": True}, 5)],
)  # fmt: skip
def test_each_kind_of_edit_works(
    client: TestClient, path: str, change: dict[str, object], count: int
) -> None:
    assert client.patch(f"{path}/segments/1", json=change).status_code == 200
    assert len(client.get(path).json()["transcript"]["segments"]) == count


@pytest.mark.parametrize(
    "change",
    [{}, {"text": 1}, {"text": ""}, {"merge": False}, {"split_at": True}, {"split_at": 9},
     {"text": "a", "merge": True}, {"split_at": 10**30}, {"colour": "red"}],
)  # fmt: skip
def test_an_edit_that_makes_no_sense_is_refused(
    client: TestClient, path: str, change: dict[str, object]
) -> None:
    answer = client.patch(f"{path}/segments/0", json=change)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_options")


@pytest.mark.parametrize("number", ["6", "-1", "x", "1.5", "9" * 30])
def test_a_segment_that_is_not_there_is_refused(client: TestClient, path: str, number: str) -> None:
    assert client.patch(f"{path}/segments/{number}", json={"text": "a"}).status_code == 422


@pytest.mark.parametrize(
    "body", [{}, {"SPEAKER_09": "Ann"}, {"SPEAKER_00": 1}, {"SPEAKER_00": "x" * 201}]
)
def test_names_that_make_no_sense_are_refused(
    client: TestClient, path: str, body: dict[str, object]
) -> None:
    assert client.patch(f"{path}/speakers", json=body).status_code == 422


def test_nobody_writes_over_what_they_have_not_seen(client: TestClient, path: str) -> None:
    seen = {"If-Match": client.get(path).headers["ETag"]}
    assert client.patch(f"{path}/segments/0", json={"text": "One."}, headers=seen).is_success
    late = client.patch(f"{path}/segments/0", json={"text": "Two."}, headers=seen)
    assert (late.status_code, late.json()["code"]) == (412, "edit_conflict")
    named = client.patch(f"{path}/speakers", json={"SPEAKER_00": "A"}, headers=seen)
    assert named.status_code == 412
    assert client.post(f"{path}/undo", headers=seen).status_code == 412


def test_the_answer_to_an_edit_is_good_for_the_next(client: TestClient, path: str) -> None:
    for _ in range(3):
        answer = client.patch(f"{path}/segments/0", json={"text": "One."})
        head = {"If-Match": answer.headers["ETag"]}
        assert client.patch(f"{path}/segments/1", json={"speaker": None}, headers=head).is_success
    edition = client.get(path).json()["edition"]
    assert client.post(f"{path}/undo", headers={"If-Match": f'"{edition}"'}).is_success
    assert client.post(f"{path}/undo", headers={"If-Match": "*"}).is_success


def test_a_change_of_the_record_alone_is_no_edit(
    client: TestClient, path: str, service: Service
) -> None:
    seen = {"If-Match": client.get(path).headers["ETag"]}
    service.context.jobs.update(path.rpartition("/")[2], lambda job: job.with_task(job.tasks[0]))
    assert client.patch(f"{path}/segments/0", json={"text": "One."}, headers=seen).is_success


def test_undoing_nothing_is_refused(client: TestClient, path: str) -> None:
    assert client.post(f"{path}/undo").json()["code"] == "invalid_options"


def test_a_cancelled_job_has_ended(client: TestClient, service: Service) -> None:
    job_id = client.post("/transcribe", files={"file": ("a.wav", b"tape")}).json()["job_id"]
    assert client.post(f"/transcribe/{job_id}/cancel").json()["status"] == "cancelled"
    again = client.post(f"/transcribe/{job_id}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "job_conflict")


@pytest.mark.parametrize(
    ("method", "tail"),
    [("GET", ""), ("GET", "/download"), ("GET", "/events"), ("GET", "/audio"), ("HEAD", "/audio"),
     ("GET", "/peaks"), ("GET", "/edits"), ("POST", "/cancel"), ("POST", "/rerun"),
     ("POST", "/undo"), ("DELETE", "")],
)  # fmt: skip
def test_a_job_that_is_not_there_is_not_found_anywhere(
    client: TestClient, method: str, tail: str
) -> None:
    answer = client.request(method, f"/transcribe/none{tail}")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


def labels(client: TestClient, path: str) -> list[str]:
    return [each["speaker"] for each in client.get(path).json()["transcript"]["segments"]]


def test_a_selection_is_given_to_somebody_else_in_one_step(client: TestClient, path: str) -> None:
    before = labels(client, path)
    changes = [{"segment": 0, "split_at": 1}, {"segment": 1, "speaker": "SPEAKER_07"}]
    answer = client.patch(f"{path}/segments", json={"changes": changes})
    assert (answer.status_code, answer.json()["changed"]) == (200, 2)
    assert labels(client, path)[:2] == ["SPEAKER_00", "SPEAKER_07"]
    client.post(f"{path}/undo")
    assert labels(client, path) == before
    client.post(f"{path}/redo")
    assert labels(client, path)[1] == "SPEAKER_07"
    assert client.post(f"{path}/redo").status_code == 422


def test_a_misheard_name_is_put_right_everywhere(client: TestClient, path: str) -> None:
    wish = {"replace": {"find": "ends", "with": "finishes"}}
    changed = client.patch(f"{path}/segments", json=wish).json()["changed"]
    text = client.get(f"{path}/download", params={"format": "txt"}).text
    assert (text.count("finishes."), text.count("ends.")) == (changed, 0)
    assert changed > 1
    nothing = client.patch(f"{path}/segments", json=wish)
    assert (nothing.status_code, nothing.json()["code"]) == (422, "invalid_options")


def test_everything_of_one_speaker_goes_to_another(client: TestClient, path: str) -> None:
    wish = {"reassign": {"from": "SPEAKER_01", "to": "SPEAKER_00"}}
    assert client.patch(f"{path}/segments", json=wish).json()["changed"] >= 1
    assert set(labels(client, path)) == {"SPEAKER_00"}


def test_the_history_can_be_read(client: TestClient, path: str) -> None:
    changes = [{"segment": 0, "text": "one"}, {"segment": 1, "speaker": None}]
    client.patch(f"{path}/segments", json={"changes": changes})
    client.post(f"{path}/undo")
    rows = client.get(f"{path}/edits").json()["data"]
    assert [(row["step"], row["undone"], row["summary"]) for row in rows] == [
        (1, True, "Segment 0 got other words."),
        (1, True, "Segment 1 was given to unknown."),
        (2, False, "The latest step was undone."),
    ]
    assert {row["author"] for row in rows} == {None}  # nobody had to show a key


@pytest.mark.parametrize(
    "body",
    [
        {}, {"changes": []}, {"changes": [{"text": "x"}]},
        {"changes": [{"segment": -1, "text": "x"}]},
        {"changes": [{"segment": False, "text": "x"}]},
        {"changes": [{"segment": True, "text": "x"}]}, {"changes": ["x"]},
        {"changes": [{"segment": 0, "text": "x"}] * 501},
        {"replace": {"find": "", "with": "x"}}, {"replace": {"find": "x"}},
        {"replace": {"find": "x", "with": "y", "z": 1}}, {"reassign": {"from": "SPEAKER_00"}},
        {"reassign": {"from": "SPEAKER_00", "to": "Ann"}},
        {"changes": [{"segment": 0, "text": "x"}, {"segment": 999, "text": "x"}]},
    ],
)  # fmt: skip
def test_changes_that_make_no_sense_change_nothing(
    client: TestClient, path: str, body: object
) -> None:
    assert client.patch(f"{path}/segments", json=body).status_code == 422
    assert client.get(f"{path}/edits").json()["data"] == []


def test_changes_honour_the_edition(client: TestClient, path: str) -> None:
    edition = client.get(path).json()["edition"]
    wish = {"changes": [{"segment": 0, "text": "x"}]}
    headers = {"If-Match": f'"{edition}"'}
    assert client.patch(f"{path}/segments", json=wish, headers=headers).is_success
    assert client.patch(f"{path}/segments", json=wish, headers=headers).status_code == 412


@pytest.fixture
def quiet(service: Service) -> str:
    """A meeting where SPEAKER_02 is heard, but has no words."""
    said = spoken(("SPEAKER_00", "we ship on Thursday"), ("SPEAKER_01", "fine"))
    turns = (Turn(0, 2, "SPEAKER_00"), Turn(2, 2.5, "SPEAKER_01"), Turn(4, 5.5, "SPEAKER_02"))
    return f"/transcribe/{keep(service.context, transcript_of(said, 6.0, turns=turns))}"


def people(client: TestClient, path: str) -> dict[str, float]:
    """Seconds of the speakers, who are the same wherever they are asked for."""
    job = client.get(path).json()
    rows = {row["speaker"]: row for row in client.get(f"{path}/speakers").json()["data"]}
    assert list(rows) == job["transcript"]["speakers"]
    assert len(rows) == job["speakers_found"]
    rttm = client.get(f"{path}/download", params={"format": "rttm"}).text.splitlines()
    named = {row["name"] or label for label, row in rows.items()}
    assert {line.split()[7] for line in rttm} == named
    markdown = client.get(f"{path}/download", params={"format": "md"}).text
    assert markdown.splitlines()[2].removeprefix("Speakers: ").split(", ") == [
        row["name"] or label for label, row in rows.items()
    ]
    return {label: row["seconds"] for label, row in rows.items()}


@pytest.mark.parametrize("change", [{"text": "we wait"}, {"speaker": "SPEAKER_01"}])
def test_who_has_turns_without_words_is_a_speaker_named_and_merged(
    client: TestClient, quiet: str, change: dict[str, str]
) -> None:
    assert people(client, quiet) == {"SPEAKER_00": 2.0, "SPEAKER_01": 0.5, "SPEAKER_02": 1.5}
    assert client.patch(f"{quiet}/segments/0", json=change).status_code == 200
    assert people(client, quiet)["SPEAKER_02"] == 1.5
    named = client.patch(f"{quiet}/speakers", json={"SPEAKER_02": "Cleo"})
    assert named.json()["names"] == {"SPEAKER_02": "Cleo"}
    assert people(client, quiet)["SPEAKER_02"] == 1.5
    body = {"reassign": {"from": "SPEAKER_02", "to": "SPEAKER_01"}}
    assert client.patch(f"{quiet}/segments", json=body).json()["changed"] == 1
    assert "SPEAKER_02" not in people(client, quiet)
    assert client.patch(f"{quiet}/segments", json=body).status_code == 422
    client.post(f"{quiet}/undo")
    assert people(client, quiet)["SPEAKER_02"] == 1.5


EDITS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("PATCH", "segments/0", {"text": "Good morning to all of you."}),
    ("PATCH", "segments/1", {"speaker": "SPEAKER_04"}),
    ("PATCH", "segments/1", {"split_at": 1}),
    ("PATCH", "segments/0", {"merge": True}),
    ("PATCH", "segments", {"replace": {"find": "ends", "with": "comes to an end"}}),
    ("PATCH", "segments", {"reassign": {"from": "SPEAKER_01", "to": "SPEAKER_05"}}),
    ("PATCH", "speakers", {"SPEAKER_05": "Ann"}),
    *[("POST", "undo", None)] * 5,
    *[("POST", "redo", None)] * 3,
]


@pytest.mark.parametrize("word_timestamps", [True, False])
def test_the_answer_to_an_edit_says_what_changed_in_the_transcript(
    client: TestClient, path: str, service: Service, word_timestamps: bool
) -> None:
    options = replace(service.queries.job(path[-32:]).options, word_timestamps=word_timestamps)
    service.context.jobs.update(path[-32:], lambda job: replace(job, options=options))
    segments = client.get(path).json()["transcript"]["segments"]
    for method, tail, body in EDITS:
        change = client.request(method, f"{path}/{tail}", json=body).json()["transcript_change"]
        for each in change["segments"]:
            at = each["segment"]
            segments[at : at + each["removed"]] = each["inserted"]
        transcript = client.get(path).json()["transcript"]
        assert (segments, change["speakers"]) == (transcript["segments"], transcript["speakers"])


def test_the_answer_to_an_edit_holds_only_what_changed(client: TestClient, path: str) -> None:
    answer = client.patch(f"{path}/segments/2", json={"text": "Other words."}).json()
    (change,) = answer["transcript_change"]["segments"]
    assert (change["segment"], change["removed"], len(change["inserted"])) == (2, 1, 1)


def test_the_answer_to_an_edit_names_turns_without_words(client: TestClient, quiet: str) -> None:
    body = {"reassign": {"from": "SPEAKER_01", "to": "SPEAKER_02"}}
    before = client.patch(f"{quiet}/segments/0", json={"text": "we wait"}).json()
    after = client.patch(f"{quiet}/segments", json=body).json()
    silent = {"start": 4.0, "end": 5.5, "speaker": "SPEAKER_02"}
    assert before["transcript_change"]["turns_without_words"] == [silent]
    assert after["transcript_change"]["turns_without_words"] == []


def test_a_key_that_may_not_read_learns_no_words_from_an_edit(secured: SecuredApp) -> None:
    path = f"/transcribe/{secured.complete_job('ann')}/segments/0"
    for scopes, there in ((("submit",), False), (("submit", "read"), True)):
        answer = secured.client.patch(
            path, json={"speaker": None}, headers=secured.bearer(*scopes, tenant="ann")
        )
        assert (answer.status_code, "transcript_change" in answer.json()) == (200, there)


class ChangingJobs(SqliteJobStore):
    """Calls `then` before a version is read for the second time."""

    then: Callable[[], object] | None = None
    reads = 0

    def version(self, job_id: str) -> int:
        if self.then is not None:
            self.reads += 1
            if self.reads == 2:
                self.then()
        return super().version(job_id)


@pytest.mark.parametrize("room", ["speakers", "segments/0"])
def test_an_edit_between_check_and_change_is_a_conflict(tmp_path: Path, room: str) -> None:
    made = make_service(tmp_path)
    job = complete_job(made)
    jobs = ChangingJobs(tmp_path / "jobs.sqlite3")
    service = Service(replace(made.context, jobs=jobs))
    client = TestClient(create_app(service, Settings(auth_mode="open", data_dir=tmp_path)))
    seen = {"If-Match": client.get(f"/transcribe/{job.id}").headers["ETag"]}
    jobs.then = lambda: made.commands.edit(job.id, Edit("text", 0, text="Other words."))
    body = {"SPEAKER_00": "Ann"} if room == "speakers" else {"text": "Mine."}
    answer = client.patch(f"/transcribe/{job.id}/{room}", json=body, headers=seen)
    assert jobs.reads >= 2
    assert answer.status_code == 412
    jobs.close()
