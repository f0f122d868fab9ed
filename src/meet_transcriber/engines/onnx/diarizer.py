"""The Diarizer port on onnxruntime, without torch and without a token."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnxruntime

from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Diarization, Span, Voice, total_seconds
from meet_transcriber.engines.onnx.embeddings import Campplus, Embedder, WeSpeaker
from meet_transcriber.engines.onnx.methods import (
    Method,
    PyannoteMethod,
    Resegmentation,
    SpeakerTurns,
)
from meet_transcriber.engines.onnx.network import CUDA
from meet_transcriber.engines.onnx.pooling import embed_recording
from meet_transcriber.engines.onnx.pyannote_clustering import read_plda
from meet_transcriber.engines.onnx.speaker_segmentation import Segmentation, detect_activity
from meet_transcriber.ports.engines import AudioSource, Progress

_CPU_BATCH = 2  # larger batches are no faster: their layers exceed the processor's cache
_GPU_BATCH = 64  # 1.3 ms a window; 60 ms in batches of one (onnxruntime 1.27 on an H200)
_SEGMENTATION_SHARE = 0.5  # of the time
_MIN_VOICE_SECONDS = 1.0  # of speech, to identify a voice in another recording


class OnnxDiarizer:
    """
    The Diarizer port on segmentation-3.0 and an embedding network; also a VoiceEmbedder.

    It stores nothing. Memory grows by about 30 MB per hour of audio.

    Args:
        threads: CPU cores to use.
        method: how turns are found in the output of the networks.
        batch: windows per call of segmentation.
    """

    def __init__(
        self,
        segmentation: Segmentation,
        embedder: Embedder,
        threads: int,
        method: Method | None = None,
        batch: int = _CPU_BATCH,
    ) -> None:
        self._segmentation, self._embedder, self._threads = segmentation, embedder, threads
        self._method, self._batch = method or Resegmentation(), batch
        self.name = f"onnx segmentation-3.0 {embedder.name}"

    def diarize(
        self,
        audio: AudioSource,
        speech: Sequence[Span],  # noqa: ARG002 - segmentation finds speech itself
        options: Options,
        progress: Progress,
    ) -> Diarization:
        """Return all turns, exclusive turns, and the voice of each speaker; see the port."""
        activity = detect_activity(
            self._segmentation,
            audio,
            self._method.step,
            self._method.gain,
            self._batch,
            self._threads,
            lambda share: progress(share * _SEGMENTATION_SHARE),
        )
        embeddings = embed_recording(
            self._embedder,
            audio,
            activity,
            self._threads,
            lambda share: progress(_SEGMENTATION_SHARE + 0.99 * share * (1 - _SEGMENTATION_SHARE)),
        )
        found = self._method.find(activity, embeddings, options.speaker_range, audio.duration)
        progress(1.0)
        voices = _voices(found, self._embedder.name)
        return Diarization(found.turns, found.exclusive, voices=voices)

    def voice(self, audio: AudioSource, speech: Sequence[Span], progress: Progress) -> Voice | None:
        """Return the voice of a recording of one person; see the port."""
        found = self.diarize(audio, speech, Options(num_speakers=1), progress)
        return next(iter(found.voices.values()), None)


def _voices(found: SpeakerTurns, model: str) -> Mapping[str, Voice]:
    """Return the voices of speakers with enough speech."""
    seconds = {
        label: total_seconds(turn for turn in found.exclusive if turn.speaker == label)
        for label in found.vectors
    }
    return {
        label: Voice(model, tuple(map(float, vector)), round(seconds[label], 2))
        for label, vector in found.vectors.items()
        if seconds[label] >= _MIN_VOICE_SECONDS
    }


def load_diarizer(
    segmentation: Path,
    embedding: Path,
    embedder: str,
    device: str,
    threads: int,
    plda: Path | None = None,
) -> OnnxDiarizer:
    """
    Load a diarizer from folders with the official checkpoints.

    Args:
        embedder: the network in `embedding`, `campplus` or `wespeaker`.
        device: `cpu`, or anything else to use a GPU if onnxruntime can; the installed one seldom
            can, whatever Whisper's device is.
        threads: CPU cores to use.
        plda: folder of community-1's PLDA; for `wespeaker` only.

    Raises:
        EngineUnavailable: a checkpoint, the PLDA or the device cannot be used.
    """
    use_gpu = device != "cpu" and CUDA in onnxruntime.get_available_providers()
    device = "cuda" if use_gpu else "cpu"
    network = Segmentation(segmentation / "pytorch_model.bin", device)
    loaded: Embedder
    method: Method
    if embedder == "wespeaker":
        loaded = WeSpeaker(embedding / "pytorch_model.bin", device)
        method = PyannoteMethod(read_plda(plda) if plda else None)
    else:
        loaded = Campplus(embedding / "campplus_cn_en_common.pt", device)
        method = Resegmentation()
    batch = _GPU_BATCH if network.on_gpu else _CPU_BATCH
    return OnnxDiarizer(network, loaded, threads, method, batch)
