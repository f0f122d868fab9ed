"""Probes of hostile recordings, in real children: others' are not held up."""

import io
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from meet_transcriber.audio.sandbox.client import ChildPool, ConfinedDecoder, Places
from meet_transcriber.core.errors import DecoderStopped, RateLimited, UnreadableAudio
from meet_transcriber.service.probing import MOST_STOPPED, STOPPED_SECONDS, Probes
from tests.simulated.children import children_of
from tests.simulated.system import wait_for
from tests.unit.fakes import FakeClock, FakeDecoder

SLOW, QUICK = b"SLEEP", b"quick"
GIBIBYTE = 1 << 30


def dozing(places: Places) -> ConfinedDecoder:
    pool = ChildPool("tests.simulated.decoders:Dozing", places)
    return ConfinedDecoder(pool=pool, probe_pool=pool, cpu_seconds=60)


def test_a_tenant_has_half_of_the_decoders_places() -> None:
    decoder = dozing(Places(4, 4 * GIBIBYTE))
    probes = Probes(decoder.probe_places)

    def probe(tenant: str, recording: bytes) -> str:
        try:
            return probes.probe(tenant, decoder, io.BytesIO(recording)).codec
        except (UnreadableAudio, RateLimited) as error:
            return error.code

    with ThreadPoolExecutor(20) as senders:
        theirs = [senders.submit(probe, "theirs", SLOW) for _ in range(8)]
        try:
            wait_for(lambda: len(children_of(decoder.probe_pool.pid)) == 2)
            mine = [senders.submit(probe, "mine", QUICK) for _ in range(6)]
            assert {each.result(60) for each in mine} == {"woke up"}
            wait_for(lambda: len(children_of(decoder.probe_pool.pid)) == 2)
            assert not any(each.done() for each in theirs)
        finally:
            while not all(each.done() for each in theirs):
                for child in children_of(decoder.probe_pool.pid):
                    with suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)
    found = [each.result() for each in theirs]
    assert found.count("unreadable_audio") == len(theirs)


def test_places_fit_into_the_memory_of_the_container() -> None:
    assert Places(4, 4 * GIBIBYTE).count(384 << 20) == 4
    assert Places(16, 3 * GIBIBYTE // 2).count(384 << 20) == 4
    assert Places(16, 0).count(384 << 20) == Places(16, -1).count(384 << 20) == 1


def test_children_wait_for_memory() -> None:
    places = Places(4, GIBIBYTE)
    with ThreadPoolExecutor(1) as pool, places.hold(GIBIBYTE // 2), places.hold(GIBIBYTE // 2):
        waiting = pool.submit(places.hold(GIBIBYTE // 4).__enter__)
        with pytest.raises(TimeoutError):
            waiting.result(0.1)
    waiting.result(60)


class Stopped(FakeDecoder):
    """Is always stopped."""

    def probe(self, media: object) -> None:  # type: ignore[override]
        raise DecoderStopped("It took too long.")


def test_a_tenant_whose_probes_were_stopped_waits() -> None:
    clock = FakeClock()
    probes = Probes(4, clock)

    def probe(tenant: str, decoder: FakeDecoder) -> object:
        return probes.probe(tenant, decoder, io.BytesIO(b"tape"))

    for _ in range(MOST_STOPPED):
        with pytest.raises(DecoderStopped):
            probe("theirs", Stopped())
        clock.at += 1.0
    with pytest.raises(RateLimited) as refused:
        probe("theirs", FakeDecoder())
    assert refused.value.retry_after_seconds == STOPPED_SECONDS - MOST_STOPPED
    assert probe("mine", FakeDecoder())
    clock.at += STOPPED_SECONDS
    assert probe("theirs", FakeDecoder())
