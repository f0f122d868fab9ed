"""What runs beside the API."""

import threading
from dataclasses import replace
from pathlib import Path

from meet_transcriber.api.app import BackgroundServices
from meet_transcriber.core.errors import StorageFull
from meet_transcriber.service import Service
from meet_transcriber.settings import Settings
from meet_transcriber.stores.sqlite.jobs import SqliteJobStore
from tests.unit.api.service_fixture import make_service
from tests.unit.fakes import FakeQueue


class FullAtFirst(SqliteJobStore):
    """A store that has no space the first time that a fact is read."""

    full = True

    def get_fact(self, name: str) -> str | None:
        if self.full:
            self.full = False
            raise StorageFull("There is no space left.")
        return super().get_fact(name)


def test_maintenance_starts_once_the_store_works(tmp_path: Path) -> None:
    context, greeted = make_service(tmp_path).context, threading.Event()
    service = Service(replace(context, jobs=FullAtFirst(tmp_path / "full.sqlite3")))
    settings = Settings(_env_file=None, data_dir=tmp_path)
    background = BackgroundServices(settings, service, FakeQueue(), greeted.set)
    background.start()
    try:
        assert greeted.wait(20)
    finally:
        background.stop()
