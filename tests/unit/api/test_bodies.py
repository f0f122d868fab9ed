"""A form with a recording on its way into the service."""

import asyncio
import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.types import Message

from meet_transcriber.api.bodies import (
    SMALL_BODY_BYTES,
    FormReader,
    TextLimiter,
    UploadLimiter,
    body,
    receive,
)
from meet_transcriber.core.errors import (
    InvalidOptions,
    MalformedRequest,
    RateLimited,
    UploadTooLarge,
)
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.pace import Pace
from meet_transcriber.service import Policy, Service, SubmissionRequest
from tests.unit.api.service_fixture import make_service, stored_keys

HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="m.wav"\r\n\r\n'
TAIL = b'\r\n--b\r\nContent-Disposition: form-data; name="language"\r\n\r\nen\r\n--b--\r\n'


class Sender:
    """A request that counts how many of its chunks were taken."""

    def __init__(self, chunks: Iterator[bytes], length: int | None = None) -> None:
        self.chunks = chunks
        self.taken = 0
        headers = [(b"content-type", b"multipart/form-data; boundary=b")]
        if length is not None:
            headers.append((b"content-length", str(length).encode()))
        app = SimpleNamespace(state=SimpleNamespace(uploads=UploadLimiter(), texts=TextLimiter()))
        state = {"caller": SimpleNamespace(tenant="")}
        scope = {"type": "http", "headers": headers, "app": app, "state": state}
        self.request = HttpRequest(scope, self.receive)

    async def receive(self) -> Message:
        for chunk in self.chunks:
            self.taken += len(chunk)
            more = chunk != TAIL
            return {"type": "http.request", "body": chunk, "more_body": more}
        return {"type": "http.disconnect"}


def recording(mebibytes: int) -> Iterator[bytes]:
    yield HEAD
    for _ in range(mebibytes * 16):
        yield bytes(1 << 16)
    yield TAIL


async def read(request: HttpRequest, service: Service) -> None:
    """Read a form and use nothing of it."""
    async with receive(request, service):
        pass


def test_fields_may_follow_the_file(tmp_path: Path) -> None:
    service = make_service(tmp_path)

    async def send() -> Job:
        async with receive(Sender(recording(2)).request, service) as received:
            assert received.fields == [("language", "en")]
            return received.upload.finish(SubmissionRequest())

    job = asyncio.run(send())
    assert (job.name, job.size_bytes) == ("m.wav", 2 << 20)


def test_a_disconnected_upload_leaves_nothing(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    sender = Sender(iter([HEAD, bytes(1 << 20)]))
    with pytest.raises(ClientDisconnect):
        asyncio.run(read(sender.request, service))
    assert stored_keys(service) == []
    assert service.context.jobs.due(float("inf"), 9) == []


def test_too_much_is_refused_soon_after_the_limit(tmp_path: Path) -> None:
    service = make_service(tmp_path, Policy(max_upload_bytes=2 << 20))
    sender = Sender(recording(64))
    with pytest.raises(UploadTooLarge):
        asyncio.run(read(sender.request, service))
    assert sender.taken <= 3 << 20
    assert stored_keys(service) == []


def test_an_announced_length_over_the_limit_is_refused_unread(tmp_path: Path) -> None:
    service = make_service(tmp_path, Policy(max_upload_bytes=2 << 20))
    sender = Sender(recording(64), 64 << 20)
    with pytest.raises(UploadTooLarge):
        asyncio.run(read(sender.request, service))
    assert sender.taken == 0


def test_a_sender_that_pauses_keeps_its_upload_alive(tmp_path: Path) -> None:
    service = make_service(tmp_path, Policy(lease_seconds=1.0))

    async def send() -> list[str]:
        pausing, wire = Sender(iter([HEAD, b"x", TAIL])), asyncio.Queue[Message]()
        receiving = asyncio.create_task(read(HttpRequest(pausing.request.scope, wire.get), service))
        for _ in range(3):
            await wire.put(await pausing.receive())
            await asyncio.sleep(1.2)
        await receiving
        return service.context.jobs.due(time.time() - 1.0, 9)

    assert asyncio.run(send()) == []


def trickle(**limits: Any) -> int:
    """Send a byte at a time until it is refused; return how many were taken."""
    sender = Sender(itertools.repeat(b"x"))

    async def receive_slowly() -> Message:
        await asyncio.sleep(0.01)
        return await sender.receive()

    async def send() -> None:
        async for _ in body(HttpRequest(sender.request.scope, receive_slowly), 1 << 20, **limits):
            pass

    with pytest.raises(HTTPException) as refused:
        asyncio.run(send())
    assert refused.value.status_code == 408
    return sender.taken


def test_a_sender_of_a_byte_now_and_then_is_refused() -> None:
    assert trickle(pace=Pace(1024, window_seconds=0.2)) <= 21


def test_a_body_may_take_only_so_long() -> None:
    assert trickle(longest_seconds=0.2) <= 21


def test_a_fast_sender_may_pause() -> None:
    pace = Pace(1024, window_seconds=60.0)
    assert pace.keeps(60 * 1024, waited=0.1)
    assert pace.keeps(0, waited=59.9)
    assert pace.keeps(60 * 1024 - 1, waited=59.0)
    assert not pace.keeps(0, waited=1.0)


def test_a_tenant_leaves_room_for_the_recordings_of_others() -> None:
    limiter, sender = UploadLimiter(share=2, most=3), Sender(iter([]))
    state = {"caller": SimpleNamespace(tenant="b")}
    other = HttpRequest({**sender.request.scope, "state": state})
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(limiter.acquire(sender.request))
        with pytest.raises(RateLimited, match="You are sending 2"):
            stack.enter_context(limiter.acquire(sender.request))
        stack.enter_context(limiter.acquire(other))
        with pytest.raises(RateLimited, match="Too many"):
            stack.enter_context(limiter.acquire(other))
    with limiter.acquire(sender.request):
        pass


def test_a_tenant_leaves_room_for_the_text_of_others() -> None:
    limiter, sender = TextLimiter(share=20, most=30), Sender(iter([]))
    state = {"caller": SimpleNamespace(tenant="b")}
    other = HttpRequest({**sender.request.scope, "state": state})
    with limiter.hold(sender.request) as first, limiter.hold(sender.request) as second:
        first(SMALL_BODY_BYTES)  # which are free
        first(15)
        with pytest.raises(RateLimited, match="Too much text"):
            second(SMALL_BODY_BYTES + 6)
        with limiter.hold(other) as third:
            third(SMALL_BODY_BYTES + 15)
            with pytest.raises(RateLimited):
                third(1)
    with limiter.hold(sender.request) as again:
        again(SMALL_BODY_BYTES + 20)


def test_fields_of_a_form_are_counted_as_text() -> None:
    held: list[int] = []
    reader = FormReader("multipart/form-data; boundary=b", 1000, {"notes": 1000}, held.append)
    for name in ("title", "notes"):
        part = f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
        [*reader.feed(part.encode() + b"x" * 500 + b"\r\n")]
    assert sum(held) > 1000


def test_a_form_without_a_file_refuses_to_return_one(tmp_path: Path) -> None:
    sender = Sender(iter([TAIL[2:], TAIL]))

    async def send() -> None:
        async with receive(sender.request, make_service(tmp_path)) as received:
            assert received.file is None
            _ = received.upload

    with pytest.raises(InvalidOptions, match="no recording"):
        asyncio.run(send())


@pytest.mark.parametrize("headers", [b"X: y\r\n" * 9, b"X: " + b"y" * 8192 + b"\r\n"])
def test_the_headers_of_a_part_are_limited(tmp_path: Path, headers: bytes) -> None:
    sender = Sender(iter([HEAD[:-2] + headers + b"\r\nsound", TAIL]))
    with pytest.raises(MalformedRequest):
        asyncio.run(read(sender.request, make_service(tmp_path)))


def test_an_error_while_handling_a_form_leaves_nothing(tmp_path: Path) -> None:
    service = make_service(tmp_path)

    async def send() -> None:
        async with receive(Sender(recording(1)).request, service):
            raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(send())
    assert stored_keys(service) == []
