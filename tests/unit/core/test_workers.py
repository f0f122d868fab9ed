"""A worker's id and its parts."""

import pytest

from meet_transcriber.core.workers import WorkerName, parse_worker_name


@pytest.mark.parametrize("host", ["vm", "gpu-7-worker-0", "a.b-1", ""])
def test_an_id_parses_into_its_parts(host: str) -> None:
    name = WorkerName(host, 4711, "c0ffee00")
    assert parse_worker_name(str(name)) == name


@pytest.mark.parametrize("text", ["", "vm", "vm-1", "vm-x-c0ffee", "api-vm-one-c0ffee"])
def test_other_text_is_not_an_id(text: str) -> None:
    assert parse_worker_name(text) is None
