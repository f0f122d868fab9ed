"""The Diarizer port on onnxruntime: no torch, no token."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnxruntime

from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Diarization, Span, Voice, total_seconds
from meet_transcriber.engines.onnx.embeddings import Campplus, Embedder, WeSpeaker
from meet_transcriber.engines.onnx.methods import Method, Outcome, Resegmented, Stepwise
from meet_transcriber.engines.onnx.network import CUDA
from meet_transcriber.engines.onnx.pooling import listen_to_voices
from meet_transcriber.engines.onnx.pyannote_clustering import read_plda
from meet_transcriber.engines.onnx.speaker_segmentation import Segmentation, listen_for_activity
from meet_transcriber.ports.engines import AudioSource, Progress

CPU_BATCH = 2
"""More windows are no faster: their layers leave the processor's cache."""
GPU_BATCH = 64
"""A window takes 1.3 ms among 64 and 60 ms alone (onnxruntime 1.27 on an H200)."""

_SEGMENTATION_SHARE = 0.5  # of the work
_LEAST_VOICE_SECONDS = 1.0  # of speech that a voice can be known again by


class OnnxDiarizer:
    """
    A Diarizer on segmentation-3.0 and an embedding network; also a VoiceEmbedder.

    It keeps nothing of a recording. Memory grows by about 30 MB an hour.

    Args:
        threads: CPU cores to use.
        method: how speakers are found in what the networks say; None takes our own.
        batch: windows that segmentation gets at a time.
    """

    def __init__(
        self,
        segmentation: Segmentation,
        embedder: Embedder,
        threads: int,
        method: Method | None = None,
        batch: int = CPU_BATCH,
    ) -> None:
        self._segmentation, self._embedder, self._threads = segmentation, embedder, threads
        self._method, self._batch = method or Resegmented(), batch
        self.name = f"onnx segmentation-3.0 {embedder.name}"

    def diarize(
        self,
        audio: AudioSource,
        speech: Sequence[Span],  # noqa: ARG002 - segmentation finds speech itself
        options: Options,
        progress: Progress,
    ) -> Diarization:
        """All turns, exclusive ones, and what each speaker sounds like; see the port."""
        activity = listen_for_activity(
            self._segmentation,
            audio,
            self._method.step,
            self._method.gain,
            self._batch,
            self._threads,
            lambda share: progress(share * _SEGMENTATION_SHARE),
        )
        voices = listen_to_voices(
            self._embedder,
            audio,
            activity,
            self._threads,
            lambda share: progress(_SEGMENTATION_SHARE + 0.99 * share * (1 - _SEGMENTATION_SHARE)),
        )
        found = self._method.find(activity, voices, options.speaker_range, audio.duration)
        progress(1.0)
        known = _known(found, self._embedder.name)
        return Diarization(found.turns, found.exclusive, voices=known)

    def voice(self, audio: AudioSource, speech: Sequence[Span], progress: Progress) -> Voice | None:
        """The voice of a recording of one person; see the port."""
        found = self.diarize(audio, speech, Options(num_speakers=1), progress)
        return next(iter(found.voices.values()), None)


def _known(found: Outcome, model: str) -> Mapping[str, Voice]:
    """What each speaker sounds like, where enough is said to know them again."""
    seconds = {
        label: total_seconds(turn for turn in found.exclusive if turn.speaker == label)
        for label in found.vectors
    }
    return {
        label: Voice(model, tuple(map(float, vector)), round(seconds[label], 2))
        for label, vector in found.vectors.items()
        if seconds[label] >= _LEAST_VOICE_SECONDS
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
    Return a diarizer on the official checkpoints.

    Args:
        segmentation, embedding: folders with the checkpoints.
        embedder: which network the latter is; `campplus` or `wespeaker`.
        device: `cpu`, or anything else to take a GPU where onnxruntime can use one; the
            installed onnxruntime seldom can, and Whisper's device says nothing about it.
        threads: CPU cores to use.
        plda: the folder of community-1's PLDA; only `wespeaker` uses it.

    Raises:
        EngineUnavailable: a checkpoint, the PLDA or the device cannot be used.
    """
    may_use_gpu = device != "cpu" and CUDA in onnxruntime.get_available_providers()
    device = "cuda" if may_use_gpu else "cpu"
    network = Segmentation(segmentation / "pytorch_model.bin", device)
    return OnnxDiarizer(
        network,
        _embedder(embedding, embedder, device),
        threads,
        _method(embedder, plda),
        GPU_BATCH if network.on_gpu else CPU_BATCH,
    )


def _embedder(folder: Path, name: str, device: str) -> Embedder:
    if name == "wespeaker":
        return WeSpeaker(folder / "pytorch_model.bin", device)
    return Campplus(folder / "campplus_cn_en_common.pt", device)


def _method(embedder: str, plda: Path | None) -> Method:
    """Our own rules where they were measured; else the one that was published with a network."""
    if embedder == "wespeaker":
        return Stepwise(read_plda(plda) if plda else None)
    return Resegmented()
