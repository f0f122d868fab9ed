"""Another tenant's jobs: on every route they are not there, as if they had never been made."""

import json

from meet_transcriber.core.jobs import JobQuery
from tests.unit.api.secured_app import SecuredApp
from tests.unit.api.service_fixture import stored_keys


def test_another_tenants_job_is_not_found_on_any_route(secured: SecuredApp) -> None:
    job_id, headers = secured.complete_job("theirs"), secured.bearer(tenant="mine")
    before = secured.service.queries.job(job_id), stored_keys(secured.service)
    tried = [each for each in secured.operations() if "{job_id}" in each.path]
    for each in tried:
        own = secured.call(each, each.about(job_id=job_id), headers)
        made_up = secured.call(each, each.about(job_id="0" * 32), headers)
        assert (own.status_code, made_up.status_code) == (404, 404), each.name
        assert (
            own.text.replace(job_id, "").split('"request_id"')[0]
            == (made_up.text.replace("0" * 32, "").split('"request_id"')[0])
        )
    assert len(tried) == 16
    assert (secured.service.queries.job(job_id), stored_keys(secured.service)) == before


def test_another_tenants_upload_is_not_found_on_any_route(secured: SecuredApp) -> None:
    upload = secured.service.for_tenant("theirs").submissions.create_upload("a.wav", 4)
    headers = secured.bearer(tenant="mine")
    tried = [each for each in secured.operations() if "{upload_id}" in each.path]
    for each in tried:
        answers = [
            secured.call(each, each.about(upload_id=an_id), headers)
            for an_id in (upload.id, "0" * 32)
        ]
        assert [answer.status_code for answer in answers] == [404, 404], each.name
    asked = secured.client.post("/transcribe", json={"upload": upload.id}, headers=headers)
    assert (asked.status_code, asked.json()["code"]) == (404, "upload_not_found")
    assert len(tried) == 4
    assert secured.service.for_tenant("theirs").uploads.find(upload.id) == upload


def test_the_owner_finds_the_job_on_every_route(secured: SecuredApp) -> None:
    headers = secured.bearer(tenant="theirs")
    for each in secured.operations():
        if "{job_id}" in each.path:
            path = each.about(job_id=secured.complete_job("theirs"))
            assert secured.call(each, path, headers).status_code != 404, each.name


def test_the_history_says_with_which_key_and_to_the_tenant_alone(secured: SecuredApp) -> None:
    path = f"/transcribe/{secured.complete_job('theirs')}"
    create = secured.guard.keyring.create
    for name in ("ann", "ben"):
        key = create(name, "theirs", ("submit", "read"), None)
        headers = {"Authorization": f"Bearer {key.token}"}
        wish = {"text": f"words of {name}"}
        secured.client.patch(f"{path}/segments/0", json=wish, headers=headers)
    secured.client.patch(f"{path}/speakers", json={"SPEAKER_00": "Cy"}, headers=headers)
    secured.client.post(f"{path}/undo", headers=headers)
    rows = secured.client.get(f"{path}/edits", headers=headers).json()["data"]
    assert [row["author"] for row in rows] == ["ann", "ben", "ben", "ben"]
    mine = secured.client.get(f"{path}/edits", headers=secured.bearer(tenant="mine"))
    assert (mine.status_code, "ann" in mine.text) == (404, False)


def test_a_status_that_the_owner_just_read_is_for_nobody_else(secured: SecuredApp) -> None:
    path = f"/transcribe/{secured.complete_job('theirs')}"
    theirs, mine = secured.bearer(tenant="theirs"), secured.bearer(tenant="mine")
    for headers, status in ((theirs, 200), (mine, 404), (theirs, 200), (mine, 404)):
        assert secured.client.get(path, headers=headers).status_code == status


def test_lists_and_searches_show_ones_own_jobs_only(secured: SecuredApp) -> None:
    own = {tenant: secured.complete_job(tenant) for tenant in ("", "mine", "theirs")}
    for tenant, job_id in own.items():
        headers = secured.bearer("read", tenant=tenant)
        for params in ({}, {"search": "word1"}, {"q": "standup"}, {"status": "completed"}):
            rows = secured.client.get("/transcribe", params=params, headers=headers).json()["data"]
            assert [row["job_id"] for row in rows] == [job_id], params


def test_another_tenants_job_is_no_place_in_a_list(secured: SecuredApp) -> None:
    job_id = secured.complete_job("theirs")
    answer = secured.client.get(
        "/transcribe", params={"after": job_id}, headers=secured.bearer(tenant="mine")
    )
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


def test_an_administrator_of_keys_sees_no_jobs_of_others(secured: SecuredApp) -> None:
    job_id, admin = secured.complete_job("theirs"), secured.bearer("admin", "read")
    assert secured.client.get(f"/transcribe/{job_id}", headers=admin).status_code == 404
    assert secured.client.get("/transcribe", headers=admin).json()["data"] == []


def test_two_tenants_may_use_one_idempotency_key(secured: SecuredApp) -> None:
    made = []
    for tenant in ("mine", "theirs", "mine"):
        headers = {**secured.bearer("submit", tenant=tenant), "Idempotency-Key": "k"}
        body = {"url": f"https://media.example/{tenant}.mp3"}
        made.append(secured.client.post("/transcribe", json=body, headers=headers).json()["job_id"])
    assert made[0] == made[2] != made[1]
    assert len(secured.service.queries.page(JobQuery())) == 2


def test_keys_of_one_tenant_share_their_jobs(secured: SecuredApp) -> None:
    path = f"/transcribe/{secured.complete_job('ours')}"
    for _ in range(2):
        assert secured.client.get(path, headers=secured.bearer("read", tenant="ours")).is_success


def test_a_new_job_is_its_keys_tenants(secured: SecuredApp) -> None:
    headers = secured.bearer("submit", tenant="mine")
    job_id = secured.client.post(
        "/transcribe", files={"file": ("a.wav", b"tape")}, headers=headers
    ).json()["job_id"]
    assert secured.service.queries.job(job_id).tenant == "mine"
    assert "mine" not in json.dumps(secured.client.get("/health/ready").json())
