from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.redis_urls import parse_redis_url


@pytest.mark.parametrize(
    ("url", "client", "broker"),
    [
        ("redis://redis:6379/0", "redis://redis:6379/0", "redis://redis:6379/0"),
        (" redis://redis ", "redis://redis:6379/0", "redis://redis:6379/0"),
        ("redis://h/?db=3", "redis://h:6379/3", "redis://h:6379/3"),
        ("redis://u:a%40b@h:1/2", "redis://u:a%40b@h:1/2", "redis://u:a%40b@h:1/2"),
        ("redis://u@h", "redis://u@h:6379/0", "redis://u@h:6379/0"),
        ("redis://[::1]:7/1", "redis://[::1]:7/1", "redis://[::1]:7/1"),
        ("unix:///run/r.sock", "unix:///run/r.sock?db=0", "redis+socket:///run/r.sock?virtual_host=0"),
        ("unix://:p@/r.sock?db=2", "unix://:p@/r.sock?db=2", "redis+socket://:p@/r.sock?virtual_host=2"),
        ("redis+socket:///r.sock?virtual_host=4", "unix:///r.sock?db=4", "redis+socket:///r.sock?virtual_host=4"),
    ],
)  # fmt: skip
def test_each_client_gets_its_form_of_the_url(url: str, client: str, broker: str) -> None:
    address = parse_redis_url(url)
    assert (address.client_url, address.broker_url) == (client, broker)
    assert address.broker_transport_options == {}


@pytest.mark.parametrize(
    ("query", "tls"),
    [
        ("", "ssl_cert_reqs=required"),
        ("?ssl_cert_reqs=none", "ssl_cert_reqs=none"),
        ("?ssl_cert_reqs=CERT_OPTIONAL", "ssl_cert_reqs=optional"),
        ("?ssl_ca_certs=/ca.pem", "ssl_cert_reqs=required&ssl_ca_certs=%2Fca.pem"),
        ("?ssl_check_hostname=false", "ssl_cert_reqs=required&ssl_check_hostname=false"),
    ],
)
def test_tls_verifies_certificates_by_default(query: str, tls: str) -> None:
    address = parse_redis_url(f"rediss://h:10000/0{query}")
    assert address.client_url == address.broker_url == f"rediss://h:10000/0?{tls}"


def test_all_sentinels_and_the_master_name_are_passed_on() -> None:
    address = parse_redis_url("sentinel://a;sentinel://b:26380/2", "p/w", "main")
    assert address.hosts == (("a", 26379), ("b", 26380))
    assert address.broker_url == "sentinel://:p%2Fw@a:26379/2;sentinel://:p%2Fw@b:26380/2"
    assert address.broker_transport_options == {"master_name": "main"}
    open_sentinels = parse_redis_url("sentinel://u:p@a:1/0", master_name="main")
    assert (open_sentinels.username, open_sentinels.password) == ("u", "p")


def test_redis_password_is_used_if_the_url_has_none() -> None:
    assert parse_redis_url("redis://h", "p@ss").client_url == "redis://:p%40ss@h:6379/0"
    assert parse_redis_url("redis://u@h", "p").client_url == "redis://u:p@h:6379/0"
    assert parse_redis_url("redis://:mine@h", "other").password == "mine"
    assert parse_redis_url("redis://h", "").client_url == "redis://h:6379/0"


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_password_survives_parsing(password: str) -> None:
    address = parse_redis_url("redis://user@h/1", password)
    assert parse_redis_url(address.client_url) == address


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:s3cret@h:1/2",
        "rediss://:s3cret@h",
        "unix://:s3cret@/run/redis.sock",
        "sentinel://:s3cret@a;sentinel://b/0",
    ],
)
def test_secrets_are_masked(url: str) -> None:
    address = parse_redis_url(url, master_name="m")
    assert "s3cret" not in address.masked + repr(address) + str(address)
    assert ":***@" in address.masked


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "is empty"),
        (" ; ", "is empty"),
        ("redis:6379", "names no host"),
        ("localhost", "must start with"),
        ("http://h", "must start with"),
        ("redis://", "names no host"),
        ("redis://:s3#cret@h:6379/0", "password"),
        ("redis://:a?s3cret=b@h:6379/0", "password"),
        ("unix://:a?s3cret=b@/run/redis.sock", "absolute path"),
        ("redis://:s3cret/x@h:6379/0", "port that is not a number"),
        ("redis://h:s3cret", "port that is not a number"),
        ("redis://h:99999", "port that is not a number"),
        ("redis://[::1", "is not a URL"),
        ("redis://h/zero", "database that is not a number"),
        ("redis://h/-1", "database that is not a number"),
        ("redis://a;redis://b", "several servers"),
        ("redis://a;sentinel://b", "must start with one of"),
        ("redis://h?ssl_cert_reqs=none", "the unknown option 'ssl_cert_reqs'"),
        ("rediss://h?ssl_cert_reqs=maybe", "unknown ssl_cert_reqs"),
        ("sentinel://h", "but not their Redis"),
        ("unix://run/redis.sock", "absolute path"),
        ("unix://", "absolute path"),
    ],
)
def test_a_malformed_url_is_refused(url: str, reason: str) -> None:
    with pytest.raises(InvalidOptions, match=rf"^REDIS_URL .*{reason}") as caught:
        parse_redis_url(url)
    assert "s3" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_the_address_is_a_value() -> None:
    fields: dict[str, Any] = {"master_name": "m"}
    assert parse_redis_url("sentinel://h", **fields) == parse_redis_url("sentinel://h/0", **fields)
