"""Loading the diarizer from folders with weights."""

from pathlib import Path

import onnxruntime

from meet_transcriber.engines.onnx.diarizer import CPU_BATCH, GPU_BATCH, OnnxDiarizer
from meet_transcriber.engines.onnx.methods import Method, Resegmented, Stepwise
from meet_transcriber.engines.onnx.networks import CUDA, Campplus, Embedder, Segmentation, WeSpeaker
from meet_transcriber.engines.onnx.vbx import read_plda


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
