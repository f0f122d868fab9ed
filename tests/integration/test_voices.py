"""People known by their voices, on one machine: SQLite and a folder."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meet_transcriber.core.edits import Edit
from meet_transcriber.core.errors import (
    DiarizationFailed,
    JobCancelled,
    JobConflict,
    JobNotFound,
    StorageUnavailable,
)
from meet_transcriber.core.jobs import QUEUES, Job
from meet_transcriber.core.transcript import Span, Voice
from meet_transcriber.core.transitions import cancelled, deleted
from meet_transcriber.core.voices import FOLDER, Consent, with_clip, without_clip
from meet_transcriber.observability.logging import formatter
from meet_transcriber.pipeline import Chosen
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, AudioSource, Progress, Waveform
from meet_transcriber.ports.stores import JobStore, MediaStore
from meet_transcriber.service import Service, SubmissionRequest
from meet_transcriber.service.commands import JobCommands
from meet_transcriber.service.queries import JobQueries
from meet_transcriber.service.speaker_identification import (
    CHANNEL_SPEECH_SECONDS,
    Excerpt,
    SpeakerIdentification,
)
from meet_transcriber.service.task_runner import TaskRunner
from meet_transcriber.service.voices import VoiceBook, Voices
from tests.contract.voice_story import VoiceStory, send_clip
from tests.simulated.engines import TonalDiarizer
from tests.simulated.people import ANN, BOB, Town, call, hearing, meeting, town


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


def test_no_name_and_no_voice_is_logged(town: Town, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.handler.setFormatter(formatter(as_json=True))
    person = town.introduce(town.met((ANN, 6)), "SPEAKER_00", "Annabel").json()["id"]
    town.speakers(town.met((ANN, 6)))
    exported = town.ask("GET", f"/voices/{person}/export?embeddings=true").json()
    assert "job_finished" in caplog.text
    for secret in ("Annabel", "said yes", str(exported["samples"][0]["embedding"][0])):
        assert secret not in caplog.text


def test_a_rename_by_hand_outlives_reruns_and_edits(town: Town) -> None:
    first = town.met((ANN, 6), (BOB, 6))
    town.introduce(first, "SPEAKER_00", "Ann")
    path = f"/transcribe/{town.met((ANN, 6), (BOB, 6))}"
    town.ask("PATCH", f"{path}/speakers", json={"SPEAKER_00": "Anna", "SPEAKER_01": "Bobby"})
    town.introduce(first, "SPEAKER_01", "Bob")
    town.ask("POST", f"{path}/rerun", json={"tasks": ["attribute"]})
    town.work()
    by_hand = {"SPEAKER_00": "Anna", "SPEAKER_01": "Bobby"}
    assert town.ask("GET", path).json()["names"] == by_hand
    town.ask("PATCH", f"{path}/segments/0", json={"text": "other words"})
    assert town.ask("GET", path).json()["names"] == by_hand


def test_an_older_meeting_is_named_when_its_speakers_are_looked_at_again(town: Town) -> None:
    path = f"/transcribe/{town.met((ANN, 6))}"
    town.introduce(town.met((ANN, 5)), "SPEAKER_00", "Ann")
    assert town.ask("GET", path).json()["names"] == {}
    town.ask("POST", f"{path}/rerun", json={"tasks": ["attribute"]})
    town.work()
    assert town.ask("GET", path).json()["names"] == {"SPEAKER_00": "Ann"}


def test_a_name_that_was_found_follows_its_person_and_one_that_was_given_stays(town: Town) -> None:
    first = town.met((ANN, 6), (BOB, 6))
    ann = town.introduce(first, "SPEAKER_00", "Ann").json()["id"]
    bob = town.introduce(first, "SPEAKER_01", "Bob").json()["id"]
    path = f"/transcribe/{town.met((ANN, 6), (BOB, 6))}"
    assert town.ask("GET", path).json()["names"] == {"SPEAKER_00": "Ann", "SPEAKER_01": "Bob"}
    town.ask("PATCH", f"{path}/speakers", json={"SPEAKER_01": "Bob"})  # confirmed
    town.ask("PATCH", f"/voices/{ann}", json={"name": "Anna"})
    town.ask("DELETE", f"/voices/{bob}")
    for left in ({"SPEAKER_00": "Anna", "SPEAKER_01": "Bob"}, {"SPEAKER_01": "Bob"}):
        town.ask("POST", f"{path}/rerun", json={"tasks": ["attribute"]})
        town.work()
        assert town.ask("GET", path).json()["names"] == left
        town.ask("DELETE", f"/voices/{ann}")


def test_a_speaker_of_whom_nothing_is_kept_is_told_so(town: Town) -> None:
    job_id = town.met((ANN, 6))
    answer = town.introduce(job_id, "SPEAKER_07", "Ann")
    assert (answer.status_code, answer.json()["code"]) == (409, "no_voice")


def test_who_was_merged_into_another_has_no_voice_any_more(town: Town) -> None:
    job_id = town.met((ANN, 6), (BOB, 6))
    town.introduce(job_id, "SPEAKER_01", "Bob")
    merge = {"reassign": {"from": "SPEAKER_01", "to": "SPEAKER_00"}}
    town.ask("PATCH", f"/transcribe/{job_id}/segments", json=merge)
    assert [row["speaker"] for row in town.speakers(job_id)] == ["SPEAKER_00"]
    assert town.introduce(job_id, "SPEAKER_01", "Bob").json()["code"] == "no_voice"
    town.ask("POST", f"/transcribe/{job_id}/undo")
    assert [row["voice_name"] for row in town.speakers(job_id)] == [None, "Bob"]


@pytest.mark.parametrize(
    "wish",
    [{}, {"consent": True}, {"consent": False}, {"name": ""}, {"speaker": 1}, {"colour": "red"}],
)
def test_a_wish_that_makes_no_sense_keeps_nothing(town: Town, wish: dict[str, object]) -> None:
    whole = {"job_id": town.met((ANN, 6)), "speaker": "SPEAKER_00", "name": "Ann"}
    body = {} if wish == {"consent": True} else {**whole, **wish}
    assert town.ask("POST", "/voices", json={**body, **wish}).status_code == 422
    assert town.ask("GET", "/voices").json()["data"] == []


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
        assert (answer.status_code, answer.json()["code"]) == (409, "voices_sealed")


def test_after_a_lost_key_the_remedy_that_is_told_works(tmp_path: Path) -> None:
    with town(tmp_path) as before:
        old = before.met((ANN, 6))
        before.introduce(old, "SPEAKER_00", "Ann")
    (tmp_path / "data" / "voices.key").write_text("the key of another machine\n")
    with town(tmp_path) as after:
        assert [row["rememberable"] for row in after.speakers(old)] == [False]
        answer = after.introduce(old, "SPEAKER_00", "Ann")
        assert (answer.status_code, answer.json()["code"]) == (409, "no_voice")
        assert "diarize" in answer.json()["detail"]
        after.system.service.context.media.delete(FOLDER)
        after.ask("POST", f"/transcribe/{old}/rerun", json={"tasks": ["diarize"]})
        after.work()
        assert after.introduce(old, "SPEAKER_00", "Ann").status_code == 201
        assert [row["voice_name"] for row in after.speakers(old)] == ["Ann"]


@pytest.mark.parametrize(
    ("path", "edit"),
    [
        ("segments", {"reassign": {"from": "SPEAKER_01", "to": "SPEAKER_00"}}),
        ("segments/1", {"speaker": "SPEAKER_00"}),
    ],
)
def test_a_voice_whose_words_edits_moved_is_nobodys(
    town: Town, path: str, edit: dict[str, object]
) -> None:
    job_id = town.met((ANN, 1), (BOB, 6))
    answer = town.ask("PATCH", f"/transcribe/{job_id}/{path}", json=edit)
    assert answer.status_code == 200, answer.text
    row = town.speakers(job_id)[0]
    assert (row["speaker"], row["rememberable"], row["similarity"]) == ("SPEAKER_00", False, None)
    answer = town.introduce(job_id, "SPEAKER_00", "Bob")
    assert (answer.status_code, answer.json()["code"]) == (409, "no_voice")
    town.ask("POST", f"/transcribe/{job_id}/undo")
    assert town.introduce(job_id, "SPEAKER_00", "Ann").status_code == 201


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


@pytest.mark.parametrize(("change", "error"), [(deleted, JobNotFound), (cancelled, JobCancelled)])
def test_a_clip_whose_job_ends_while_it_is_worked_on_is_not_remembered(
    town: Town, change: Callable[[Job, float], Job], error: type[Exception]
) -> None:
    context, job_id = town.system.service.context, send_clip(town, "Ann")
    worker = TaskRunner(context, hearing(), "w", QUEUES, threading.Event())
    while context.jobs.get(job_id).stage != "waiting" or "voices.sealed" not in (
        context.jobs.get(job_id).objects
    ):
        assert worker.work()
    claimed = context.jobs.get(job_id)
    context.jobs.update(job_id, lambda job: change(job, context.clock()))
    with pytest.raises(error):
        SpeakerIdentification(context, claimed).known()
    (person,) = town.ask("GET", "/voices").json()["data"]
    assert person["samples"] == []


def test_a_clip_of_no_use_leaves_nobody(town: Town) -> None:
    job_id = send_clip(town, "Ann")
    context = town.system.service.context
    VoiceBook(context, context.jobs.get(job_id).tenant).change(partial(without_clip, job_id=job_id))
    assert town.ask("GET", "/voices").json()["data"] == []
    town.work()
    job = town.ask("GET", f"/transcribe/{job_id}").json()
    assert [each["code"] for each in job["warnings"]] == ["voice_not_kept"]


def test_a_clip_that_is_no_recording_leaves_nobody(town: Town) -> None:
    files = {"file": ("clip.wav", b"no sound"), "name": (None, "Ann"), "consent": (None, "true")}
    assert town.ask("POST", "/voices", files=files).status_code == 415
    assert town.ask("GET", "/voices").json()["data"] == []


@pytest.mark.parametrize(
    ("fields", "named"),
    [({"name": "Ann"}, ["consent"]), ({"name": "Ann", "consent": ["true", "false"]}, []),
     ({"name": "Ann", "consent": "true", "speaker": "A"}, ["speaker"])],
)  # fmt: skip
def test_a_clip_needs_each_field_exactly_once(
    town: Town, fields: dict[str, object], named: list[str]
) -> None:
    answer = town.ask("POST", "/voices", data=fields, files={"file": ("clip.wav", b"no sound")})
    assert answer.status_code == 422
    assert [each["name"] for each in answer.json()["errors"]] == named
    assert town.ask("GET", "/voices").json()["data"] == []


class DeleteFails:
    """A MediaStore whose book of people cannot be deleted, `times` times."""

    def __init__(self, media: MediaStore, times: int) -> None:
        self._media = media
        self._times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._media, name)

    def delete(self, key: str) -> None:
        if key.startswith(FOLDER) and self._times:
            self._times -= 1
            raise StorageUnavailable("The disk is away.")
        self._media.delete(key)


def test_deleting_somebody_can_be_tried_again(town: Town) -> None:
    job_id = send_clip(town, "Ann")
    town.work()
    (person,) = town.ask("GET", "/voices").json()["data"]
    service = town.system.service
    context = replace(service.context, media=DeleteFails(service.context.media, 1))
    reading = JobQueries(context).for_tenant("acme")
    voices = Voices(context, reading, JobCommands(context, reading))
    with pytest.raises(StorageUnavailable):
        voices.delete(person["id"])
    voices.delete(person["id"])
    assert town.ask("GET", "/voices").json()["data"] == []
    assert town.ask("GET", f"/transcribe/{job_id}").status_code == 404


class EditedMeanwhile:
    """A MediaStore; right before the log of edits is read again, somebody edits."""

    def __init__(self, media: MediaStore, edit: Callable[[], object]) -> None:
        self._media = media
        self._edit = edit
        self._reads = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._media, name)

    def get(self, key: str) -> bytes:
        if "/edits.json." in key:
            self._reads += 1
            if self._reads == 2:
                self._edit()
        return self._media.get(key)


def test_speakers_are_found_and_stored_while_somebody_edits(town: Town) -> None:
    job_id, service = town.met((ANN, 6), (BOB, 6)), town.system.service.for_tenant("acme")

    def edit() -> object:
        return service.commands.edit(job_id, Edit("text", 0, "other words"))

    def voices() -> Voices:
        media = EditedMeanwhile(service.context.media, edit)
        return Service(replace(service.context, media=media)).for_tenant("acme").voices

    edit()
    assert [each.rememberable for each in voices().speakers(job_id)] == [True, True]
    assert voices().remember(job_id, "SPEAKER_00", "Ann", Consent(0.0)).name == "Ann"


class Locks:
    """A JobStore whose lock is lost, or cannot be freed."""

    def __init__(self, jobs: JobStore, *, lost: bool) -> None:
        self._jobs = jobs
        self._lost = lost

    def __getattr__(self, name: str) -> Any:
        return getattr(self._jobs, name)

    def lock(self, name: str, holder: str, seconds: float, now: float) -> bool:
        held = self._jobs.lock(name, holder, seconds, now)
        if held and self._lost:
            self._jobs.unlock(name, holder)
            self._jobs.lock(name, "somebody else", seconds, now)
        return held

    def unlock(self, name: str, holder: str) -> None:
        self._jobs.unlock(name, holder)
        raise StorageUnavailable("The line broke.")


def test_a_book_whose_lock_cannot_be_freed_is_written(town: Town) -> None:
    context = town.system.service.context
    book = VoiceBook(replace(context, jobs=Locks(context.jobs, lost=False)), "acme")
    book.change(lambda known: with_clip(known, "Ann", "job", 0.0, "1"))
    assert [each.name for each in book.read().people] == ["Ann"]


def test_a_book_whose_lock_was_lost_is_not_written_and_the_lock_stays_its_holders(
    town: Town,
) -> None:
    context = town.system.service.context
    book = VoiceBook(replace(context, jobs=Locks(context.jobs, lost=True)), "acme")
    with pytest.raises(StorageUnavailable, match="locked"):
        book.change(lambda known: with_clip(known, "Ann", "job", 0.0, "1"))
    assert book.read().people == ()
    assert not context.jobs.lock(f"voices:{book.key}", "a third", 30.0, context.clock())


class Breaks(TonalDiarizer):
    """Finds speakers, but breaks at a single voice."""

    def voice(self, audio: AudioSource, speech: Sequence[Span], progress: Progress) -> Voice | None:
        raise DiarizationFailed("no memory")


def work_with(town: Town, diarizer: TonalDiarizer) -> None:
    """Do all that there is to do with this diarizer."""
    engines = replace(hearing(), diarizer=lambda: Chosen(diarizer))
    worker = TaskRunner(town.system.service.context, engines, "w", QUEUES, threading.Event())
    while worker.work():
        pass


def test_a_diarizer_that_breaks_at_the_voices_costs_no_speakers(town: Town) -> None:
    files = {"file": ("call.wav", call(ANN, BOB)), "channels": (None, "split")}
    job_id = town.ask("POST", "/transcribe", files=files).json()["job_id"]
    work_with(town, Breaks())
    job = town.ask("GET", f"/transcribe/{job_id}").json()
    assert [each["code"] for each in job["warnings"]] == ["voices_missed"]
    rows = town.speakers(job_id)
    assert [row["speaker"] for row in rows] == ["SPEAKER_00", "SPEAKER_01"]
    assert not any(row["rememberable"] for row in rows)


class Listens(TonalDiarizer):
    """Notes how much it is given for a single voice, and cancels the job when told to."""

    def __init__(self, cancel: Callable[[], object] | None = None) -> None:
        self.given: list[tuple[float, float]] = []
        self._cancel = cancel

    def voice(self, audio: AudioSource, speech: Sequence[Span], progress: Progress) -> Voice | None:
        self.given.append((audio.duration, sum(each.end - each.start for each in speech)))
        if self._cancel is not None:
            self._cancel()
            give_up_at = time.monotonic() + 20
            while time.monotonic() < give_up_at:
                progress(0.5)
                time.sleep(0.05)
        return super().voice(audio, speech, progress)


def test_of_a_long_channel_the_beginning_is_enough(town: Town) -> None:
    files = {"file": ("call.wav", call(ANN, BOB, seconds=190)), "channels": (None, "split")}
    job_id = town.ask("POST", "/transcribe", files=files).json()["job_id"]
    diarizer = Listens()
    work_with(town, diarizer)
    assert len(diarizer.given) == 2
    for seconds, of_speech in diarizer.given:
        assert seconds < 189
        assert of_speech == pytest.approx(CHANNEL_SPEECH_SECONDS)
    assert all(row["rememberable"] for row in town.speakers(job_id))


def test_the_voices_of_channels_can_be_cancelled(town: Town) -> None:
    files = {"file": ("call.wav", call(ANN, BOB)), "channels": (None, "split")}
    job_id = town.ask("POST", "/transcribe", files=files).json()["job_id"]
    diarizer = Listens(lambda: town.ask("POST", f"/transcribe/{job_id}/cancel"))
    work_with(town, diarizer)
    assert len(diarizer.given) == 1
    assert town.ask("GET", f"/transcribe/{job_id}").json()["status"] == "cancelled"


def test_a_reference_that_claims_no_length_is_cut() -> None:
    sound = Quiet(3600.0)
    excerpt = Excerpt(sound, 0, 10.0)
    assert excerpt.duration == 10.0
    assert len(excerpt.read(9.0, 3600.0)) == SAMPLE_RATE_HZ


class Quiet:
    """So many seconds of silence."""

    channels = 1

    def __init__(self, duration: float) -> None:
        self.duration = duration

    def read(self, start: float, end: float, channel: int = 0) -> Waveform:
        assert channel == 0
        return np.zeros(round((end - start) * SAMPLE_RATE_HZ), np.float32)


def test_who_is_deleted_while_a_clip_comes_in_does_not_come_back(town: Town) -> None:
    service = town.system.service.for_tenant("acme")
    upload = service.submissions.start_upload("clip.wav")
    upload.write(meeting((ANN, 8)))

    def submit(extras: Mapping[str, bytes]) -> Job:
        (person,) = service.voices.people()
        service.voices.delete(person.id)
        return upload.finish(SubmissionRequest(extras=extras))

    with pytest.raises(JobConflict):
        service.voices.submit_clip(upload.job_id, "Ann", Consent(0.0), submit)
    assert service.voices.people() == ()
    assert town.objects() == {}
