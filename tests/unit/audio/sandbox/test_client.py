"""A confined decoder does what the other does, wherever the bytes are."""

import io
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

import pytest

from meet_transcriber.audio.decoder import PyavDecoder
from meet_transcriber.audio.sandbox.client import (
    DECODER,
    LEAST_MEMORY_BYTES,
    Child,
    ChildPool,
    ConfinedDecoder,
    shared_pool,
)
from meet_transcriber.audio.sandbox.protocol import FAILED, RESULT, UNFILTERED, Channel
from meet_transcriber.core.errors import EngineError, UnreadableAudio
from meet_transcriber.core.options import Options
from meet_transcriber.ports.engines import AudioDecoder
from tests.simulated.children import children_of, none_left
from tests.simulated.recordings import CONTAINERS, whole
from tests.simulated.system import wait_for

SAMPLE = Path(__file__).parents[4] / "src/meet_transcriber/samples/standup.ogg"


def everything(decoder: AudioDecoder, media: BinaryIO, working: BinaryIO) -> tuple[object, ...]:
    shares: list[float] = []
    info = decoder.probe(media)
    prepared, peaks = decoder.prepare(media, working, Options(), shares.append)
    working.seek(0)
    return info, prepared, peaks, working.read(), shares[-1]


@pytest.mark.parametrize("container", CONTAINERS)
def test_the_result_is_the_same_to_the_byte(container: str, tmp_path: Path) -> None:
    path = tmp_path / "recording"
    path.write_bytes(whole(container))
    expected = everything(PyavDecoder(), io.BytesIO(whole(container)), io.BytesIO())
    with path.open("rb") as file, TemporaryFile() as working:
        assert everything(ConfinedDecoder(), file, working) == expected
    assert everything(ConfinedDecoder(), io.BytesIO(whole(container)), io.BytesIO()) == expected


def test_several_threads_have_children_at_once() -> None:
    decoder, done = ConfinedDecoder(), []

    def work() -> None:
        done.append(everything(decoder, io.BytesIO(whole("mp3")), io.BytesIO()))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == 8
    assert all(each == done[0] for each in done)
    assert none_left(shared_pool(DECODER).pid)


def test_the_template_has_none_of_our_secrets() -> None:
    code = (
        "import io; from meet_transcriber.audio.sandbox.client import ConfinedDecoder as D\n"
        "d = D(); d.probe(open('r', 'rb')); e = open(f'/proc/{d.probe_pool.pid}/environ').read()\n"
        "print('SECRET' in e, 'PATH' in e)"
    )
    assert in_a_process(code, API_KEYS="SECRET").stdout.split() == ["False", "True"]


def test_nothing_is_left_of_a_process_that_was_killed() -> None:
    code = (
        "import os; from meet_transcriber.audio.sandbox.client import ConfinedDecoder as D\n"
        "d = D(); d.probe(open('r', 'rb')); print(d.probe_pool.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)"
    )
    killed = in_a_process(code)
    assert killed.returncode == -signal.SIGKILL
    wait_for(lambda: not Path(f"/proc/{killed.stdout.strip()}/exe").exists())


def in_a_process(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code.replace("'r'", repr(str(SAMPLE)))],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_decoder_that_is_not_there_is_said() -> None:
    decoder = ConfinedDecoder(probe_pool=ChildPool("no_such_module:Decoder"))
    with pytest.raises(EngineError, match="cannot be started"):
        decoder.probe(io.BytesIO(whole("wav")))


def test_a_process_without_free_descriptors_gets_an_engine_error() -> None:
    code = (
        "import io, os, resource\n"
        "from meet_transcriber.audio.sandbox.client import ConfinedDecoder\n"
        "from meet_transcriber.core.errors import EngineError\n"
        "decoder, media, failed = ConfinedDecoder(), open('r', 'rb'), 0\n"
        "for free in range(len(os.listdir('/proc/self/fd')), 100):\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, (free, 1024))\n"
        "    try:\n"
        "        print(failed, decoder.probe(media).container)\n"
        "        break\n"
        "    except EngineError:\n"
        "        failed += 1\n"
    )
    done = in_a_process(code)
    failed, container = done.stdout.split()
    assert (int(failed) > 3, container) == (True, "ogg"), done.stderr


def test_a_fork_server_that_cannot_fork_is_not_left_behind() -> None:
    pool = ChildPool("tests.simulated.decoders:Forkless")
    servers = set()
    for _ in range(2):
        with pytest.raises(EngineError, match="cannot be started"), pool.child(LEAST_MEMORY_BYTES):
            pass
        servers.add(pool.pid)
    assert len(servers) == 1
    assert [child for child in children_of(os.getpid()) if child in servers] == list(servers)
    del pool
    assert not any(child in servers for child in children_of(os.getpid()))


def test_a_fork_server_that_died_is_reaped_and_replaced() -> None:
    pool = ChildPool("no_such_module:Decoder")
    died = set()
    for _ in range(2):
        with pytest.raises(EngineError), pool.child(LEAST_MEMORY_BYTES):
            pass
        died.add(pool.pid)
    assert died == {None}


class Played(ChildPool):
    """Children that say what a test wants them to."""

    def __init__(self, *said: tuple[bytes, bytes]) -> None:
        super().__init__("")
        self._said = said

    @contextmanager
    def child(self, memory_bytes: int) -> Iterator[Child]:
        ours, theirs = socket.socketpair()
        lifetime, held = socket.socketpair()
        with ours, lifetime:
            with theirs, held:
                for kind, data in self._said:
                    Channel(theirs).send(kind, data)
            yield Child(Channel(ours), lifetime)


def test_a_kernel_that_filters_nothing_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    decoder = ConfinedDecoder(
        probe_pool=Played((UNFILTERED, b""), (UNFILTERED, b""), (FAILED, b"{}"))
    )
    with caplog.at_level(logging.WARNING), pytest.raises(UnreadableAudio):
        decoder.probe(io.BytesIO(b"x"))
    assert caplog.text.count("decoder_unfiltered") == 1


def test_an_answer_that_is_there_before_we_look_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    path.write_bytes(b"x")
    info = b'{"container":"wav","codec":"pcm","duration":1,"sample_rate_hz":8000,"channels":1}'
    with path.open("rb") as file:
        decoder = ConfinedDecoder(probe_pool=Played((RESULT, info)))
        assert decoder.probe(file).codec == "pcm"


@pytest.mark.parametrize("said", [(b"?", b""), (b"R", b"short"), (b"A", b"{}")])
def test_a_child_that_talks_nonsense_is_not_heard(said: tuple[bytes, bytes]) -> None:
    with pytest.raises((UnreadableAudio, EngineError)):
        ConfinedDecoder(probe_pool=Played(said)).probe(io.BytesIO(b"x"))
