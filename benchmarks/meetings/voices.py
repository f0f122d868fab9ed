"""The people of synthetic meetings: speech synthesizers, some of them scaled."""

import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from meet_transcriber.ports import SAMPLE_RATE_HZ, Waveform


@dataclass(frozen=True)
class Voice:
    """A voice of flite or festival; `scale` above 1 lowers pitch and formants alike."""

    name: str
    base: str
    scale: float = 1.0


VOICES = {
    voice.name: voice
    for voice in (
        Voice("slt", "flite:slt"),
        Voice("rms", "flite:rms"),
        Voice("awb", "flite:awb"),
        Voice("kal", "flite:kal16"),
        Voice("ked", "festival:ked_diphone", 1.1),
        Voice("slt-low", "flite:slt", 0.93),
        Voice("rms-low", "flite:rms", 1.1),
        Voice("kal-low", "flite:kal16", 1.1),
        Voice("hts", "festival:cmu_us_slt_arctic_hts"),
    )
}

# Pairs that are one synthesizer at two scales: hard to tell apart, as siblings are.
SIMILAR = (("slt", "slt-low"), ("rms", "rms-low"), ("kal", "kal-low"))


@cache
def synthesize(voice: Voice, text: str) -> Waveform:
    """
    Say `text`: (samples,) float32 at 16 kHz, peak 0.5, silence trimmed from both ends.

    Raises:
        FileNotFoundError: flite or festival is not installed.
    """
    engine, base = voice.base.split(":")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "voice.wav")
        if engine == "flite":
            stretch = f"duration_stretch={voice.scale}"
            command = ["flite", "-voice", base, "--setf", stretch, "-t", text, "-o", str(path)]
            subprocess.run(command, check=True, capture_output=True)
        else:
            lisp = (
                f"(voice_{base}) (Parameter.set 'Duration_Stretch {voice.scale})"
                f'(utt.save.wave (utt.synth (Utterance Text "{text}")) "{path}" \'riff)'
            )
            subprocess.run(
                ["festival", "--pipe"], input=lisp.encode(), check=True, capture_output=True
            )
        samples, rate = soundfile.read(path, dtype="float32")
    return trimmed(_resampled(samples, rate, voice.scale))


def _resampled(samples: Waveform, rate: int, scale: float) -> Waveform:
    up, down = SAMPLE_RATE_HZ, round(rate * scale)
    common = gcd(up, down)
    if up != down:
        samples = resample_poly(samples, up // common, down // common)
    return np.asarray(samples * (0.5 / np.abs(samples).max()), dtype=np.float32)


def trimmed(samples: Waveform) -> Waveform:
    """Without the silence at both ends."""
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    return samples[max(loud[0] - 160, 0) : loud[-1] + 480]
