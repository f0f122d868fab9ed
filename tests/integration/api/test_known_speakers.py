"""People whom a request to /v1 knows beforehand, by a few seconds of their voices."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meet_transcriber.core.jobs import JobQuery
from tests.simulated.people import ALMOST_ANN, ANN, BOB, CAY, Town, hearing, meeting, town
from tests.unit.api.openai.app_fixture import working

DIARIZED = ("response_format", "diarized_json")


@pytest.fixture(name="town")
def town_(tmp_path: Path) -> Iterator[Town]:
    with (
        town(tmp_path, VOICE_PROFILES="off") as made,
        working(made.system.service, hearing()),
    ):
        yield made


def data_url(audio: bytes, kind: str = "audio/wav") -> str:
    return f"data:{kind};base64,{base64.b64encode(audio).decode()}"


def asked(
    town: Town,
    known: dict[str, str],
    *fields: tuple[str, str],
    headers: dict[str, str] | None = None,
) -> Any:
    """The answer to a request about Ann, Bob and Cay."""
    pairs = [("model", "whisper-1"), *fields]
    pairs += [("known_speaker_names[]", name) for name in known]
    pairs += [("known_speaker_references[]", url) for url in known.values()]
    file = ("file", ("standup.wav", meeting((CAY, 4), (ANN, 4), (BOB, 4))))
    return town.ask(
        "POST",
        "/v1/audio/transcriptions",
        files=[*((name, (None, value)) for name, value in pairs), file],
        headers=headers,
    )


def test_known_speakers_have_names_and_others_letters(town: Town) -> None:
    known = {"Bob": data_url(meeting((BOB, 3))), "Ann": data_url(meeting((ANN, 5)))}
    body = asked(town, known, DIARIZED).json()
    assert [each["speaker"] for each in body["segments"]] == ["A", "Ann", "Bob"]
    assert "warnings" not in body


def test_a_known_speaker_who_does_not_speak_is_not_named(town: Town) -> None:
    body = asked(town, {"Eve": data_url(meeting((900, 4)))}, DIARIZED).json()
    assert {each["speaker"] for each in body["segments"]} == {"A", "B", "C"}


def test_a_likely_one_counts_as_the_request_expects_them(town: Town) -> None:
    body = asked(town, {"Ann": data_url(meeting((ALMOST_ANN, 4)))}, DIARIZED).json()
    assert [each["speaker"] for each in body["segments"]] == ["A", "Ann", "C"]


def test_ten_seconds_in_stereo_at_48_khz_of_four_people_are_taken(town: Town) -> None:
    known = {
        name: data_url(meeting((pitch, 10), rate_hz=48_000, channels=2))
        for name, pitch in (("Ann", ANN), ("Bob", BOB), ("Cay", CAY), ("Eve", 900))
    }
    assert len(known["Ann"]) > 2_500_000
    body = asked(town, known, DIARIZED).json()
    assert [each["speaker"] for each in body["segments"]] == ["Cay", "Ann", "Bob"]


def test_another_reference_is_another_request(town: Town) -> None:
    key = {"Idempotency-Key": "once"}
    ann, bob = data_url(meeting((ANN, 3))), data_url(meeting((BOB, 3)))
    jobs = [
        asked(town, {"Ann": url}, DIARIZED, headers=key).headers["x-job-id"] for url in (ann, ann)
    ]
    assert jobs[0] == jobs[1]
    assert asked(town, {"Ann": bob}, DIARIZED, headers=key).status_code == 422


def test_references_go_with_their_job_and_nothing_else_keeps_them(town: Town) -> None:
    audio = meeting((ANN, 3))
    answer = asked(town, {"Annabel": data_url(audio)}, DIARIZED)
    keeping = [key for key, data in town.objects().items() if b"Annabel" in data]
    assert {key.rsplit("/", 1)[-1].partition(".json")[0] for key in keeping} == {
        "known_speakers", "known_names", "transcript"
    }  # fmt: skip
    town.ask("DELETE", f"/transcribe/{answer.headers['x-job-id']}")
    assert town.objects() == {}


@pytest.mark.parametrize(
    ("param", "known", "fields"),
    [
        ("known_speaker_names", {"Ann": data_url(meeting((ANN, 3)))}, ()),
        ("known_speaker_references", {"Ann": "https://media.example/ann.wav"}, (DIARIZED,)),
        ("known_speaker_references", {"Ann": "data:audio/wav;base64,a"}, (DIARIZED,)),
        ("known_speaker_references", {"Ann": data_url(b"no audio")}, (DIARIZED,)),
        ("known_speaker_references", {"Ann": data_url(meeting((ANN, 1)))}, (DIARIZED,)),
        ("known_speaker_references", {"Ann": data_url(meeting((ANN, 12)))}, (DIARIZED,)),
        ("known_speaker_references", {"Ann": data_url(bytes(3_000_000))}, (DIARIZED,)),
        ("known_speaker_names", dict.fromkeys("ABCDE", data_url(meeting((ANN, 3)))), (DIARIZED,)),
        ("known_speaker_names", dict.fromkeys("Aa", data_url(meeting((ANN, 3)))), (DIARIZED,)),
        ("known_speaker_names", {"A" * 201: data_url(meeting((ANN, 3)))}, (DIARIZED,)),
        ("known_speaker_references", {"": data_url(meeting((ANN, 3)))},
         (DIARIZED, ("known_speaker_names[]", "A"), ("known_speaker_names[]", "B"))),
    ],
)  # fmt: skip
def test_an_invalid_reference_is_refused_by_name(
    town: Town, param: str, known: dict[str, str], fields: tuple[tuple[str, str], ...]
) -> None:
    answer = asked(town, known, *fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["type"]) == (
        400, param, "invalid_request_error"
    )  # fmt: skip
    assert town.system.service.queries.page(JobQuery()) == []
    assert town.objects() == {}
