"""Who did what, written down before the answer goes out."""

import json
import logging
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from meet_transcriber.api.middleware.request_log import ACTIONS, ACTIONS_IF_CONTENT_READ
from meet_transcriber.api.routes.uploads import PARTIAL
from tests.unit.api.secured_app import SecuredApp, open_secured_app

NOT_WRITTEN = {"getHealth", "getReadiness", "getMetrics", "getQueue", "getSession", "getPeaks",
               "headAudio", "listModels", "retrieveModel", "getUpload", "headUpload",
               "watchTranscriptions"}  # fmt: skip


def test_every_operation_is_written_down_or_known_not_to_be(secured: SecuredApp) -> None:
    names = {each.name for each in secured.operations()}
    assert names == set(ACTIONS) | set(ACTIONS_IF_CONTENT_READ) | NOT_WRITTEN
    assert len(names) == len(ACTIONS) + len(ACTIONS_IF_CONTENT_READ) + len(NOT_WRITTEN)


def test_the_life_of_a_job_can_be_read(secured: SecuredApp) -> None:
    made = secured.key(tenant="acme")
    headers = {"Authorization": f"Bearer {made.token}", "X-Request-ID": "here"}
    job_id = secured.complete_job("acme")
    for method, path, body in (
        ("GET", "", None), ("GET", "?transcript=false", None), ("GET", "/download", None),
        ("GET", "/audio", None), ("PATCH", "/speakers", {"SPEAKER_00": "Ann"}),
        ("PATCH", "/segments/0", {"text": "x"}), ("POST", "/undo", None), ("POST", "/rerun", None),
        ("POST", "/cancel", None), ("DELETE", "", None), ("GET", "", None),
    ):  # fmt: skip
        secured.client.request(method, f"/transcribe/{job_id}{path}", headers=headers, json=body)
    found = secured.trail(job=job_id)
    assert [each.action for each in reversed(found)] == [
        "read", "export", "listen", "rename", "edit", "edit", "rerun", "cancel", "delete"
    ]  # fmt: skip
    assert {(e.key, e.tenant, e.request_id, e.address) for e in found} == {
        (made.key.id, "acme", "here", "testclient")
    }


def test_a_new_job_is_written_down_with_its_id_and_without_its_name(secured: SecuredApp) -> None:
    files = {"file": ("secret plans.wav", b"tape")}
    answer = secured.client.post("/transcribe", files=files, headers=secured.bearer())
    (entry,) = secured.trail(action="submit")
    assert (entry.job, entry.status, entry.name) == (answer.json()["job_id"], 202, None)


def test_who_added_to_an_upload_is_written_down(secured: SecuredApp) -> None:
    ann, ben = (secured.key("submit", tenant="acme") for _ in range(2))
    wish = {"name": "a.wav", "size_bytes": 4}
    begun = secured.client.post("/uploads", json=wish, headers={"X-API-Key": ann.token}).json()
    headers = {"X-API-Key": ben.token, "Content-Type": PARTIAL, "Upload-Offset": "0"}
    secured.client.patch(begun["links"]["self"], content=b"tape", headers=headers)
    found = [(each.action, each.key) for each in secured.trail(job=begun["upload_id"])]
    assert found == [("append", ben.key.id), ("upload", ann.key.id)]


def test_names_of_recordings_are_told_where_the_operator_wants_it(tmp_path: Path) -> None:
    for secured in open_secured_app(tmp_path, audit_file_names=True):
        files = {"file": ("plans.wav", b"tape")}
        secured.client.post("/transcribe", files=files, headers=secured.bearer())
        assert [each.name for each in secured.trail(action="submit")] == ["plans.wav"]


def test_refusals_are_written_down(secured: SecuredApp) -> None:
    narrow = secured.key("read")
    secured.client.delete("/transcribe/j", headers={"X-API-Key": "mt_aa_wrong"})
    secured.client.get("/audit", headers={"X-API-Key": narrow.token})
    secured.client.post("/v1/audio/transcriptions")
    found = [(e.status, e.target, e.key, e.job) for e in reversed(secured.trail(action="refused"))]
    assert found == [
        (401, "DELETE deleteTranscription", "", "j"),
        (403, "GET readAudit", narrow.key.id, ""),
        (401, "POST createTranscription", "", ""),
    ]


def test_strangers_who_reach_no_route_cannot_fill_the_trail(tmp_path: Path) -> None:
    for local in open_secured_app(tmp_path, auth_mode="loopback"):
        assert local.client.get("/transcribe").status_code == 403  # not from this machine
        assert local.client.get("/nothing").status_code == 403
        assert local.trail() == []


def test_what_is_done_to_keys_is_written_down(secured: SecuredApp) -> None:
    admin = secured.bearer("admin")
    made = secured.client.post("/keys", json={"name": "ci"}, headers=admin).json()
    secured.client.post(f"/keys/{made['id']}/rotate", headers=admin)
    secured.client.delete(f"/keys/{made['id']}", headers=admin)
    found = [(each.action, each.target) for each in reversed(secured.trail())]
    assert found == [(f"{verb}_key", made["id"]) for verb in ("create", "rotate", "revoke")]


def test_who_signs_in_and_out_is_written_down(secured: SecuredApp) -> None:
    made = secured.key("read")
    told = secured.client.post("/session", json={"key": made.token}).json()
    secured.client.delete("/session", headers={"X-CSRF-Token": told["csrf_token"]})
    assert [(each.action, each.key) for each in reversed(secured.trail())] == [
        ("sign_in", made.key.id), ("sign_out", made.key.id)
    ]  # fmt: skip


def test_a_search_is_written_down_and_a_list_is_not(secured: SecuredApp) -> None:
    headers = secured.bearer("read")
    secured.client.get("/transcribe", headers=headers)
    secured.client.get("/transcribe", params={"search": "merger"}, headers=headers)
    assert [each.action for each in secured.trail()] == ["search"]
    assert "merger" not in (secured.folder / "audit.jsonl").read_text()


def test_no_speech_and_no_name_is_in_the_trail(secured: SecuredApp) -> None:
    headers = secured.bearer(tenant="acme")
    for each in secured.operations():
        if "{job_id}" in each.path:
            secured.call(each, each.about(job_id=secured.complete_job("acme")), headers)
    text = (secured.folder / "audit.jsonl").read_text()
    assert text.count("\n") >= 9
    for word in ("word0", "ends.", "Ann", "standup", "other words"):
        assert word not in text


def test_administrators_read_the_trail_page_by_page(secured: SecuredApp) -> None:
    admin = secured.bearer("admin")
    for _ in range(3):
        secured.client.get("/transcribe")
    first = secured.client.get("/audit", params={"limit": 2, "action": "refused"}, headers=admin)
    query = {"after": first.json()["after"], "action": "refused"}
    rest = secured.client.get("/audit", params=query, headers=admin).json()
    rows = first.json()["data"] + rest["data"]
    assert [row["target"] for row in rows] == ["GET listTranscriptions"] * 3
    assert rest["after"] is None
    assert {"at", "key", "tenant", "address", "request_id", "status"} <= rows[0].keys()


def test_the_trail_is_filtered_by_time(secured: SecuredApp) -> None:
    secured.client.get("/transcribe")
    for query, count in (({"since": "2999-01-01T00:00:00Z"}, 0), ({"since": "2020-01-01"}, 1)):
        answer = secured.client.get(
            "/audit", params={**query, "action": "refused"}, headers=secured.bearer("admin")
        )
        assert len(answer.json()["data"]) == count
    wrong = secured.client.get("/audit?since=yesterday", headers=secured.bearer("admin"))
    assert wrong.status_code == 422


def test_a_trail_that_cannot_be_written_is_loud_and_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for secured in open_secured_app(tmp_path, audit_log=tmp_path):
        with caplog.at_level(logging.CRITICAL):
            assert secured.client.get("/keys", headers=secured.bearer()).status_code == 200
    (line,) = [each for each in caplog.records if each.message == "audit_failed"]
    assert vars(line)["action"] == "list_keys"


def test_lines_are_json_for_other_programs(secured: SecuredApp) -> None:
    secured.client.get("/transcribe")
    (line,) = (secured.folder / "audit.jsonl").read_text().splitlines()
    assert json.loads(line)["action"] == "refused"


def test_a_time_without_an_offset_is_utc(
    secured: SecuredApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = secured.bearer("admin")
    secured.client.get("/keys", headers=admin)
    until = (datetime.now(UTC) + timedelta(hours=1)).replace(tzinfo=None).isoformat()
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        found = secured.client.get("/audit", params={"until": until}, headers=admin).json()
    finally:
        monkeypatch.undo()
        time.tzset()
    assert [entry["action"] for entry in found["data"]] == ["list_keys"]
