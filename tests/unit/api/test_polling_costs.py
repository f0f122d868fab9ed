"""What a request for a status costs on one machine: threads that it waits for."""

from pathlib import Path

import pytest
from fastapi import FastAPI

from meet_transcriber.api.app import create_app
from meet_transcriber.core.auth import DEFAULT_SCOPES, AuditQuery
from meet_transcriber.service import Service
from meet_transcriber.settings import Settings
from tests.contract.job_samples import job
from tests.unit.api.counting_loop import poll_counted, run_counted
from tests.unit.api.service_fixture import complete_job

KEY = "a key of this test"


@pytest.fixture
def app(service: Service, tmp_path: Path) -> FastAPI:
    return create_app(service, Settings(auth_mode="required", api_keys=KEY, data_dir=tmp_path))


async def poll_repeatedly(app: FastAPI, path: str, key: str, times: int) -> list[int]:
    """The threads waited for the first time, and once the status is known."""
    return [await poll_counted(app, path, key, times) for _ in range(2)]


def test_a_key_of_the_settings_needs_no_thread(app: FastAPI, service: Service) -> None:
    service.context.jobs.create(job("waiting"))
    first, later = run_counted(poll_repeatedly(app, "/transcribe/waiting", KEY, 1))
    assert (first, later) == (2, 0), "to digest the keys and to render the status"


def test_polls_with_a_stored_key_share_a_thread(app: FastAPI, service: Service) -> None:
    made = app.state.auth.keyring.create("a", "", DEFAULT_SCOPES, None)
    service.context.jobs.create(job("waiting"))
    path = "/transcribe/waiting"
    assert run_counted(poll_repeatedly(app, path, made.token, 50))[1] == 1


def test_the_audit_log_is_written_once_for_polls_at_the_same_time(
    app: FastAPI, service: Service
) -> None:
    path = f"/transcribe/{complete_job(service).id}"
    assert run_counted(poll_repeatedly(app, path, KEY, 50))[1] == 1
    assert len(app.state.auth.trail.read_page(AuditQuery(limit=200)).entries) == 100
