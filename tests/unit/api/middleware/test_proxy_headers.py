"""Who asks, when proxies stand between."""

import pytest

from meet_transcriber.api.middleware.proxy_headers import Origin, Proxies, client_key
from meet_transcriber.core.errors import InvalidOptions

PROXIES = Proxies(["10.0.0.0/8", "fd00::/8", "192.0.2.7"])
FOR, FORWARDED, PROTO = "x-forwarded-for", "forwarded", "x-forwarded-proto"


@pytest.mark.parametrize(
    ("peer", "headers", "address"),
    [
        ("198.51.100.1", [(FOR, "203.0.113.9")], "198.51.100.1"),  # nobody believes this peer
        ("198.51.100.1", [(FORWARDED, "for=203.0.113.9")], "198.51.100.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [(FOR, "203.0.113.9")], "203.0.113.9"),
        ("10.0.0.1", [(FOR, "1.1.1.1, 203.0.113.9")], "203.0.113.9"),  # the left one is a claim
        ("10.0.0.1", [(FOR, "1.1.1.1"), (FOR, "203.0.113.9")], "203.0.113.9"),
        ("10.0.0.1", [(FOR, "203.0.113.9, 10.2.2.2, 192.0.2.7")], "203.0.113.9"),
        ("10.0.0.1", [(FOR, "10.3.3.3, 10.2.2.2")], "10.3.3.3"),  # all are ours: the farthest
        ("10.0.0.1", [(FOR, "203.0.113.9, unknown, 10.2.2.2")], "10.2.2.2"),
        ("10.0.0.1", [(FOR, "'; DROP TABLE")], "10.0.0.1"),
        ("10.0.0.1", [(FOR, "203.0.113.9:4711")], "203.0.113.9"),
        ("10.0.0.1", [(FOR, "[2001:db8::1]:4711")], "2001:db8::1"),
        ("10.0.0.1", [(FOR, "2001:db8::1")], "2001:db8::1"),
        ("10.0.0.1", [(FOR, "::ffff:203.0.113.9")], "203.0.113.9"),
        ("::ffff:10.0.0.1", [(FOR, "203.0.113.9")], "203.0.113.9"),
        ("fd00::1", [(FORWARDED, 'for="[2001:db8::1]:4711";proto=https')], "2001:db8::1"),
        ("10.0.0.1", [(FORWARDED, "for=1.1.1.1, For=203.0.113.9;by=10.0.0.1")], "203.0.113.9"),
        ("10.0.0.1", [(FORWARDED, "for=_hidden")], "10.0.0.1"),
        ("10.0.0.1", [(FORWARDED, "for=1.1.1.1"), (FOR, "203.0.113.9")], "203.0.113.9"),
        ("", [(FOR, "203.0.113.9")], ""),
    ],
)
def test_the_rightmost_hop_that_is_no_proxy_is_the_client(
    peer: str, headers: list[tuple[str, str]], address: str
) -> None:
    assert PROXIES.origin(peer, headers).address == address


@pytest.mark.parametrize(
    ("headers", "scheme"),
    [
        ([(FOR, "203.0.113.9"), (PROTO, "https")], "https"),
        ([(FOR, "203.0.113.9"), (PROTO, "http, HTTPS")], "https"),
        ([(FOR, "203.0.113.9"), (PROTO, "gopher")], None),
        ([(FORWARDED, "for=203.0.113.9;proto=https")], "https"),
        ([(FOR, "203.0.113.9")], None),
    ],
)
def test_a_proxy_tells_the_scheme(headers: list[tuple[str, str]], scheme: str | None) -> None:
    assert PROXIES.origin("10.0.0.1", headers) == Origin("203.0.113.9", scheme)
    assert PROXIES.origin("198.51.100.1", headers).scheme is None


def test_a_long_chain_costs_little() -> None:
    chain = ", ".join(["10.1.1.1"] * 5000)
    assert PROXIES.origin("10.0.0.1", [(FOR, chain)]).address == "10.1.1.1"


def test_what_is_no_network_is_refused_by_the_settings_name() -> None:
    with pytest.raises(InvalidOptions, match="TRUSTED_PROXIES"):
        Proxies(["nginx"])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("", "testclient", True),
    ],
)
def test_one_customers_addresses_of_ipv6_are_one_client(one: str, other: str, same: bool) -> None:
    assert (client_key(one) == client_key(other)) is same
