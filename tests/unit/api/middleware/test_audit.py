"""Who did what, written down before the answer goes out."""

import json
import logging
from pathlib import Path

import pytest

from meet_transcriber.api.middleware.audit import ACTIONS, WHEN_TOLD
from meet_transcriber.api.routes.uploads import PARTIAL
from tests.unit.api.locked import Locked, locked_in

NOT_WRITTEN = {"getHealth", "getReadiness", "getMetrics", "getQueue", "getSession", "getPeaks",
               "headAudio", "listModels", "retrieveModel", "getUpload", "headUpload",
               "watchTranscriptions"}  # fmt: skip


def test_every_operation_is_written_down_or_known_not_to_be(locked: Locked) -> None:
    names = {each.name for each in locked.operations()}
    assert names == set(ACTIONS) | set(WHEN_TOLD) | NOT_WRITTEN
    assert len(names) == len(ACTIONS) + len(WHEN_TOLD) + len(NOT_WRITTEN)


def test_the_life_of_a_job_can_be_read(locked: Locked) -> None:
    made = locked.key(tenant="acme")
    headers = {"Authorization": f"Bearer {made.token}", "X-Request-ID": "here"}
    job_id = locked.finished("acme")
    for method, path, body in (
        ("GET", "", None), ("GET", "?transcript=false", None), ("GET", "/download", None),
        ("GET", "/audio", None), ("PATCH", "/speakers", {"SPEAKER_00": "Ann"}),
        ("PATCH", "/segments/0", {"text": "x"}), ("POST", "/undo", None), ("POST", "/rerun", None),
        ("POST", "/cancel", None), ("DELETE", "", None), ("GET", "", None),
    ):  # fmt: skip
        locked.client.request(method, f"/transcribe/{job_id}{path}", headers=headers, json=body)
    found = locked.trail(job=job_id)
    assert [each.action for each in reversed(found)] == [
        "read", "export", "listen", "rename", "edit", "edit", "rerun", "cancel", "delete"
    ]  # fmt: skip
    assert {(e.key, e.tenant, e.request_id, e.address) for e in found} == {
        (made.key.id, "acme", "here", "testclient")
    }


def test_a_new_job_is_written_down_with_its_id_and_without_its_name(locked: Locked) -> None:
    files = {"file": ("secret plans.wav", b"tape")}
    answer = locked.client.post("/transcribe", files=files, headers=locked.bearer())
    (entry,) = locked.trail(action="submit")
    assert (entry.job, entry.status, entry.name) == (answer.json()["job_id"], 202, None)


def test_who_added_to_an_upload_is_written_down(locked: Locked) -> None:
    ann, ben = (locked.key("submit", tenant="acme") for _ in range(2))
    wish = {"name": "a.wav", "size_bytes": 4}
    begun = locked.client.post("/uploads", json=wish, headers={"X-API-Key": ann.token}).json()
    headers = {"X-API-Key": ben.token, "Content-Type": PARTIAL, "Upload-Offset": "0"}
    locked.client.patch(begun["links"]["self"], content=b"tape", headers=headers)
    found = [(each.action, each.key) for each in locked.trail(job=begun["upload_id"])]
    assert found == [("append", ben.key.id), ("upload", ann.key.id)]


def test_names_of_recordings_are_told_where_the_operator_wants_it(tmp_path: Path) -> None:
    for locked in locked_in(tmp_path, audit_file_names=True):
        files = {"file": ("plans.wav", b"tape")}
        locked.client.post("/transcribe", files=files, headers=locked.bearer())
        assert [each.name for each in locked.trail(action="submit")] == ["plans.wav"]


def test_refusals_are_written_down(locked: Locked) -> None:
    narrow = locked.key("read")
    locked.client.delete("/transcribe/j", headers={"X-API-Key": "mt_aa_wrong"})
    locked.client.get("/audit", headers={"X-API-Key": narrow.token})
    locked.client.post("/v1/audio/transcriptions")
    found = [(e.status, e.target, e.key, e.job) for e in reversed(locked.trail(action="refused"))]
    assert found == [
        (401, "DELETE deleteTranscription", "", "j"),
        (403, "GET readAudit", narrow.key.id, ""),
        (401, "POST createTranscription", "", ""),
    ]


def test_what_is_done_to_keys_is_written_down(locked: Locked) -> None:
    admin = locked.bearer("admin")
    made = locked.client.post("/keys", json={"name": "ci"}, headers=admin).json()
    locked.client.post(f"/keys/{made['id']}/rotate", headers=admin)
    locked.client.delete(f"/keys/{made['id']}", headers=admin)
    found = [(each.action, each.target) for each in reversed(locked.trail())]
    assert found == [(f"{verb}_key", made["id"]) for verb in ("create", "rotate", "revoke")]


def test_who_signs_in_and_out_is_written_down(locked: Locked) -> None:
    made = locked.key("read")
    told = locked.client.post("/session", json={"key": made.token}).json()
    locked.client.delete("/session", headers={"X-CSRF-Token": told["csrf_token"]})
    assert [(each.action, each.key) for each in reversed(locked.trail())] == [
        ("sign_in", made.key.id), ("sign_out", made.key.id)
    ]  # fmt: skip


def test_a_search_is_written_down_and_a_list_is_not(locked: Locked) -> None:
    headers = locked.bearer("read")
    locked.client.get("/transcribe", headers=headers)
    locked.client.get("/transcribe", params={"search": "merger"}, headers=headers)
    assert [each.action for each in locked.trail()] == ["search"]
    assert "merger" not in (locked.folder / "audit.jsonl").read_text()


def test_no_speech_and_no_name_is_in_the_trail(locked: Locked) -> None:
    headers = locked.bearer(tenant="acme")
    for each in locked.operations():
        if "{job_id}" in each.path:
            locked.call(each, each.about(job_id=locked.finished("acme")), headers)
    text = (locked.folder / "audit.jsonl").read_text()
    assert text.count("\n") >= 9
    for word in ("word0", "ends.", "Ann", "standup", "other words"):
        assert word not in text


def test_administrators_read_the_trail_page_by_page(locked: Locked) -> None:
    admin = locked.bearer("admin")
    for _ in range(3):
        locked.client.get("/transcribe")
    first = locked.client.get("/audit", params={"limit": 2, "action": "refused"}, headers=admin)
    query = {"after": first.json()["after"], "action": "refused"}
    rest = locked.client.get("/audit", params=query, headers=admin).json()
    rows = first.json()["data"] + rest["data"]
    assert [row["target"] for row in rows] == ["GET listTranscriptions"] * 3
    assert rest["after"] is None
    assert {"at", "key", "tenant", "address", "request_id", "status"} <= rows[0].keys()


def test_the_trail_is_filtered_by_time(locked: Locked) -> None:
    locked.client.get("/transcribe")
    for query, count in (({"since": "2999-01-01T00:00:00Z"}, 0), ({"since": "2020-01-01"}, 1)):
        answer = locked.client.get(
            "/audit", params={**query, "action": "refused"}, headers=locked.bearer("admin")
        )
        assert len(answer.json()["data"]) == count
    wrong = locked.client.get("/audit?since=yesterday", headers=locked.bearer("admin"))
    assert wrong.status_code == 422


def test_a_trail_that_cannot_be_written_is_loud_and_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for locked in locked_in(tmp_path, audit_log=tmp_path):
        with caplog.at_level(logging.CRITICAL):
            assert locked.client.get("/keys", headers=locked.bearer()).status_code == 200
    (line,) = [each for each in caplog.records if each.message == "audit_failed"]
    assert vars(line)["action"] == "list_keys"


def test_lines_are_json_for_other_programs(locked: Locked) -> None:
    locked.client.get("/transcribe")
    (line,) = (locked.folder / "audit.jsonl").read_text().splitlines()
    assert json.loads(line)["action"] == "refused"
