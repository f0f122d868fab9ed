"""The voices of synthetic meetings: speech synthesizers, some of them scaled."""

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from benchmarks.meetings.phones import Phone, spread_words
from meet_transcriber.core.transcript import Span
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Waveform


@dataclass(frozen=True)
class Voice:
    """A voice of flite or festival; `scale` above 1 raises pitch and formants alike."""

    name: str
    base: str
    scale: float = 1.0
    accent: str = "US"


VOICES = {
    voice.name: voice
    for voice in (
        Voice("slt", "flite:slt"),
        Voice("rms", "flite:rms"),
        Voice("awb", "flite:awb", accent="Scottish"),
        Voice("kal", "flite:kal16"),
        Voice("ked", "festival:ked_diphone", 1.1),
        Voice("slt-low", "flite:slt", 0.93),
        Voice("rms-high", "flite:rms", 1.1),
        Voice("kal-high", "flite:kal16", 1.1),
        Voice("awb-low", "flite:awb", 0.92, accent="Scottish"),
        Voice("hts", "festival:cmu_us_slt_arctic_hts"),
    )
}

# Pairs of one synthesizer at two scales, which are as similar as siblings.
SIMILAR = (("slt", "slt-low"), ("rms", "rms-high"), ("kal", "kal-high"), ("awb", "awb-low"))


@dataclass(frozen=True, eq=False)
class Speech:
    """A text spoken by a voice.

    Attributes:
        samples: (samples,) float32 at 16 kHz, peak 0.5, no silence at either end.
        words: times of the words of `text.split()`, in seconds from the first sample.
    """

    samples: Waveform
    words: tuple[Span, ...]


@lru_cache(maxsize=64)
def synthesize(voice: Voice, text: str) -> Speech:
    """
    Speak `text`, with the synthesizer's own word times.

    Raises:
        FileNotFoundError: flite or festival is not installed.
    """
    engine, base = voice.base.split(":")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "voice.wav")
        say = _flite if engine == "flite" else _festival
        words = say(base, voice.scale, text, path)
        samples, rate = soundfile.read(path, dtype="float32")
    return _trimmed(_resampled(samples, rate, voice.scale), words, voice.scale)


def _flite(base: str, stretch: float, text: str, path: Path) -> list[Span]:
    """Write the audio of `text` and return the times of its words."""
    command = ["flite", "-voice", base, "--setf", f"duration_stretch={stretch}", "-psdur"]
    printed = _output([*command, "-t", text, "-o", str(path)])
    names, ends = zip(*(item.rsplit(":", 1) for item in printed.split()), strict=True)
    # Diphone voices are a little shorter than planned.
    ratio = soundfile.info(path).duration / float(ends[-1])
    edges = [0.0, *(float(end) * ratio for end in ends)]
    phones = [Phone(*phone) for phone in zip(names, edges, edges[1:], strict=False)]
    return spread_words([_pronounced(word) for word in text.split()], phones)


@lru_cache(maxsize=4096)
def _pronounced(word: str) -> tuple[str, ...]:
    """Return the phones of a word spoken alone."""
    printed = _output(["flite", "-voice", "kal16", "-ps", "-t", word, "-o", "none"])
    return tuple(name for name in printed.split() if name != "pau")


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


_FESTIVAL = """
(voice_{base})
(Parameter.set 'Duration_Stretch {stretch})
(set! said (utt.synth (Utterance Text "{text}")))
(utt.save.wave said "{path}" 'riff)
(mapcar
  (lambda (word)
    (format t "%s %f %f\\n"
      (item.feat word "R:Token.parent.id")
      (item.feat word "word_start")
      (item.feat word "word_end")))
  (utt.relation.items said 'Word))
"""


def _festival(base: str, stretch: float, text: str, path: Path) -> list[Span]:
    """Write the audio of `text` and return the times of its words."""
    lisp = _FESTIVAL.format(base=base, stretch=stretch, text=text, path=path)
    printed = subprocess.run(
        ["festival", "--pipe"], input=lisp, check=True, capture_output=True, text=True
    ).stdout
    words: dict[str, Span] = {}
    for token, start, end in (line.split() for line in printed.splitlines()):
        begun = words[token].start if token in words else float(start)
        words[token] = Span(begun, float(end))
    if len(words) != len(text.split()):
        raise ValueError(f"festival takes {text!r} for {len(words)} words.")
    return list(words.values())


def _resampled(samples: Waveform, rate: int, scale: float) -> Waveform:
    up, down = SAMPLE_RATE_HZ, round(rate * scale)
    common = gcd(up, down)
    if up != down:
        samples = resample_poly(samples, up // common, down // common)
    return np.asarray(samples * (0.5 / np.abs(samples).max()), dtype=np.float32)


def _trimmed(samples: Waveform, words: Sequence[Span], scale: float) -> Speech:
    """Remove the silence at both ends."""
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    first, last = max(int(loud[0]) - 160, 0), int(loud[-1]) + 480
    kept = samples[first:last]
    seconds = len(kept) / SAMPLE_RATE_HZ

    def moved(time: float) -> float:
        return min(max(time / scale - first / SAMPLE_RATE_HZ, 0.0), seconds)

    return Speech(kept, tuple(Span(moved(word.start), moved(word.end)) for word in words))
