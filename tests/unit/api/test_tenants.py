"""Another tenant's jobs: on every route they are not there, as if they had never been made."""

import json

from meet_transcriber.core.jobs import JobQuery
from tests.unit.api.locked import Locked
from tests.unit.api.rig import leftovers


def test_another_tenants_job_is_not_found_on_any_route(locked: Locked) -> None:
    job_id, headers = locked.finished("theirs"), locked.bearer(tenant="mine")
    before = locked.service.queries.job(job_id), leftovers(locked.service)
    tried = [each for each in locked.operations() if "{job_id}" in each.path]
    for each in tried:
        own = locked.call(each, each.about(job_id=job_id), headers)
        made_up = locked.call(each, each.about(job_id="0" * 32), headers)
        assert (own.status_code, made_up.status_code) == (404, 404), each.name
        assert (
            own.text.replace(job_id, "").split('"request_id"')[0]
            == (made_up.text.replace("0" * 32, "").split('"request_id"')[0])
        )
    assert len(tried) == 16
    assert (locked.service.queries.job(job_id), leftovers(locked.service)) == before


def test_another_tenants_upload_is_not_found_on_any_route(locked: Locked) -> None:
    upload = locked.service.of("theirs").uploads.create("a.wav", 4)
    headers = locked.bearer(tenant="mine")
    tried = [each for each in locked.operations() if "{upload_id}" in each.path]
    for each in tried:
        answers = [
            locked.call(each, each.about(upload_id=an_id), headers)
            for an_id in (upload.id, "0" * 32)
        ]
        assert [answer.status_code for answer in answers] == [404, 404], each.name
    asked = locked.client.post("/transcribe", json={"upload": upload.id}, headers=headers)
    assert (asked.status_code, asked.json()["code"]) == (404, "upload_not_found")
    assert len(tried) == 4
    assert locked.service.of("theirs").uploads.find(upload.id) == upload


def test_the_owner_finds_the_job_on_every_route(locked: Locked) -> None:
    headers = locked.bearer(tenant="theirs")
    for each in locked.operations():
        if "{job_id}" in each.path:
            path = each.about(job_id=locked.finished("theirs"))
            assert locked.call(each, path, headers).status_code != 404, each.name


def test_the_history_says_with_which_key_and_to_the_tenant_alone(locked: Locked) -> None:
    path = f"/transcribe/{locked.finished('theirs')}"
    create = locked.guard.keyring.create
    for name in ("ann", "ben"):
        key = create(name, "theirs", ("submit", "read"), None)
        headers = {"Authorization": f"Bearer {key.token}"}
        wish = {"text": f"words of {name}"}
        locked.client.patch(f"{path}/segments/0", json=wish, headers=headers)
    locked.client.patch(f"{path}/speakers", json={"SPEAKER_00": "Cy"}, headers=headers)
    locked.client.post(f"{path}/undo", headers=headers)
    rows = locked.client.get(f"{path}/edits", headers=headers).json()["data"]
    assert [row["author"] for row in rows] == ["ann", "ben", "ben", "ben"]
    mine = locked.client.get(f"{path}/edits", headers=locked.bearer(tenant="mine"))
    assert (mine.status_code, "ann" in mine.text) == (404, False)


def test_a_status_that_the_owner_just_read_is_for_nobody_else(locked: Locked) -> None:
    path = f"/transcribe/{locked.finished('theirs')}"
    theirs, mine = locked.bearer(tenant="theirs"), locked.bearer(tenant="mine")
    for headers, status in ((theirs, 200), (mine, 404), (theirs, 200), (mine, 404)):
        assert locked.client.get(path, headers=headers).status_code == status


def test_lists_and_searches_show_ones_own_jobs_only(locked: Locked) -> None:
    own = {tenant: locked.finished(tenant) for tenant in ("", "mine", "theirs")}
    for tenant, job_id in own.items():
        headers = locked.bearer("read", tenant=tenant)
        for params in ({}, {"search": "word1"}, {"q": "standup"}, {"status": "completed"}):
            rows = locked.client.get("/transcribe", params=params, headers=headers).json()["data"]
            assert [row["job_id"] for row in rows] == [job_id], params


def test_another_tenants_job_is_no_place_in_a_list(locked: Locked) -> None:
    job_id = locked.finished("theirs")
    answer = locked.client.get(
        "/transcribe", params={"after": job_id}, headers=locked.bearer(tenant="mine")
    )
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


def test_an_administrator_of_keys_sees_no_jobs_of_others(locked: Locked) -> None:
    job_id, admin = locked.finished("theirs"), locked.bearer("admin", "read")
    assert locked.client.get(f"/transcribe/{job_id}", headers=admin).status_code == 404
    assert locked.client.get("/transcribe", headers=admin).json()["data"] == []


def test_two_tenants_may_use_one_idempotency_key(locked: Locked) -> None:
    made = []
    for tenant in ("mine", "theirs", "mine"):
        headers = {**locked.bearer("submit", tenant=tenant), "Idempotency-Key": "k"}
        body = {"url": f"https://media.example/{tenant}.mp3"}
        made.append(locked.client.post("/transcribe", json=body, headers=headers).json()["job_id"])
    assert made[0] == made[2] != made[1]
    assert len(locked.service.queries.page(JobQuery())) == 2


def test_keys_of_one_tenant_share_their_jobs(locked: Locked) -> None:
    path = f"/transcribe/{locked.finished('ours')}"
    for _ in range(2):
        assert locked.client.get(path, headers=locked.bearer("read", tenant="ours")).is_success


def test_a_new_job_is_its_keys_tenants(locked: Locked) -> None:
    headers = locked.bearer("submit", tenant="mine")
    job_id = locked.client.post(
        "/transcribe", files={"file": ("a.wav", b"tape")}, headers=headers
    ).json()["job_id"]
    assert locked.service.queries.job(job_id).tenant == "mine"
    assert "mine" not in json.dumps(locked.client.get("/health/ready").json())
