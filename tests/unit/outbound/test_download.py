"""Downloads: what arrives, and every way in which one ends early."""

import gzip
import itertools
import socket
import subprocess
import sys
import time
from threading import Thread

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meet_transcriber.core.errors import AddressRefused, FetchError, UploadTooLarge
from meet_transcriber.outbound.address_guard import Resolver, system_resolver
from meet_transcriber.outbound.download import MAX_REDIRECTS, Fetcher
from tests.unit.outbound.sites import Answer, Request, ScriptedResolver, Site, always, redirect

MIB = 1 << 20


def fetcher(
    max_bytes: int = 10 * MIB,
    timeout_seconds: float = 10,
    idle_seconds: float = 5,
    window_seconds: float = 60,
    resolver: Resolver = system_resolver,
) -> Fetcher:
    return Fetcher(
        ["127.0.0.1"],
        max_bytes=max_bytes,
        timeout_seconds=timeout_seconds,
        idle_seconds=idle_seconds,
        window_seconds=window_seconds,
        resolver=resolver,
    )


def read(url: str, with_: Fetcher | None = None) -> bytes:
    with (with_ or fetcher()).fetch(url) as fetched:
        return b"".join(fetched.chunks())


def test_a_recording_arrives_with_what_the_server_says(site: Site) -> None:
    body = bytes(range(256)) * 1000
    site.answers["/a/call.wav"] = lambda request: request.send(body, content_type="audio/wav")
    with fetcher().fetch(site.url("/a/call.wav?token=x")) as fetched:
        assert fetched.name == "call.wav"
        assert fetched.size == len(body)
        assert b"".join(fetched.chunks()) == body


def test_the_request_asks_for_the_bytes_as_they_are(site: Site) -> None:
    site.answers["/"] = lambda request: request.send(b"x")
    read(site.url("/?token=x"))
    (seen,) = site.seen
    assert (seen.method, seen.path) == ("GET", "/?token=x")
    assert seen.headers["accept-encoding"] == "identity"
    assert not {"authorization", "cookie", "referer"} & set(seen.headers)


def test_proxies_of_the_environment_are_ignored(site: Site, other_site: Site) -> None:
    code = (
        "import sys\n"
        "from meet_transcriber.outbound.download import Fetcher\n"
        "with Fetcher(['127.0.0.1'], max_bytes=9).fetch(sys.argv[1]) as fetched:\n"
        "    print(b''.join(fetched.chunks()))"
    )
    site.answers["/"] = lambda request: request.send(b"direct")
    environment = dict.fromkeys(["HTTP_PROXY", "http_proxy", "ALL_PROXY"], other_site.url())
    command = [sys.executable, "-c", code, site.url()]
    assert b"direct" in subprocess.check_output(command, env=environment)
    assert other_site.seen == []


def test_an_empty_body_and_a_page_are_left_to_the_probe(site: Site) -> None:
    site.answers["/empty"] = lambda request: request.send(b"")
    site.answers["/page"] = lambda request: request.send(b"<html>", content_type="text/html")
    assert read(site.url("/empty")) == b""
    assert read(site.url("/page")) == b"<html>"


def test_a_body_without_a_length_ends_with_the_connection(site: Site) -> None:
    def answer(request: Request) -> None:
        request.head()
        request.wfile.write(b"half" * 1000)

    site.answers["/"] = answer
    with fetcher().fetch(site.url()) as fetched:
        assert fetched.size is None
        assert b"".join(fetched.chunks()) == b"half" * 1000


@pytest.mark.parametrize("status", [204, 206, 304, 401, 403, 404, 410, 500, 503])
def test_other_statuses_are_errors_that_name_the_status(site: Site, status: int) -> None:
    site.answers["/"] = lambda request: request.head(status, content_length="0")
    with pytest.raises(FetchError, match=f"^127.0.0.1 answered with status {status} "):
        read(site.url())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(site: Site, other_site: Site, status: int) -> None:
    other_site.answers["/end/call.mp3"] = lambda request: request.send(b"sound")
    site.answers["/"] = redirect("/next", status)
    site.answers["/next"] = redirect(other_site.url("/end/call.mp3"), status)
    with fetcher().fetch(site.url()) as fetched:
        assert (fetched.name, b"".join(fetched.chunks())) == ("call.mp3", b"sound")


def test_the_number_of_redirects_is_limited(site: Site) -> None:
    site.answers["/"] = redirect("/")
    with pytest.raises(FetchError, match="redirects more than 5 times"):
        read(site.url())
    assert len(site.seen) == MAX_REDIRECTS + 1


def test_a_redirect_without_location_is_an_ordinary_status(site: Site) -> None:
    site.answers["/"] = lambda request: request.send(b"", status=302)
    with pytest.raises(FetchError, match="status 302"):
        read(site.url())


@pytest.mark.parametrize(
    "place",
    [
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "//10.0.0.1/",
        "http://inside.example/",
        "http://user@127.0.0.1/",
        "http://2130706433/",
        "gopher://127.0.0.1/",
    ],
)
def test_redirects_are_checked_like_the_first_address(site: Site, place: str) -> None:
    site.answers["/"] = redirect(place)
    with pytest.raises(AddressRefused):
        read(site.url(), fetcher(resolver=always("10.0.0.1")))
    assert len(site.seen) == 1


def test_a_redirect_cannot_rebind_its_own_name(site: Site) -> None:
    site.answers["/"] = redirect(site.url("/secret", host="b.example"))
    resolver = ScriptedResolver(a_example=[["127.0.0.1"]], b_example=[["10.0.0.1"]])
    with pytest.raises(AddressRefused, match=r"b\.example is refused"):
        read(site.url(host="a.example"), fetcher(resolver=resolver))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_categories=["Cc"])))
def test_any_location_is_followed_or_refused(site: Site, place: str) -> None:
    site.answers["/"] = redirect("http:" + place)
    with pytest.raises(FetchError):
        read(site.url(), fetcher(resolver=ScriptedResolver()))


def test_an_announced_size_over_the_limit_is_refused_at_once(site: Site) -> None:
    site.answers["/"] = lambda request: request.head(content_length=str(11 * MIB))
    with pytest.raises(UploadTooLarge, match="larger than the 10 MiB that MAX_UPLOAD_SIZE_MB"):
        read(site.url())


def test_a_recording_of_just_the_limit_passes(site: Site) -> None:
    site.answers["/"] = lambda request: request.send(b"x" * MIB)
    assert len(read(site.url(), fetcher(max_bytes=MIB))) == MIB


def endless(request: Request) -> None:
    request.head()
    while not request.site.closing.is_set():
        request.wfile.write(b"x" * 65_536)


def test_an_endless_body_stops_at_the_limit(site: Site) -> None:
    site.answers["/"] = endless
    received: list[int] = []
    with fetcher(max_bytes=3 * MIB).fetch(site.url()) as fetched:
        sizes = map(len, fetched.chunks())
        with pytest.raises(UploadTooLarge):
            received.extend(sizes)
    assert 2 * MIB < sum(received) <= 3 * MIB


def test_a_caller_may_leave_early(site: Site) -> None:
    site.answers["/"] = endless
    with fetcher().fetch(site.url()) as fetched:
        assert next(fetched.chunks())


def test_a_callers_own_error_passes_as_it_is(site: Site) -> None:
    site.answers["/"] = endless
    with pytest.raises(OSError, match="disk full"), fetcher().fetch(site.url()):
        raise OSError("disk full")


def silent(request: Request) -> None:
    request.site.closing.wait(10)


def pausing(request: Request) -> None:
    request.head(content_length="10")
    request.wfile.write(b"x")
    request.site.closing.wait(10)


@pytest.mark.parametrize("answer", [silent, pausing])
def test_a_stalled_download_ends(site: Site, answer: Answer) -> None:
    site.answers["/"] = answer
    with pytest.raises(FetchError, match=r"127\.0\.0\.1 sent nothing for 0\.2 s"):
        read(site.url(), fetcher(idle_seconds=0.2))


def dripping(request: Request) -> None:
    request.head()
    while not request.site.closing.wait(0.02):
        request.wfile.write(b"x")


@pytest.mark.parametrize("answer", [dripping, endless, silent])
def test_a_slow_server_cannot_exceed_the_whole_timeout(site: Site, answer: Answer) -> None:
    site.answers["/"] = answer
    begun = time.monotonic()
    with pytest.raises(FetchError, match=r"took longer than 0\.3 s"):
        read(site.url(), fetcher(max_bytes=1 << 50, timeout_seconds=0.3))
    assert time.monotonic() - begun < 5


def dripping_headers(request: Request) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\nx: ")
    while not request.site.closing.wait(0.02):
        request.wfile.write(b"x")


@pytest.mark.parametrize("answer", [dripping, dripping_headers])
def test_a_server_that_sends_too_slowly_is_given_up(site: Site, answer: Answer) -> None:
    site.answers["/"] = answer
    with pytest.raises(FetchError, match="sends less than 8 KiB a second"):
        read(site.url(), fetcher(timeout_seconds=600, window_seconds=0.2))


def test_a_body_that_ends_too_soon_is_an_error(site: Site) -> None:
    def answer(request: Request) -> None:
        request.head(content_length="100")
        request.wfile.write(b"short")

    site.answers["/"] = answer
    with pytest.raises(FetchError, match="closed the connection"):
        read(site.url())


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "deflate", "br", "zstd"])
def test_compressed_answers_are_refused(site: Site, coding: str) -> None:
    bomb = gzip.compress(bytes(20 * MIB))
    site.answers["/"] = lambda request: request.send(bomb, content_encoding=coding)
    with pytest.raises(FetchError, match="with a content encoding"):
        read(site.url())


@pytest.mark.parametrize("coding", ["identity", "", "utf-8", "x-unheard-of"])
def test_nothing_is_ever_decoded(site: Site, coding: str) -> None:
    bomb = gzip.compress(bytes(20 * MIB))
    site.answers["/"] = lambda request: request.send(bomb, content_encoding=coding)
    assert read(site.url(), fetcher(max_bytes=MIB)) == bomb


RAW_ANSWERS = [
    b"",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
]


@pytest.mark.parametrize("raw", RAW_ANSWERS, ids=itertools.count())
def test_a_malformed_response_is_a_fetch_error(raw: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(raw)

        thread = Thread(target=answer)
        thread.start()
        with pytest.raises(FetchError):
            read(f"http://127.0.0.1:{server.getsockname()[1]}/")
        thread.join()


def test_a_closed_port_is_a_fetch_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(FetchError, match="cannot be reached"):
        read(f"http://127.0.0.1:{port}/")


def test_errors_do_not_reveal_the_path_and_its_tokens(site: Site) -> None:
    with pytest.raises(FetchError) as caught:
        read(site.url("/path?token=secret"))
    assert "path" not in str(caught.value)
    assert "secret" not in str(caught.value)
