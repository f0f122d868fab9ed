"""Status, lists, downloads and peaks."""

import json

import pytest
from starlette.testclient import TestClient

from meet_transcriber.core.formats import EXPORTERS
from meet_transcriber.service import Service, SubmissionRequest
from tests.unit.api.service_fixture import complete_job, note_worker, work


def pending(service: Service, name: str = "standup.wav") -> str:
    upload = service.submissions.start_upload(name)
    upload.write(b"tape")
    return upload.finish(SubmissionRequest()).id


def test_a_status_describes_a_waiting_job(client: TestClient, service: Service) -> None:
    note_worker(service)
    first, second = pending(service), pending(service)
    body = client.get(f"/transcribe/{second}").json()
    assert (body["status"], body["queue_position"], body["progress"]) == ("pending", 2, 0.0)
    assert body["eta_seconds"] > 0
    assert body["created_at"].endswith("Z")
    assert "transcript" not in body
    assert client.get(f"/transcribe/{first}").json()["queue_position"] == 1


def test_a_status_moves_on_with_the_job(client: TestClient, service: Service) -> None:
    job_id = pending(service)
    seen = [client.get(f"/transcribe/{job_id}").json()["progress"]]
    while work(service, 1):
        seen.append(client.get(f"/transcribe/{job_id}").json()["progress"])
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 100.0)


def test_the_transcript_comes_with_the_status_unless_unwanted(
    client: TestClient, service: Service
) -> None:
    path = f"/transcribe/{complete_job(service).id}"
    assert client.get(path).json()["transcript"]["speakers"] == ["SPEAKER_00", "SPEAKER_01"]
    assert "transcript" not in client.get(path, params={"transcript": "false"}).json()


@pytest.mark.parametrize(
    ("usual", "others"), [("transcript=false", "0 no False"), ("transcript=true", "1 yes True")]
)
def test_a_usual_query_is_answered_as_any_other(
    client: TestClient, service: Service, usual: str, others: str
) -> None:
    path = f"/transcribe/{complete_job(service).id}"
    bodies = [client.get(f"{path}?transcript={other}").json() for other in others.split()]
    assert bodies == [client.get(f"{path}?{usual}").json()] * 3
    assert client.get(f"{path}?transcript=perhaps").status_code == 422
    assert client.get(f"/transcribe/none?{usual}").status_code == 404


def test_an_unchanged_response_is_304(client: TestClient, service: Service) -> None:
    path = f"/transcribe/{complete_job(service).id}"
    etag = client.get(path).headers["ETag"]
    again = client.get(path, headers={"If-None-Match": f'"other", {etag}'})
    assert (again.status_code, again.content) == (304, b"")
    client.patch(f"{path}/speakers", json={"SPEAKER_00": "Ann"})
    assert client.get(path, headers={"If-None-Match": etag}).status_code == 200


def test_a_response_says_when_to_retry(client: TestClient, service: Service) -> None:
    job_id = pending(service)
    assert int(client.get(f"/transcribe/{job_id}").headers["Retry-After"]) >= 1
    work(service)
    assert "Retry-After" not in client.get(f"/transcribe/{job_id}").headers


def test_a_deleted_job_is_gone_at_once(client: TestClient, service: Service) -> None:
    path = f"/transcribe/{complete_job(service).id}"
    assert client.get(path).status_code == 200
    assert client.delete(path).status_code == 204
    assert client.get(path).json()["code"] == "job_not_found"
    assert service.context.media.keys("jobs") == []


def test_a_failed_job_says_why(client: TestClient, service: Service) -> None:
    job_id = client.post("/transcribe", json={"url": "https://media.example/a.mp3"}).json()[
        "job_id"
    ]
    work(service)
    body = client.get(f"/transcribe/{job_id}").json()
    assert (body["status"], body["error"]["code"]) == ("failed", "address_refused")
    assert "media.example" not in json.dumps(body)


@pytest.mark.parametrize("form", EXPORTERS)
def test_every_format_downloads_as_a_file(client: TestClient, service: Service, form: str) -> None:
    answer = client.get(f"/transcribe/{complete_job(service).id}/download", params={"format": form})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith(EXPORTERS[form].media_type)
    assert (
        f'filename="standup.{EXPORTERS[form].extension}"' in answer.headers["Content-Disposition"]
    )
    assert len(answer.content) > 50


def test_accept_chooses_the_format_where_none_is_named(
    client: TestClient, service: Service
) -> None:
    path = f"/transcribe/{complete_job(service).id}/download"
    assert client.get(path).json()["schema_version"] == 1
    assert client.get(path, headers={"Accept": "text/vtt"}).text.startswith("WEBVTT")
    assert client.get(path, headers={"Accept": "image/png"}).status_code == 406
    assert client.get(path, params={"format": "pdf"}).json()["code"] == "invalid_options"


def test_markup_in_a_name_stays_text(client: TestClient, service: Service) -> None:
    job = complete_job(service, '<img src=x onerror="alert(1)">.wav')
    answer = client.get(f"/transcribe/{job.id}/download", params={"format": "txt"})
    assert not set("<>") & set(answer.headers["Content-Disposition"])
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_page_begins_after_the_previous_one(client: TestClient, service: Service) -> None:
    made = [pending(service, f"{number}.wav") for number in range(5)]
    first = client.get("/transcribe", params={"limit": 3, "order": "asc"}).json()
    rest = client.get("/transcribe", params={"order": "asc", "after": first["last_id"]}).json()
    assert [row["job_id"] for row in first["data"] + rest["data"]] == made
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert first["object"] == "list"


def test_a_repeated_parameter_is_refused(client: TestClient) -> None:
    answer = client.get("/transcribe?after=one&after=two&search=words")
    assert answer.status_code == 422
    assert "after was given twice" in answer.json()["detail"]


def test_a_list_can_be_narrowed(client: TestClient, service: Service) -> None:
    done, waits = complete_job(service, "retro.wav").id, pending(service, "standup.wav")

    def ids(**params: str) -> list[str]:
        return [row["job_id"] for row in client.get("/transcribe", params=params).json()["data"]]

    assert ids(status="completed") == ids(q="RETRO") == [done]
    assert ids(status="pending,failed") == [waits]
    assert ids(q="%") == []


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=x",
        "order=up",
        "status=uploading",
        "search=",
        "search=a&status=lost",
    ],
)
def test_invalid_list_parameters_are_refused(client: TestClient, query: str) -> None:
    answer = client.get(f"/transcribe?{query}")
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_search_finds_words_and_where_they_were_said(
    client: TestClient, service: Service
) -> None:
    job = complete_job(service)
    body = client.get("/transcribe", params={"search": "WORD3 ends"}).json()
    assert body["complete"]
    assert [row["job_id"] for row in body["data"]] == [job.id]
    assert body["data"][0]["segments"][0] == {
        "segment": 0, "start": 0.0, "end": 8.0, "speaker": "SPEAKER_00", "name": "SPEAKER_00",
        "text": "word0 ends.",
    }  # fmt: skip
    client.patch(f"/transcribe/{job.id}/speakers", json={"SPEAKER_00": "Ann"})
    (row,) = client.get("/transcribe", params={"search": "ends"}).json()["data"]
    assert {each["name"] for each in row["segments"]} == {"Ann", "SPEAKER_01"}


def test_peaks_come_as_numbers_or_as_bytes(client: TestClient, service: Service) -> None:
    path = f"/transcribe/{complete_job(service).id}/peaks"
    body = client.get(path).json()
    assert (body["per_second"], len(body["data"])) == (20, 2 * 20 * 60)
    raw = client.get(path, headers={"Accept": "application/octet-stream"}).content
    assert (raw[0], len(raw)) == (20, 1 + 2 * 20 * 60)


def test_a_missing_result_is_a_conflict(client: TestClient, service: Service) -> None:
    job_id = pending(service)
    for what in ("download", "peaks", "edits"):
        assert client.get(f"/transcribe/{job_id}/{what}").json()["code"] == "job_not_ready"
