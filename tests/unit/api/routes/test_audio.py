"""Ranges of the recording."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from meet_transcriber.api.routes.audio import media_type, parse_range
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.media import MediaInfo
from meet_transcriber.core.options import Options
from meet_transcriber.service import Service
from tests.unit.api.service_fixture import complete_job

DATA = bytes(range(256)) * 4096


@pytest.fixture
def path(service: Service) -> str:
    return f"/transcribe/{complete_job(service, data=DATA).id}/audio"


def test_the_whole_recording_comes_as_it_was_sent(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.content) == (200, DATA)
    assert answer.headers["Content-Type"] == "audio/wav"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Disposition"].startswith('inline; filename="standup.wav"')


@pytest.mark.parametrize(
    ("wanted", "data", "shown"),
    [
        ("bytes=0-0", DATA[:1], "bytes 0-0/1048576"),
        ("bytes=100-199", DATA[100:200], "bytes 100-199/1048576"),
        ("bytes=1048570-", DATA[-6:], "bytes 1048570-1048575/1048576"),
        ("bytes=-5", DATA[-5:], "bytes 1048571-1048575/1048576"),
        ("bytes=0-9999999999", DATA, "bytes 0-1048575/1048576"),
    ],
)
def test_a_range_is_returned_alone(
    client: TestClient, path: str, wanted: str, data: bytes, shown: str
) -> None:
    answer = client.get(path, headers={"Range": wanted})
    assert (answer.status_code, answer.content == data) == (206, True)
    assert answer.headers["Content-Range"] == shown
    assert int(answer.headers["Content-Length"]) == len(data)


def test_a_range_after_the_end_is_refused_with_the_size(client: TestClient, path: str) -> None:
    answer = client.get(path, headers={"Range": "bytes=1048576-"})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */1048576")
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_range_with_another_etag_returns_the_whole_recording(
    client: TestClient, path: str
) -> None:
    etag = client.get(path).headers["ETag"]
    for tag, status in ((etag, 206), ('"other"', 200), ("Tue, 24 Nov 2026 09:00:00 GMT", 200)):
        head = {"Range": "bytes=0-9", "If-Range": tag}
        assert client.get(path, headers=head).status_code == status


def test_head_says_how_long_it_is_and_sends_nothing(client: TestClient, path: str) -> None:
    answer = client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["Content-Length"]) == len(DATA)


@pytest.mark.parametrize("wanted", ["bytes=1-0", "bytes=-", "lines=0-1", "bytes=0-1,3-4", "x", ""])
def test_an_invalid_range_is_ignored(wanted: str) -> None:
    assert parse_range(wanted, 10) is None


@given(st.text(alphabet="bytes=-, 0123456789", max_size=20), st.integers(0, 100))
def test_a_range_always_lies_inside(wanted: str, size: int) -> None:
    try:
        span = parse_range(wanted, size) or range(size)
    except HTTPException:
        return
    assert 0 <= span.start <= span.stop <= size


@pytest.mark.parametrize(
    ("container", "video", "kind"),
    [
        ("mov,mp4,m4a", False, "audio/mp4"),
        ("mov,mp4,m4a", True, "video/mp4"),
        ("matroska,webm", True, "video/webm"),
        ("strange", False, "application/octet-stream"),
    ],
)
def test_a_container_has_its_media_type(container: str, video: bool, kind: str) -> None:
    media = MediaInfo(container, "", None, 0, 0, has_video=video)
    job = Job("id", Options(), media=media, objects={"recording": "jobs/id/recording"})
    assert media_type(job) == kind
