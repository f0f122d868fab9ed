"""S3 over HTTP, mocked by moto, fulfils the contract of a MediaStore."""

import io
import socket
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator

import pytest

from meet_transcriber.core.errors import StorageError, StorageUnavailable
from meet_transcriber.ports.stores import MediaStore
from meet_transcriber.stores.object_storage import ObjectMediaStore
from tests.contract.media_store import MediaStoreContract, noise, written
from tests.contract.media_store_elsewhere import DIES, ElsewhereContract, started
from tests.system.media_servers import answering, aws_environment, moto_server


@pytest.fixture(scope="module", autouse=True)
def credentials() -> Iterator[None]:
    with aws_environment():
        yield


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory, credentials: None) -> Iterator[str]:
    with moto_server(tmp_path_factory.mktemp("moto")) as address:
        ask(f"{address}/recordings", "PUT")
        yield address


@pytest.fixture
def url() -> str:
    """A prefix of its own for each test."""
    return f"s3://recordings/{uuid.uuid4().hex}/of-test"


@pytest.fixture
def store(url: str, endpoint: str) -> ObjectMediaStore:
    return ObjectMediaStore.from_url(url, endpoint)


def ask(address: str, method: str = "GET") -> str:
    """The body that a server answers with."""
    with urllib.request.urlopen(urllib.request.Request(address, method=method)) as answer:
        body: str = answer.read().decode()
    return body


class TestS3(MediaStoreContract, ElsewhereContract):
    """moto's server, in a process of its own."""

    @pytest.fixture
    def store(self, url: str, endpoint: str) -> MediaStore:
        return ObjectMediaStore.from_url(url, endpoint)

    @pytest.fixture
    def making(self, url: str, endpoint: str) -> str:
        return (
            "from meet_transcriber.stores.object_storage import ObjectMediaStore\n"
            f"store = ObjectMediaStore.from_url({url!r}, {endpoint!r})\n"
        )


def unfinished(endpoint: str, url: str) -> bool:
    """Whether the bucket keeps parts of an upload below a URL."""
    prefix = url.removeprefix("s3://recordings/")
    return f"<Key>{prefix}" in ask(f"{endpoint}/recordings?uploads")


def test_an_upload_that_fails_is_aborted(store: ObjectMediaStore, endpoint: str, url: str) -> None:
    for error in (ConnectionResetError(), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            written(store, "key", noise(16 << 20), error)
    assert not unfinished(endpoint, url)
    assert not store.exists("key")


def test_objects_are_stored_below_the_prefix(
    store: ObjectMediaStore, endpoint: str, url: str
) -> None:
    store.put("jobs/1/plan", b"{}")
    prefix = url.removeprefix("s3://recordings/")
    whole_bucket = ObjectMediaStore.from_url("s3://recordings", endpoint)
    assert whole_bucket.keys(prefix) == [f"{prefix}/jobs/1/plan"]


def test_the_endpoint_may_come_from_the_environment(endpoint: str, url: str) -> None:
    code = (
        f"import os; os.environ['AWS_ENDPOINT_URL'] = {endpoint!r}\n"
        "from meet_transcriber.stores.object_storage import ObjectMediaStore\n"
        f"ObjectMediaStore.from_url({url!r}).put('key', b'x')"
    )
    with started(code) as child:
        assert child.wait() == 0
    assert ObjectMediaStore.from_url(url, endpoint).get("key") == b"x"


def all_asks(store: ObjectMediaStore) -> dict[str, Callable[[], object]]:
    return {
        "put": lambda: store.put("key", b"x"),
        "stream": lambda: store.put("key", io.BytesIO(bytes(11 << 20))),
        "get": lambda: store.get("key"),
        "keys": lambda: store.keys("key"),
        "delete": lambda: store.delete("key"),
        "ping": store.ping,
    }


@pytest.mark.parametrize("name", ["put", "stream", "get", "keys", "delete", "ping"])
def test_an_unreachable_store_raises_an_error_soon(name: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        store, begun = ObjectMediaStore.from_url("s3://recordings", endpoint), time.monotonic()
        with pytest.raises(StorageUnavailable, match="MEDIA_URL does not answer"):
            all_asks(store)[name]()
    assert time.monotonic() - begun < 12


def test_a_store_that_does_not_answer_times_out() -> None:
    with answering(seconds=3) as (endpoint, _):
        store = ObjectMediaStore.from_url("s3://recordings", endpoint, patience_seconds=0.1)
        begun = time.monotonic()
        with pytest.raises(StorageUnavailable, match="MEDIA_URL does not answer"):
            store.size("key")
    assert time.monotonic() - begun < 15


@pytest.mark.parametrize("status", [500, 503])
def test_a_transient_error_is_retried(status: int) -> None:
    with answering(status) as (endpoint, heard):
        assert ObjectMediaStore.from_url("s3://recordings", endpoint).size("key") == 5
    assert heard == ["HEAD /recordings/key"] * 2


@pytest.mark.parametrize("status", [401, 403])
def test_denied_access_raises_an_error(status: int) -> None:
    with answering(*[status] * 3) as (endpoint, heard):
        store = ObjectMediaStore.from_url("s3://recordings", endpoint)
        for ask_it in (store.ping, lambda: store.get("key"), lambda: store.put("key", b"x")):
            with pytest.raises(StorageError, match=r"denies access.* what MEDIA_URL names"):
                ask_it()
    assert len(heard) == 3


@pytest.mark.parametrize("name", ["put", "stream", "keys", "delete", "ping"])
def test_a_missing_bucket_raises_an_error(endpoint: str, name: str) -> None:
    store = ObjectMediaStore.from_url("s3://no-such-bucket/prefix", endpoint)
    with pytest.raises(StorageError, match=r"no such bucket.* correct MEDIA_URL"):
        all_asks(store)[name]()


def test_a_killed_upload_leaves_no_object(store: ObjectMediaStore, endpoint: str, url: str) -> None:
    making = (
        "from meet_transcriber.stores.object_storage import ObjectMediaStore\n"
        f"store = ObjectMediaStore.from_url({url!r}, {endpoint!r})\n"
    )
    with started(making + DIES) as child:
        assert child.stdout is not None
        child.stdout.readline()
    assert store.keys("jobs") == []
    assert unfinished(endpoint, url)  # what lifecycle rules are for
