"""An app over a service of its own, and a client of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from meet_transcriber.api.app import create_app
from meet_transcriber.service import Service
from meet_transcriber.settings import Settings
from tests.unit.api.secured_app import SecuredApp, open_secured_app
from tests.unit.api.service_fixture import make_service


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return make_service(tmp_path)


@pytest.fixture
def client(service: Service, tmp_path: Path) -> Iterator[TestClient]:
    app = create_app(service, Settings(auth_mode="open", data_dir=tmp_path))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[SecuredApp]:
    yield from open_secured_app(tmp_path)
