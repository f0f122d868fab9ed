"""Loading the diarizer from folders with weights."""

from pathlib import Path

import onnxruntime

from meet_transcriber.engines.onnx.diarizer import OnnxDiarizer
from meet_transcriber.engines.onnx.networks import Campplus, Embedder, Segmentation, WeSpeaker

SEGMENTATION = "segmentation-3.0"
EMBEDDERS = ("campplus", "wespeaker")
"""Names of models in the catalogue of weights."""

_CUDA = "CUDAExecutionProvider"


def load_diarizer(
    segmentation: Path, embedding: Path, embedder: str, device: str, threads: int
) -> OnnxDiarizer:
    """
    Return a diarizer on the official checkpoints.

    Args:
        segmentation, embedding: folders with the checkpoints.
        embedder: which network the latter is; one of EMBEDDERS.
        device: `cpu`, `cuda` or `auto`, which takes a GPU where onnxruntime can use one.
        threads: CPU cores to use.

    Raises:
        EngineUnavailable: a checkpoint or the device cannot be used.
    """
    if device == "auto":
        device = "cuda" if _CUDA in onnxruntime.get_available_providers() else "cpu"
    network = Segmentation(segmentation / "pytorch_model.bin", device)
    return OnnxDiarizer(network, _embedder(embedding, embedder, device), threads)


def _embedder(folder: Path, name: str, device: str) -> Embedder:
    if name == "wespeaker":
        return WeSpeaker(folder / "pytorch_model.bin", device)
    return Campplus(folder / "campplus_cn_en_common.pt", device)
