"""Voice activity detection with the Silero model."""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from math import ceil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NoSuchFile,
)

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.core.transcript import Span, merge_spans
from meet_transcriber.ports.engines import (
    SAMPLE_RATE_HZ,
    AudioSource,
    Progress,
    Waveform,
    map_concurrently,
    usable_cores,
)

_WINDOW = 512  # samples per classification: 32 ms
_CONTEXT = 64  # samples of the previous window that the model expects first
_STEP = _WINDOW / SAMPLE_RATE_HZ
_BLOCK_WINDOWS = 1024  # per call of the model: 33 seconds
_PIECE_SECONDS = 3750 * _STEP  # two minutes
_LEAD_SECONDS = 250 * _STEP  # eight seconds, after which the state is independent of the start
_INPUTS = {"input": (_WINDOW + _CONTEXT,), "h": (1, 128), "c": (1, 128)}
_LOAD_ERRORS = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NoSuchFile)


@dataclass(frozen=True)
class SileroDetector:
    """
    A SpeechDetector with the Silero model from the package faster-whisper.

    Thresholds form a hysteresis: speech starts at `onset` and lasts until `offset`. They are below
    Silero's default of 0.5, which misses far-field speech; in return a span must be louder than
    the noise by `min_rise_db`.

    Attributes:
        onset, offset: probabilities in [0, 1].
        min_speech, min_silence, padding: seconds.
        min_rise_db: minimum level of a span's loud windows above the quiet ones of the recording.
    """

    onset: float = 0.4
    offset: float = 0.1
    min_speech: float = 0.2
    min_silence: float = 0.2
    padding: float = 0.1
    min_rise_db: float = 3.0

    def detect(self, audio: AudioSource, channel: int, progress: Progress) -> tuple[Span, ...]:
        """Return the spans of speech, in order; see the port."""
        probabilities, levels = _classify(audio, channel, progress)
        if not len(probabilities):
            return ()
        floor = float(np.percentile(levels, 10))
        return merge_spans(
            Span(
                max(start * _STEP - self.padding, 0.0),
                min(end * _STEP + self.padding, audio.duration),
            )
            for start, end in self._hysteresis(probabilities)
            if float(np.percentile(levels[start:end], 90)) - floor >= self.min_rise_db
        )

    def _hysteresis(self, probabilities: npt.NDArray[np.float32]) -> Iterator[tuple[int, int]]:
        """Yield first and last-plus-one window of each span of speech."""
        start = quiet = None
        lull = self.min_silence / _STEP
        for index, probability in enumerate(probabilities):
            if start is None:
                start = index if probability >= self.onset else None
            elif probability >= self.offset:
                quiet = None
            else:
                quiet = index if quiet is None else quiet
                if index - quiet >= lull:
                    yield from self._long_enough(start, quiet)
                    start = quiet = None
        if start is not None:
            yield from self._long_enough(start, len(probabilities) if quiet is None else quiet)

    def _long_enough(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        if (end - start) * _STEP >= self.min_speech:
            yield start, end


def _classify(
    audio: AudioSource, channel: int, progress: Progress
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """
    Return the speech probability and the level in dB of every window.

    The model is recurrent, so a recording is split into pieces that run in parallel, each after
    some seconds of the audio before it. The pieces, and so the result, are the same on every
    machine.
    """
    session, duration = _session(), audio.duration
    starts = [at * _PIECE_SECONDS for at in range(ceil(duration / _PIECE_SECONDS))]
    leads = [min(_LEAD_SECONDS, start) for start in starts]
    pieces = (
        (audio.read(start - lead, start + _PIECE_SECONDS, channel), round(lead / _STEP))
        for start, lead in zip(starts, leads, strict=True)
    )
    found = [(np.zeros(0, np.float32), np.zeros(0, np.float32))]
    for each in map_concurrently(partial(_run_model, session), pieces, usable_cores()):
        progress(min(len(found) * _PIECE_SECONDS / duration, 1.0))
        found.append(each)
    probabilities, levels = zip(*found, strict=True)
    return np.concatenate(probabilities), np.concatenate(levels)


def _run_model(
    session: onnxruntime.InferenceSession, piece: tuple[Waveform, int]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return probabilities and levels of samples, without those of some windows that lead in."""
    samples, lead = piece
    windows = np.pad(samples, (0, -len(samples) % _WINDOW)).reshape(-1, _WINDOW)
    # the model expects the end of the window before each, for the first one silence
    contexts = np.concatenate([np.zeros((1, _CONTEXT), np.float32), windows[:, -_CONTEXT:]])
    inputs = np.concatenate([contexts[:-1], windows], axis=1)
    h = c = np.zeros((1, 1, 128), np.float32)  # the recurrent state
    found = [np.zeros(0, np.float32)]
    for at in range(0, len(inputs), _BLOCK_WINDOWS):
        block = {"input": inputs[at : at + _BLOCK_WINDOWS], "h": h, "c": c}
        output, h, c = session.run(None, block)
        found.append(np.asarray(output, np.float32).reshape(-1))
    power = np.mean(np.square(windows), axis=1)
    levels: npt.NDArray[np.float32] = 10 * np.log10(np.maximum(power, 1e-10))
    return np.concatenate(found)[lead:], levels[lead:]


@cache
def _session() -> onnxruntime.InferenceSession:
    """Load the model once per process."""
    # Located without importing the package, which would load CTranslate2.
    spec = importlib.util.find_spec("faster_whisper")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if found := sorted(Path(folder).glob("assets/silero_vad*.onnx")):
            return load_model(found[-1])
    raise EngineUnavailable(
        "The speech detector's model comes with the package faster-whisper, which is missing; "
        "run: pip install faster-whisper"
    )


def load_model(path: Path) -> onnxruntime.InferenceSession:
    """
    Load a Silero model and check its inputs and outputs.

    Raises:
        EngineUnavailable: it cannot be loaded, or is of an unsupported version.
    """
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            str(path), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except _LOAD_ERRORS as error:
        raise EngineUnavailable(
            f"The speech detector's model {path.name} cannot be loaded; it is damaged. "
            "Run: pip install --force-reinstall faster-whisper"
        ) from error
    found = {item.name: tuple(item.shape[1:]) for item in session.get_inputs()}
    if found != _INPUTS or len(session.get_outputs()) != len(_INPUTS):
        raise EngineUnavailable(
            f"{path.name} of the installed faster-whisper takes {found} where "
            f"{_INPUTS} was expected; install a faster-whisper 1.2."
        )
    return session
