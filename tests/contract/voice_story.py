"""The contract of stored voices, on every store."""

import json
from collections.abc import Callable

from meet_transcriber.core.auth import AuditQuery
from meet_transcriber.core.errors import VoicesSealed
from meet_transcriber.core.transcript import Voice
from meet_transcriber.core.voices import FOLDER, MOST_SAMPLES
from meet_transcriber.service.voices import VoiceBook, heard_in
from tests.simulated.people import ALMOST_ANN, ANN, BOB, CAY, Town, meeting


class VoiceStory:
    """Inherit it, with the fixtures `town` and `everything`: all bytes that the stores hold."""

    def test_only_an_introduced_speaker_is_named_in_the_next_meeting(self, town: Town) -> None:
        first = town.met((ANN, 6), (BOB, 6))
        assert town.named(first) == {}
        assert town.introduce(first, "SPEAKER_00", "Ann").status_code == 201
        assert town.introduce(first, "SPEAKER_01", "Bob").status_code == 201
        second = town.met((CAY, 5), (BOB, 4), (ANN, 7))
        assert town.named(second) == {"SPEAKER_01": "Bob", "SPEAKER_02": "Ann"}
        assert [(row["voice_name"], row["certainty"]) for row in town.speakers(second)] == [
            (None, None), ("Bob", "clear"), ("Ann", "clear")
        ]  # fmt: skip

    def test_an_uncertain_match_is_suggested_and_not_named(self, town: Town) -> None:
        town.introduce(town.met((ANN, 6)), "SPEAKER_00", "Ann")
        job_id = town.met((ALMOST_ANN, 6))
        (row,) = town.speakers(job_id)
        assert (row["name"], row["voice_name"], row["certainty"]) == (None, "Ann", "perhaps")
        assert town.named(job_id) == {}

    def test_a_deleted_voice_leaves_no_byte(
        self, town: Town, everything: Callable[[], bytes]
    ) -> None:
        job_id = town.met((ANN, 6))
        person = town.introduce(job_id, "SPEAKER_00", "Annabel").json()["id"]
        (sealed,) = (data for key, data in town.objects().items() if key.startswith(FOLDER))
        assert sealed[60:124] in everything()
        assert town.ask("DELETE", f"/voices/{person}").status_code == 204
        left = everything()
        for piece in (sealed[60:124], sealed[1:25], b"Annabel", b"said yes"):
            assert piece not in left
        assert town.ask("GET", "/voices").json()["data"] == []
        assert [key for key in town.objects() if key.startswith(FOLDER)] == []

    def test_the_remaining_people_contain_nothing_of_a_deleted_one(self, town: Town) -> None:
        job_id = town.met((ANN, 6), (BOB, 6))
        gone = town.introduce(job_id, "SPEAKER_00", "Ann").json()["id"]
        town.introduce(job_id, "SPEAKER_01", "Bob")
        town.ask("DELETE", f"/voices/{gone}")
        book = VoiceBook(town.system.service.context, "acme").read()
        assert [person.name for person in book.people] == ["Bob"]

    def test_no_voice_is_stored_unencrypted(
        self, town: Town, everything: Callable[[], bytes]
    ) -> None:
        job_id = town.met((ANN, 6))
        town.introduce(job_id, "SPEAKER_00", "Annabel")
        context = town.system.service.context
        voice = heard_in(context, context.jobs.get(job_id))["SPEAKER_00"]
        kept = everything()
        assert not [text for text in texts_of(voice) if text in kept]
        assert b"Annabel" not in kept

    def test_people_are_visible_to_their_tenant_only(self, town: Town) -> None:
        job_id = town.met((ANN, 6))
        person = town.introduce(job_id, "SPEAKER_00", "Ann").json()["id"]
        theirs = town.met((ANN, 6), tenant="other")
        assert town.named(theirs, "other") == {}
        assert town.speakers(theirs, "other")[0]["voice_name"] is None
        assert town.ask("GET", "/voices", "other").json()["data"] == []
        assert town.introduce(job_id, "SPEAKER_00", "Eve", "other").status_code == 404
        for method, tail in (("GET", ""), ("GET", "/export"), ("PATCH", ""), ("DELETE", "")):
            body = {"json": {"name": "Eve"}} if method == "PATCH" else {}
            answer = town.ask(method, f"/voices/{person}{tail}", "other", **body)
            assert (answer.status_code, answer.json()["code"]) == (404, "voice_not_found")

    def test_people_sealed_for_one_tenant_open_for_no_other(self, town: Town) -> None:
        town.introduce(town.met((ANN, 6)), "SPEAKER_00", "Ann")
        context = town.system.service.context
        context.media.put(
            VoiceBook(context, "other").key, context.media.get(VoiceBook(context, "acme").key)
        )
        assert town.ask("GET", "/voices", "other").json()["code"] == VoicesSealed.code

    def test_a_clip_adds_a_sample_and_is_deleted_with_its_person(
        self, town: Town, everything: Callable[[], bytes]
    ) -> None:
        files = {"file": ("clip.wav", meeting((ANN, 8))), "name": (None, "Annabel"),
                 "consent": (None, "by mail")}  # fmt: skip
        answer = town.ask("POST", "/voices", files=files)
        assert answer.status_code == 202
        assert b"Annabel" not in everything()
        town.work()
        (person,) = town.ask("GET", "/voices").json()["data"]
        (sample,) = person["samples"]
        assert (sample["clip"], sample["consent"]["note"]) == (True, "by mail")
        assert town.named(town.met((ANN, 5))) == {"SPEAKER_00": "Annabel"}
        town.ask("DELETE", f"/voices/{person['id']}")
        job_id = answer.json()["job_id"]
        assert town.ask("GET", f"/transcribe/{job_id}").status_code == 404
        assert [key for key in town.objects() if job_id in key] == []

    def test_a_person_deleted_during_a_clip_does_not_come_back(self, town: Town) -> None:
        first = send_clip(town, "Ann")
        town.work()
        second = send_clip(town, "Ann")
        (person,) = town.ask("GET", "/voices").json()["data"]
        assert [sample["job_id"] for sample in person["samples"]] == [first]
        assert town.ask("DELETE", f"/voices/{person['id']}").status_code == 204
        town.work()
        assert town.ask("GET", "/voices").json()["data"] == []
        for job_id in (first, second):
            assert town.ask("GET", f"/transcribe/{job_id}").status_code == 404
        assert town.objects() == {}

    def test_clips_with_replaced_samples_are_deleted_with_their_person(self, town: Town) -> None:
        clips = [send_clip(town, "Ann") for _ in range(MOST_SAMPLES + 1)]
        town.work()
        (person,) = town.ask("GET", "/voices").json()["data"]
        assert len(person["samples"]) == MOST_SAMPLES
        town.ask("DELETE", f"/voices/{person['id']}")
        assert {town.ask("GET", f"/transcribe/{each}").status_code for each in clips} == {404}

    def test_a_rerun_clip_belongs_to_the_person_after_a_merge(self, town: Town) -> None:
        job_id = send_clip(town, "Ann")
        town.work()
        (person,) = town.ask("GET", "/voices").json()["data"]
        town.ask("PATCH", f"/voices/{person['id']}", json={"name": "Anna"})
        other = town.introduce(town.met((ANN, 6)), "SPEAKER_00", "Annie").json()["id"]
        town.ask("POST", f"/voices/{other}/merge", json={"voice_id": person["id"]})
        again = town.ask("POST", f"/transcribe/{job_id}/rerun", json={"tasks": ["attribute"]})
        assert again.status_code == 202
        town.work()
        (left,) = town.ask("GET", "/voices").json()["data"]
        assert (left["name"], len(left["samples"])) == ("Annie", 2)
        town.ask("DELETE", f"/voices/{other}")
        assert town.ask("GET", f"/transcribe/{job_id}").status_code == 404

    def test_the_audit_log_contains_no_names(self, town: Town) -> None:
        job_id = town.met((ANN, 6))
        person = town.introduce(job_id, "SPEAKER_00", "Annabel").json()["id"]
        town.ask("GET", f"/voices/{person}/export?embeddings=true")
        town.ask("PATCH", f"/voices/{person}", json={"name": "Annie"})
        town.speakers(job_id)
        town.ask("DELETE", f"/voices/{person}")
        entries = town.guard.trail.read_page(AuditQuery(limit=6, tenant="acme")).entries
        assert [(each.action, each.target or each.job) for each in reversed(entries)][-5:] == [
            ("remember_voice", person), ("export_voice", person), ("rename_voice", person),
            ("read", job_id), ("forget_voice", person),
        ]  # fmt: skip
        assert "Ann" not in str(entries)

    def test_the_voices_of_a_meeting_are_deleted_with_it(self, town: Town) -> None:
        job_id = town.met((ANN, 6))
        assert [key for key in town.objects() if "voices.sealed" in key] != []
        town.ask("DELETE", f"/transcribe/{job_id}")
        assert town.objects() == {}

    def test_two_people_are_merged(self, town: Town) -> None:
        job_id = town.met((ANN, 6), (BOB, 6))
        ann, bob = (
            town.introduce(job_id, f"SPEAKER_0{at}", name).json()["id"]
            for at, name in enumerate(("Ann", "Bob"))
        )
        merged = town.ask("POST", f"/voices/{ann}/merge", json={"voice_id": bob}).json()
        assert len(merged["samples"]) == 2
        assert town.ask("GET", f"/voices/{bob}").status_code == 404
        (entry, *_) = town.guard.trail.read_page(AuditQuery(action="merge_voices")).entries
        assert entry.target == f"{bob} into {ann}"
        assert set(town.named(town.met((BOB, 6))).values()) == {"Ann"}


def send_clip(town: Town, name: str) -> str:
    """Send a clip; returns the id of its job, which has not run yet."""
    files = {"file": ("clip.wav", meeting((ANN, 8))), "name": (None, name),
             "consent": (None, "by mail")}  # fmt: skip
    answer = town.ask("POST", "/voices", files=files)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["job_id"]
    return job_id


def texts_of(voice: Voice) -> list[bytes]:
    """Encodings in which a voice could be stored unencrypted."""
    numbers = [round(value, 5) for value in voice.vector[:3]]
    return [json.dumps(numbers, separators=gap)[1:-1].encode() for gap in ((",", ":"), (", ", ":"))]
