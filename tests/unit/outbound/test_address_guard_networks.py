"""Which addresses are public, and what an allow-list opens."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.outbound.address_guard import (
    AllowList,
    address_of,
    is_host_name,
    special_kind,
    unwrapped,
)

SPECIAL = """
0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.255 169.254.1.1
172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.19.255.255
198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 ::7f00:1 100::1 2001::1 2001:2::1 2001:10::1 2001:db8::1 2002:7f00:1:: 2002:808:808::1
3fff::1 5f00::1 64:ff9b:1::1 fc00::1 fd00::1 fe80::1 fec0::1 ff02::1 4000::1 ::ffff:10.0.0.1
::ffff:127.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe
"""
METADATA = """
169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16 192.0.0.192 fd00:ec2::254
fd20:ce::254 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe
"""
PUBLIC = """
1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.0 172.15.255.255 172.32.0.0 198.17.255.255 198.20.0.0
223.255.255.255 2001:4860:4860::8888 2606:4700::1111 2a00::1 ::ffff:8.8.8.8 64:ff9b::808:808
"""


@pytest.mark.parametrize("text", SPECIAL.split())
def test_special_addresses_are_not_public(text: str) -> None:
    assert special_kind(ip_address(text))


@pytest.mark.parametrize("text", PUBLIC.split())
def test_public_addresses_are_public(text: str) -> None:
    assert special_kind(ip_address(text)) is None


@pytest.mark.parametrize("text", METADATA.split())
def test_metadata_addresses_are_named_as_such(text: str) -> None:
    assert special_kind(ip_address(text)) == "a cloud's metadata"


@given(st.ip_addresses())
def test_what_python_calls_not_global_is_never_public(address: IPv4Address | IPv6Address) -> None:
    if not unwrapped(address).is_global or address.is_multicast:
        assert special_kind(address)


@given(st.ip_addresses(v=4))
def test_wrapping_changes_nothing(address: IPv4Address) -> None:
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        wrapped = IPv6Address(int(IPv6Address(prefix)) | int(address))
        assert special_kind(wrapped) == special_kind(address)


@given(st.ip_addresses(v=4))
def test_tunnels_are_never_public(address: IPv4Address) -> None:
    six_to_four = IPv6Address((0x2002 << 112) | (int(address) << 80) | 1)
    teredo = IPv6Address((0x20010000 << 96) | (int(address) ^ 0xFFFFFFFF))
    assert special_kind(six_to_four) == "a 6to4"
    assert special_kind(teredo) == "a special-purpose"


@pytest.mark.parametrize(
    "text", ["fe80::1%eth0", "127.1", "0127.0.0.1", "1.2.3.4 ", "", "１.1.1.1"]
)
def test_only_canonical_addresses_are_read(text: str) -> None:
    assert address_of(text) is None


@pytest.mark.parametrize("host", ["wiki", "a.b-c.d", "xn--fa-hia.de", "r3---sn_a.example", "1.de"])
def test_host_names_are_recognized(host: str) -> None:
    assert is_host_name(host)


@pytest.mark.parametrize(
    "host", ["", ".", "a..b", "-a.b", "a-", "127.1", "2130706433", "0x7f.1", "a.0x", "a b", "a%2e"]
)
def test_numbers_and_malformed_names_are_not_host_names(host: str) -> None:
    assert not is_host_name(host)


@pytest.mark.parametrize(
    ("entry", "host", "address"),
    [
        ("wiki.corp", "wiki.corp", "10.0.0.1"),
        (" WIKI.corp. ", "wiki.corp", "fd00::1"),
        ("*.corp", "a.b.corp", "127.0.0.1"),
        ("bücher.corp", "xn--bcher-kva.corp", "10.0.0.1"),
        ("10.0.0.1", "any.name", "10.0.0.1"),
        ("10.0.0.0/8", "any.name", "::ffff:10.9.9.9"),
        ("10.0.0.9/8", "any.name", "10.1.1.1"),
        ("FD00::/8", "any.name", "fd12::1"),
        ("[::1]", "::1", "::1"),
        ("169.254.169.254", "any.name", "169.254.169.254"),
    ],
)
def test_an_entry_allows_what_it_names(entry: str, host: str, address: str) -> None:
    assert AllowList.of([entry, "", " "]).refusal(host, ip_address(address)) is None


@pytest.mark.parametrize(
    ("entry", "host", "address"),
    [
        ("wiki.corp", "a.wiki.corp", "10.0.0.1"),
        ("*.corp", "corp", "10.0.0.1"),
        ("*.corp", "evilcorp", "10.0.0.1"),
        ("10.0.0.1", "any.name", "10.0.0.2"),
        ("wiki.corp", "wiki.corp", "169.254.169.254"),
        ("0.0.0.0/0", "any.name", "169.254.169.254"),
        ("::/0", "any.name", "fd00:ec2::254"),
        ("::/0", "any.name", "10.0.0.1"),
    ],
)
def test_an_entry_allows_nothing_else(entry: str, host: str, address: str) -> None:
    assert AllowList.of([entry]).refusal(host, ip_address(address))


@pytest.mark.parametrize(
    "entry",
    ["*", "*.", "a*b", "*.*", "http://wiki", "wiki:80", "10.0.0.0/33", "127.1", "a b", "a/b", "１"],
)
def test_malformed_entries_are_refused(entry: str) -> None:
    with pytest.raises(
        InvalidOptions, match=r"OUTBOUND_ALLOW contains .*, which is not a host name"
    ):
        AllowList.of([entry])
