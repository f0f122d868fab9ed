"""Where `serve` needs no key, and how long it keeps connections."""

import socket
from typing import cast

import pytest

from meet_transcriber.cli.serve import for_loopback, server_of
from meet_transcriber.settings import Settings


class Listener:
    """A listening socket on any address."""

    def __init__(self, host: str) -> None:
        self._host = host

    def getsockname(self) -> tuple[str, int]:
        return self._host, 8000


@pytest.mark.parametrize(
    ("host", "mode"),
    [
        ("127.0.0.1", "loopback"),
        ("127.8.9.10", "loopback"),
        ("::1", "loopback"),
        ("::1234", "required"),
        ("::12:7f00:1", "required"),
        ("0.0.0.0", "required"),
        ("::", "required"),
        ("fe80::1%eth0", "required"),
        ("10.0.0.1", "required"),
    ],
)
def test_only_a_loopback_address_needs_no_key(host: str, mode: str) -> None:
    settings = Settings(_env_file=None)
    listener = cast(socket.socket, Listener(host))
    assert for_loopback(settings, listener).auth_mode == mode


def test_a_configured_mode_stays() -> None:
    settings = Settings(_env_file=None, auth_mode="required")
    listener = cast(socket.socket, Listener("127.0.0.1"))
    assert for_loopback(settings, listener).auth_mode == "required"


def test_proxies_and_clients_close_idle_connections_first() -> None:
    nginx, httpx = 60, 5  # seconds: `keepalive_timeout` of an upstream, `keepalive_expiry`
    kept = server_of(lambda: None, Settings(_env_file=None)).config.timeout_keep_alive
    assert kept > max(nginx, httpx)
