"""Reading addresses, and what their names resolve to."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.core.errors import AddressRefused, FetchError
from meet_transcriber.outbound.address_guard import AddressGuard, system_resolver
from tests.unit.outbound.sites import ScriptedResolver, always

PUBLIC = "93.184.215.14"
MALFORMED = {
    "only http and https": [
        "file:///etc/passwd",
        "ftp://a/",
        "gopher://a/",
        "a.example/x",
        "//a/x",
        "",
        "http:a",
    ],
    "user name": ["http://a@b/", "http://a:b@c/", "http://@b/", "http://good.com\\@127.0.0.1/"],
    "host or port": [
        "http://",
        "http:///x",
        "http://a:+80/",
        "http://a:８０/",
        "http://a:80:90/",
        "http://[::1/",
        "http://[fe80::1%eth0]/",
        "http://[fe80::1%25eth0]/",
        "http://%31%32%37.0.0.1/",
        "http://a\\.b/",
        "http://a b/",
    ],
    "its port is not": ["http://a:0/", "http://a:65536/", "http://a:99999/"],
    "cannot be parsed": [
        "http://１２７.0.0.1/",
        "http://①.0.0.1/",
        "http://a\n.b/",
        "http://0127.0.0.1/",
    ],
    "neither a name nor": [
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://0177.1/",
        "http://127.1/",
        "http://127.0.1/",
        "http://1.2.3.4.5/",
        "http://a..b/",
        "http://.a/",
    ],
    "more than 8192": ["http://a/" + "x" * 8192],
}


@pytest.mark.parametrize(
    ("why", "url"), [(w, url) for w, urls in MALFORMED.items() for url in urls]
)
def test_malformed_addresses_are_refused_with_the_reason(why: str, url: str) -> None:
    with pytest.raises(AddressRefused, match=why):
        AddressGuard(["0.0.0.0/0"], always("127.0.0.1")).parse(url)


@pytest.mark.parametrize(
    ("url", "netloc", "path"),
    [
        (" https://Example.COM./a?b=c#d ", "example.com", "/a?b=c"),
        ("HTTP://faß.example:8080", "xn--fa-hia.example:8080", "/"),
        ("http://1.1.1.1.:80/", "1.1.1.1", "/"),
        ("http://[2606:4700::1111]:8443/x#y", "[2606:4700::1111]:8443", "/x"),
        ("http://a.example:/x", "a.example", "/x"),
    ],
)
def test_addresses_are_read_into_one_spelling(url: str, netloc: str, path: str) -> None:
    parsed = AddressGuard().parse(url)
    assert (parsed.netloc.decode(), parsed.raw_path.decode()) == (netloc, path)
    assert parsed.fragment == ""


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.0.0.1./",
        "http://127。0。0。1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        "http://100.100.100.200/",
        "http://metadata.google.internal/",
        "http://METADATA.google.internal./",
        "http://0.0.0.0/",
    ],
)
def test_forbidden_hosts_are_refused_without_network_access(url: str) -> None:
    resolver = ScriptedResolver()
    with pytest.raises(AddressRefused, match=r"only public ones.*OUTBOUND_ALLOW"):
        AddressGuard((), resolver).parse(url)
    assert resolver.asked == []


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "fe80::1%1"]
)
def test_one_forbidden_address_refuses_the_name(address: str) -> None:
    for answer in ([address], [PUBLIC, address], [address, PUBLIC]):
        with pytest.raises(AddressRefused, match=r"^mixed\.example is refused"):
            AddressGuard((), always(*answer)).resolve("mixed.example", 80)


def test_a_refusal_does_not_reveal_the_address() -> None:
    with pytest.raises(AddressRefused) as caught:
        AddressGuard((), always("10.11.12.13")).check("https://wiki.corp/?token=secret")
    assert "10.11" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_name_that_is_allowed_may_be_private() -> None:
    guard = AddressGuard(["wiki.corp"], always("10.0.0.1"))
    assert list(guard.resolve("wiki.corp", 80)) == ["10.0.0.1"]
    guard.check("http://WIKI.corp./page")


def test_public_names_resolve_to_all_their_addresses() -> None:
    guard = AddressGuard((), always(PUBLIC, "2606:4700::1111"))
    assert guard.resolve("two.example", 443) == [PUBLIC, "2606:4700::1111"]


def test_a_literal_is_not_looked_up() -> None:
    resolver = ScriptedResolver()
    assert AddressGuard((), resolver).resolve(PUBLIC, 80) == [PUBLIC]
    assert resolver.asked == []


@pytest.mark.parametrize("resolver", [ScriptedResolver(), always()])
def test_a_name_without_an_address_is_not_found(resolver: ScriptedResolver) -> None:
    with pytest.raises(FetchError, match=r"^nowhere\.example was not found") as caught:
        AddressGuard((), resolver).check("http://nowhere.example/")
    assert not isinstance(caught.value, AddressRefused)


def test_the_port_is_the_schemes_own_unless_given() -> None:
    asked: list[int] = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append(port)
        return [PUBLIC]

    for url in ("http://a.example", "https://a.example", "https://a.example:8443"):
        AddressGuard((), resolver).check(url)
    assert asked == [80, 443, 8443]


def test_the_system_resolves_localhost_to_loopback() -> None:
    found = system_resolver("localhost", 80)
    assert found
    assert set(found) <= {"127.0.0.1", "::1"}


def _spellings(address: IPv4Address) -> list[str]:
    number = int(address)
    a, b, c, d = address.packed
    return [
        str(number),
        hex(number),
        f"0{number:o}",
        f"{a}.{number & 0xFFFFFF}",
        f"{a}.{b}.{number & 0xFFFF}",
        f"{a:#x}.{b:#x}.{c:#x}.{d:#x}",
        f"0{a:o}.{b}.{c}.{d}",
        f"{a}.{b}.{c}.{d}.",
        f"[::ffff:{address}]",
        f"[::ffff:{a:02x}{b:02x}:{c:02x}{d:02x}]",
        f"[64:ff9b::{address}]",
        "。".join(map(str, address.packed)),
    ]


@given(st.ip_addresses(v=4), st.integers(0, 11))
def test_no_spelling_of_a_non_public_address_is_allowed(
    address: IPv4Address, spelling: int
) -> None:
    host = _spellings(address)[spelling]
    try:
        parsed = AddressGuard((), always(str(address))).parse(f"http://{host}/")
        AddressGuard((), always(str(address))).resolve(parsed.raw_host.decode(), 80)
    except AddressRefused:
        return
    assert address.is_global


@given(st.text(max_size=30))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    guard = AddressGuard(["wiki"], always("127.0.0.1"))
    for url in (text, f"http://{text}", f"http://a.example{text}", f"http://{text}/x"):
        try:
            guard.parse(url)
        except AddressRefused:
            continue
