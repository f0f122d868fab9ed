"""
A recognizer, a diarizer and a speech detector whose cost the environment sets.

SIMULATED_PART_SECONDS: what a part takes; SIMULATED_DIARIZE_SECONDS: what diarizing takes;
SIMULATED_DEAF=1: neither listens to progress while it works, as one long call into C would.
SIMULATED_VOICES=tones: speakers are told by the pitch of a tone (`TonalDiarizer`).
SIMULATED_DEFECT=1: they cannot be made, for a reason that was not foreseen.
SIMULATED_LOG: a file that gets one line when a task begins and one when it is done.

A job whose `initial_prompt` is `hungry` makes the recognizer ask for a gigabyte of memory; one
with `crash` has its process killed, as a system out of memory does.
"""

import os
import signal
import time
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from meet_transcriber.bootstrap.engines import OnFetch
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Diarization, Segment, Span, Turn, Voice, Word
from meet_transcriber.pipeline import Chosen
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, AudioSource, Finding, Progress, Waveform
from meet_transcriber.service.task_runner import Engines
from meet_transcriber.settings import Settings

_STEP_SECONDS = 0.02


def make_engines(settings: Settings, fetching: OnFetch) -> Engines:
    """Engines as a worker wants them."""
    if os.environ.get("SIMULATED_DEFECT") == "1":
        raise ZeroDivisionError
    recognizer, diarizer, detector = SimulatedRecognizer(), SimulatedDiarizer(), EverySecond()
    return Engines(lambda: Chosen(recognizer), lambda: Chosen(diarizer), lambda: detector)


def note(text: str) -> None:
    """A line with the process id in SIMULATED_LOG, written at once."""
    if path := os.environ.get("SIMULATED_LOG"):
        line = f"{os.getpid()} {text}\n".encode()
        log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(log, line)
        os.close(log)


def _cost(name: str) -> float:
    return float(os.environ.get(name, "0"))


class EverySecond:
    """Hears speech in each second, with a pause around it."""

    def detect(self, audio: AudioSource, channel: int, progress: Progress) -> tuple[Span, ...]:
        progress(1.0)
        return tuple(Span(at + 0.1, at + 0.9) for at in range(int(audio.duration)))


class SimulatedRecognizer:
    """Takes its time, and hears a word now and then."""

    name = "simulated"

    def check(self, options: Options) -> None:
        """It can do anything."""

    def recognize(
        self, audio: Waveform, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Iterator[Finding]:
        seconds = len(audio) / SAMPLE_RATE_HZ
        note("recognize begins")
        if options.initial_prompt == "hungry":
            bytearray(1 << 30)
        elif options.initial_prompt == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        for share in _passing("SIMULATED_PART_SECONDS"):
            progress(share)
            start = share * (seconds - 0.02)
            yield Segment((Word(f"word{int(share * 100)}", start, start + 0.01),))
        note("recognize ends")


class SimulatedDiarizer:
    """Hears one speaker from beginning to end, unless tones are wanted."""

    name = "simulated"

    def diarize(
        self, audio: AudioSource, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Diarization:
        if os.environ.get("SIMULATED_VOICES") == "tones":
            return TonalDiarizer().diarize(audio, speech, options, progress)
        note("diarize begins")
        for share in _passing("SIMULATED_DIARIZE_SECONDS"):
            progress(share)
        note("diarize ends")
        return Diarization((Turn(0.0, audio.duration, "SPEAKER_00"),))


class TonalDiarizer:
    """
    Takes each second for a person's, told by its pitch; the voice is made of the pitch alone.

    Voices of one multiple of 50 Hz are alike but for a little of each recording's own; with every
    Hz away from it they are less so: 20 Hz are a cosine of 0.65.
    """

    name = "tones"

    def diarize(
        self, audio: AudioSource, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Diarization:
        labels: dict[int, str] = {}
        turns = []
        for span in speech:
            pitch = _pitch(audio.read(span.start, span.end))
            label = labels.setdefault(pitch, f"SPEAKER_{len(labels):02d}")
            turns.append(Turn(span.start, span.end, label))
        voices = {
            label: voice_of_pitch(pitch, sum(t.duration for t in turns if t.speaker == label))
            for pitch, label in labels.items()
        }
        progress(1.0)
        return Diarization(tuple(turns), voices=voices)

    def voice(self, audio: AudioSource, speech: Sequence[Span], progress: Progress) -> Voice | None:
        progress(1.0)
        if not speech:
            return None
        seconds = sum(span.end - span.start for span in speech)
        return voice_of_pitch(_pitch(audio.read(speech[0].start, speech[0].end)), seconds)


def voice_of_pitch(pitch: int, seconds: float) -> Voice:
    """A voice of 192 values, as deterministic as its pitch and length."""
    base = 50 * round(pitch / 50)
    own, other, noise = (_direction(seed) for seed in (base, base + 1, round(seconds * 10) + 10**6))
    angle = abs(pitch - base) / 24
    vector = np.cos(angle) * own + np.sin(angle) * other + 0.2 * noise
    vector /= np.linalg.norm(vector)
    return Voice("tones-1", tuple(vector.tolist()), seconds)


def _direction(seed: int) -> npt.NDArray[np.float64]:
    values = np.random.default_rng(seed).standard_normal(192)
    return values / np.linalg.norm(values)


def _pitch(waveform: Waveform) -> int:
    """Of the loudest tone, to 10 Hz."""
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    loudest = int(spectrum.argmax()) * SAMPLE_RATE_HZ / len(waveform)
    return 10 * round(loudest / 10)


def _passing(cost: str) -> Iterator[float]:
    """The share of the cost that has passed, now and then; once only where nobody listens."""
    started, seconds = time.monotonic(), _cost(cost)
    step = seconds if os.environ.get("SIMULATED_DEAF") == "1" else _STEP_SECONDS
    yield 0.0
    while (passed := time.monotonic() - started) < seconds:
        time.sleep(min(step, seconds - passed))
        yield min((time.monotonic() - started) / seconds, 1.0)
