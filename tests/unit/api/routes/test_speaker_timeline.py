"""A speaker timeline with a job: taken in wherever options are, kept beside it, used once."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from meet_transcriber.service import Service
from tests.unit.api.service_fixture import stored_keys, work

FILE = {"file": ("standup.wav", b"tape")}
URL = "https://media.example/standup.mp3"
NAMES = {"SPEAKER_00": "Ann Lee", "SPEAKER_01": "Bob"}
# as the FakeDiarizer of the service fixture has it: eight of every ten seconds, in turns
ENTRIES: list[dict[str, Any]] = [
    {"name": ("Ann Lee", "Bob")[at % 2], "start": 10.0 * at, "end": 10.0 * at + 8}
    for at in range(6)
]
CSV = "name,start,end\n" + "".join(
    f"{each['name']},{each['start']},{each['end']}\n" for each in ENTRIES
)
VTT = "WEBVTT\n\n" + "".join(
    f"00:{each['start']:06.3f} --> 00:{each['end']:06.3f}\n<v {each['name']}>Hello.</v>\n\n"
    for each in ENTRIES
)


def submitted(client: TestClient, **request: Any) -> str:
    answer = client.post("/transcribe", **request)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def seen(client: TestClient, job_id: str) -> Any:
    return client.get(f"/transcribe/{job_id}").json()


def uploaded(client: TestClient) -> str:
    entry = client.post("/uploads", json={"name": "standup.wav", "size_bytes": 4}).json()
    headers = {"Upload-Offset": "0", "Content-Type": "application/partial-upload"}
    client.patch(entry["links"]["self"], content=b"tape", headers=headers)
    return str(entry["upload_id"])


def timelines(service: Service) -> list[str]:
    return [key for key in stored_keys(service) if "speaker_timeline" in key]


@pytest.mark.parametrize(
    "request_",
    [
        {"files": FILE, "data": {"speaker_timeline": CSV}},
        {"files": {**FILE, "speaker_timeline": ("meeting.vtt", VTT.encode())}},
        {"files": {**FILE, "speaker_timeline": ("meeting.csv", CSV.encode("utf-16"))}},
        {"files": {**FILE, "speaker_timeline": ("meeting.json", json.dumps(ENTRIES).encode())}},
    ],
    ids=["field", "WebVTT", "UTF-16", "JSON"],
)
def test_names_come_from_a_timeline_in_the_form(
    client: TestClient, service: Service, request_: dict[str, Any]
) -> None:
    job_id = submitted(client, **request_)
    work(service)
    job = seen(client, job_id)
    assert (job["names"], job["warnings"]) == (NAMES, [])
    assert "Ann Lee: word0" in client.get(f"/transcribe/{job_id}/download?format=txt").text


@pytest.mark.parametrize("timeline", [ENTRIES, CSV, VTT], ids=["list", "CSV", "WebVTT"])
def test_names_come_from_a_timeline_beside_an_upload(
    client: TestClient, service: Service, timeline: object
) -> None:
    body = {"upload": uploaded(client), "speaker_timeline": timeline}
    job_id = submitted(client, json=body)
    assert submitted(client, json=body) == job_id
    work(service)
    assert seen(client, job_id)["names"] == NAMES
    other = {**body, "speaker_timeline": ENTRIES[:3]}
    assert client.post("/transcribe", json=other).json()["code"] == "idempotency_mismatch"


def test_a_timeline_waits_for_a_recording_that_is_fetched(
    client: TestClient, service: Service
) -> None:
    submitted(client, json={"url": URL, "speaker_timeline": ENTRIES})
    (key,) = timelines(service)
    assert json.loads(service.context.media.get(key))["entries"] == ENTRIES


@pytest.mark.parametrize(
    ("timeline", "why"),
    [
        ("Dear diary", "format is unknown"),
        (CSV.replace("0.0", "soon", 1), "line 2 has 'soon' as start"),
        ("name,start,end\n" + "Ann,1,2\n" * 140_000, "larger than 1024 KiB"),
    ],
)
def test_a_bad_timeline_is_refused_and_leaves_nothing_behind(
    client: TestClient, service: Service, timeline: str, why: str
) -> None:
    for files in (FILE, {**FILE, "speaker_timeline": ("a.csv", timeline.encode())}):
        data = {"speaker_timeline": timeline} if files is FILE else {}
        answer = client.post("/transcribe", files=files, data=data)
        assert answer.status_code == 422
        assert why in answer.json()["detail"]
        assert answer.json()["errors"][0]["name"] == "speaker_timeline"
    assert stored_keys(service) == []


def test_a_bad_timeline_costs_no_upload(client: TestClient, service: Service) -> None:
    upload = uploaded(client)
    for bad in (5, {"name": "Ann"}, [1], [{"name": "Ann"}], "?"):
        body = {"upload": upload, "speaker_timeline": bad}
        assert client.post("/transcribe", json=body).status_code == 422
    assert timelines(service) == []
    submitted(client, json={"upload": upload, "speaker_timeline": ENTRIES})


def test_an_oversized_timeline_is_refused_unread(client: TestClient) -> None:
    files = {**FILE, "speaker_timeline": ("a.csv", b"x" * ((2 << 20) + 1))}
    answer = client.post("/transcribe", files=files)
    assert (answer.status_code, answer.json()["detail"]) == (
        422, "The field 'speaker_timeline' of the form is too large.",
    )  # fmt: skip


def test_an_empty_timeline_is_none(client: TestClient, service: Service) -> None:
    submitted(client, files={**FILE, "speaker_timeline": ("", b"")})
    submitted(client, json={"url": URL, "speaker_timeline": None})
    assert timelines(service) == []


def test_a_name_given_by_a_person_takes_precedence(client: TestClient, service: Service) -> None:
    job_id = submitted(client, files=FILE, data={"speaker_timeline": CSV})
    work(service)
    client.patch(f"/transcribe/{job_id}/speakers", json={"SPEAKER_00": "Anna"})
    assert seen(client, job_id)["names"] == {**NAMES, "SPEAKER_00": "Anna"}
    assert client.post(f"/transcribe/{job_id}/rerun", json={"tasks": ["attribute"]}).is_success
    work(service)
    assert seen(client, job_id)["names"] == {**NAMES, "SPEAKER_00": "Anna"}


def test_undoing_a_name_restores_the_timelines(client: TestClient, service: Service) -> None:
    job_id = submitted(client, files=FILE, data={"speaker_timeline": CSV})
    work(service)
    client.patch(f"/transcribe/{job_id}/speakers", json={"SPEAKER_00": "Anna"})
    assert client.post(f"/transcribe/{job_id}/undo").is_success
    assert seen(client, job_id)["names"] == NAMES
    client.patch(f"/transcribe/{job_id}/speakers", json={"SPEAKER_00": None})
    assert seen(client, job_id)["names"] == {"SPEAKER_01": "Bob"}


def test_a_rerun_of_everything_keeps_the_timeline(client: TestClient, service: Service) -> None:
    job_id = submitted(client, files=FILE, data={"speaker_timeline": CSV})
    work(service)
    assert client.post(f"/transcribe/{job_id}/rerun").is_success
    work(service)
    job = seen(client, job_id)
    assert (job["run"], job["names"]) == (2, NAMES)
    options = {"options": {"speaker_timeline": CSV}}
    assert client.post(f"/transcribe/{job_id}/rerun", json=options).status_code == 422


def test_a_timeline_is_stored_beside_the_record_and_deleted_with_the_job(
    client: TestClient, service: Service
) -> None:
    job_id = submitted(client, files=FILE, data={"speaker_timeline": CSV})
    assert "Ann Lee" not in repr(service.context.jobs.get(job_id))
    assert len(timelines(service)) == 1
    assert client.delete(f"/transcribe/{job_id}").is_success
    assert stored_keys(service) == []


def test_audio_wins_over_a_timeline_that_does_not_match_it(
    client: TestClient, service: Service
) -> None:
    wrong = [{**each, "name": "Ann Lee"} if at < 2 else each for at, each in enumerate(ENTRIES)]
    job_id = submitted(client, json={"upload": uploaded(client), "speaker_timeline": wrong})
    work(service)
    job = seen(client, job_id)
    assert job["names"] == NAMES
    assert [warning["code"] for warning in job["warnings"]] == ["speaker_timeline_differs"]
    assert "'word1" not in job["warnings"][0]["message"]


def test_a_repeated_request_gives_the_first_job_only_with_the_same_timeline(
    client: TestClient,
) -> None:
    sent: dict[str, Any] = {
        "json": {"url": URL, "speaker_timeline": CSV},
        "headers": {"Idempotency-Key": "k"},
    }
    first = submitted(client, **sent)
    assert submitted(client, **sent) == first
    sent["json"] = {"url": URL, "speaker_timeline": ENTRIES[:2]}
    assert client.post("/transcribe", **sent).json()["code"] == "idempotency_mismatch"


def test_a_timeline_is_documented(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    for name in ("Submission", "SubmissionForm", "UploadForm"):
        assert "speaker_timeline" in schemas[name]["properties"]
        assert "speaker_timeline" not in schemas[name].get("required", [])


def test_names_are_hostile_text_in_every_format(client: TestClient, service: Service) -> None:
    hostile = [
        {**each, "name": each["name"].replace("Bob", "=cmd()\r\n<script>\u202e")}
        for each in ENTRIES
    ]
    job_id = submitted(client, files=FILE, data={"speaker_timeline": json.dumps(hostile)})
    work(service)
    assert seen(client, job_id)["names"]["SPEAKER_01"] == "=cmd() <script>"
    assert "'=cmd()" in client.get(f"/transcribe/{job_id}/download?format=csv").text
    assert "<script>" not in client.get(f"/transcribe/{job_id}/download?format=html").text
