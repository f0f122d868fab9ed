"""The draft recognizer in its process of its own, with the model that its package carries."""

import os
import signal
import threading
import time
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from meet_transcriber.core.errors import RecognitionFailed
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Segment, Span
from meet_transcriber.engines.pocketsphinx import PocketsphinxRecognizer
from meet_transcriber.ports.engines import Waveform

DATA = Path(__file__).parents[1] / "data"
RATE_HZ = 16_000


@pytest.fixture(scope="module")
def audio() -> Waveform:
    resampler = av.AudioResampler("s16", "mono", RATE_HZ)
    with av.open(str(DATA / "budget.ogg")) as container:
        frames = container.decode(audio=0)
        pieces = [piece.to_ndarray() for frame in frames for piece in resampler.resample(frame)]
    sound: Waveform = (np.concatenate(pieces, axis=1)[0] / 32768).astype(np.float32)
    return sound


def said(recognizer: PocketsphinxRecognizer, audio: Waveform, end: float = 5.0) -> str:
    found = recognizer.recognize(audio, [Span(0.0, end)], Options())
    return " ".join(segment.text for segment in found if isinstance(segment, Segment))


def children() -> set[int]:
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {int(pid) for task in tasks for pid in task.read_text().split()}


def test_words_come_with_their_times(audio: Waveform) -> None:
    found = list(PocketsphinxRecognizer().recognize(audio, [Span(0.0, 5.0)], Options()))
    words = [word for each in found if isinstance(each, Segment) for word in each.words]
    assert "budget" in [word.text for word in words]
    assert [word.start for word in words] == sorted(word.start for word in words)
    assert all(0 <= (word.probability or 0) <= 1 for word in words)


def test_other_threads_go_on_while_it_listens(audio: Waveform) -> None:
    ticks, over = [time.monotonic()], threading.Event()

    def tick() -> None:
        while not over.wait(0.05):
            ticks.append(time.monotonic())

    thread = threading.Thread(target=tick)
    thread.start()
    said(PocketsphinxRecognizer(), audio, end=15.0)
    over.set()
    thread.join()
    assert max(after - before for before, after in pairwise(ticks)) < 1.0


def test_its_end_is_an_error_and_the_next_utterance_finds_another(audio: Waveform) -> None:
    recognizer, before = PocketsphinxRecognizer(), children()
    first = said(recognizer, audio)
    (child,) = children() - before
    os.kill(child, signal.SIGKILL)
    with pytest.raises(RecognitionFailed, match="-9"):
        said(recognizer, audio)
    assert said(recognizer, audio) == first


def test_its_process_goes_when_it_does(audio: Waveform) -> None:
    recognizer, before = PocketsphinxRecognizer(), children()
    said(recognizer, audio, end=1.0)
    assert len(children() - before) == 1
    del recognizer
    assert children() - before == set()
