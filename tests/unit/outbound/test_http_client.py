"""Connections go where the guard looked, and nowhere after the deadline."""

import socket
import time
from collections.abc import Iterable
from threading import Thread

import httpcore
import httpx
import pytest

from meet_transcriber.core.errors import AddressRefused, FetchError
from meet_transcriber.outbound.address_guard import AddressGuard, Resolver
from meet_transcriber.outbound.http_client import Deadline, GuardedBackend, GuardedClient
from tests.unit.outbound.sites import Request, ScriptedResolver, Site, always

PUBLIC = ["93.184.215.14", "2606:4700::1111"]


class Recorder(httpcore.NetworkBackend):
    """Notes where somebody wants to connect, and never does."""

    def __init__(self) -> None:
        self.wanted: list[tuple[str, int]] = []

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        self.wanted.append((host, port))
        raise httpcore.ConnectError("nobody answers")


def exchange(url: str, guard: AddressGuard, seconds: float = 5, body: bytes = b"") -> bytes:
    context = httpx.create_ssl_context()
    client = GuardedClient(guard, Deadline(seconds), context, idle_seconds=seconds)
    with client, client.send("POST", httpx.URL(url), body=body) as response:
        return b"".join(response.iter_raw())


def test_the_checked_addresses_are_connected_in_order() -> None:
    recorder, resolver = Recorder(), ScriptedResolver(two_example=[PUBLIC, ["127.0.0.1"]])
    backend = GuardedBackend(AddressGuard((), resolver), Deadline(5), recorder)
    with pytest.raises(httpcore.ConnectError, match="nobody answers"):
        backend.connect_tcp("two.example", 443)
    assert recorder.wanted == [(address, 443) for address in PUBLIC]
    assert resolver.asked == ["two.example"]


def test_nothing_is_connected_when_one_address_is_forbidden() -> None:
    recorder = Recorder()
    guard = AddressGuard((), always(*PUBLIC, "10.0.0.1"))
    with pytest.raises(AddressRefused):
        GuardedBackend(guard, Deadline(5), recorder).connect_tcp("mixed.example", 80)
    assert recorder.wanted == []


def test_dns_rebinding_is_refused(site: Site) -> None:
    resolver = ScriptedResolver(rebound_example=[PUBLIC, ["127.0.0.1"]])
    guard = AddressGuard((), resolver)
    guard.check(site.url(host="rebound.example"))
    with pytest.raises(AddressRefused, match="loopback"):
        exchange(site.url(host="rebound.example"), guard)
    assert site.seen == []


def test_a_literal_is_checked_when_connecting(site: Site) -> None:
    with pytest.raises(AddressRefused, match="loopback"):
        exchange(site.url(), AddressGuard())
    assert site.seen == []


def test_the_host_header_stays_the_name(site: Site) -> None:
    site.answers["/"] = lambda request: request.send(b"hello")
    resolver = ScriptedResolver(inside_example=[["127.0.0.1"], ["10.0.0.1"]])
    answer = exchange(site.url(host="inside.example"), AddressGuard(["inside.example"], resolver))
    assert answer == b"hello"
    assert site.seen[0].headers["host"] == f"inside.example:{site.port}"
    assert resolver.asked == ["inside.example"]


def test_the_next_address_is_tried_when_one_is_dead(site: Site) -> None:
    guard = AddressGuard(["127.0.0.0/8"], always("127.0.0.2", "127.0.0.1"))
    exchange(site.url(host="two.example"), guard)
    assert len(site.seen) == 1


def test_a_name_without_address_is_an_error() -> None:
    with pytest.raises(FetchError, match=r"nowhere\.example was not found"):
        exchange("http://nowhere.example/", AddressGuard((), ScriptedResolver()))


def test_tls_verifies_the_host_name() -> None:
    hello: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            connection, _ = server.accept()
            with connection:
                hello.append(connection.recv(4096))

        listener = Thread(target=listen)
        listener.start()
        url = f"https://inside.example:{server.getsockname()[1]}/"
        with pytest.raises(httpcore.ConnectError):
            exchange(url, AddressGuard(["127.0.0.1"], always("127.0.0.1")))
        listener.join()
    assert b"inside.example" in hello[0]


def drip(request: Request) -> None:
    """Send one byte of a header at a time, never so slowly that a read times out."""
    while not request.site.closing.wait(0.02):
        request.wfile.write(b"x")


def test_a_server_that_drips_headers_meets_the_deadline(site: Site) -> None:
    site.answers["/"] = drip
    begun = time.monotonic()
    with pytest.raises((httpcore.TimeoutException, httpx.TimeoutException)):
        exchange(site.url(), AddressGuard(["127.0.0.1"]), seconds=0.3)
    assert time.monotonic() - begun < 5


def test_nothing_is_connected_after_the_deadline() -> None:
    recorder = Recorder()
    backend = GuardedBackend(AddressGuard((), always(*PUBLIC)), Deadline(0), recorder)
    with pytest.raises(httpcore.TimeoutException):
        backend.connect_tcp("slow.example", 80, timeout=5)
    assert recorder.wanted == []


def test_a_server_that_never_shakes_hands_meets_the_deadline() -> None:
    guard, context = AddressGuard(["127.0.0.1"]), httpx.create_ssl_context()
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = httpx.URL(f"https://127.0.0.1:{server.getsockname()[1]}/")
        begun = time.monotonic()
        client = GuardedClient(guard, Deadline(0.3), context, idle_seconds=10)
        with client, pytest.raises(httpcore.TimeoutException), client.send("GET", url):
            pass
    assert time.monotonic() - begun < 5


def test_large_requests_arrive_whole(site: Site) -> None:
    body = bytes(range(256)) * 1000
    exchange(site.url(), AddressGuard(["127.0.0.1"]), body=body)
    assert site.seen[0].body == body


def test_a_deadline_shortens_waits_and_ends_them() -> None:
    assert Deadline(60).cap(5) == 5
    assert 0 < Deadline(1).cap(None) <= 1
    assert Deadline(0).passed
    with pytest.raises(httpcore.TimeoutException):
        Deadline(0).cap(5)


@pytest.mark.parametrize("resolver", [always("127.0.0.1"), always("::1")])
def test_loopback_is_refused_under_any_name(resolver: Resolver) -> None:
    with pytest.raises(AddressRefused):
        exchange("http://friendly.example/", AddressGuard((), resolver))
