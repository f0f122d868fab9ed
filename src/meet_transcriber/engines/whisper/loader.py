"""Loading a recognizer: where it computes, and how much at a time."""

import os
from pathlib import Path

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.engines.whisper.model import CTranslate2Model
from meet_transcriber.engines.whisper.process import Recipe, RecognizerProcess
from meet_transcriber.engines.whisper.recognizer import WhisperRecognizer
from meet_transcriber.observability.gpu import gpu_memory
from meet_transcriber.ports.engines import Recognizer

MOST_WINDOWS = 32
"""Windows in a batch on a GPU; more gain nothing (base on an H200)."""

# Memory that a window takes while it is decoded, by the bytes of model.bin in float16: keys and
# values of 1,500 steps in every layer, and of five beams of 448 tokens. From 0.2 (large-v3) to
# 0.4 (base).
_WINDOW_SHARE = 0.4
_USABLE_SHARE = 0.6  # of the memory that is free; fragments and workspaces take the rest


def load_recognizer(
    folder: str, name: str, device: str, compute_type: str | None, threads: int
) -> Recognizer:
    """
    A recognizer on a folder in CTranslate2's format; in a process of its own on a GPU.

    Args:
        device: `cpu`, `cuda` or `auto`.
        threads: CPU cores to use.

    Raises:
        EngineUnavailable: the model cannot be loaded.
    """
    device = _device(device)
    if device == "cpu":
        return load_here(folder, name, device, compute_type, threads, None)
    loader = f"{load_here.__module__}:{load_here.__name__}"
    arguments = {"device": device, "compute_type": compute_type, "threads": threads}
    return RecognizerProcess(Recipe(loader, {"folder": folder, "name": name, **arguments}))


def load_here(
    folder: str,
    name: str,
    device: str,
    compute_type: str | None,
    threads: int,
    batch_size: int | None,
) -> WhisperRecognizer:
    """The same in this process; raises EngineUnavailable."""
    model = CTranslate2Model(Path(folder), name, device, compute_type, threads)
    if device != "cpu" and batch_size is None:
        batch_size = batch_that_fits((Path(folder) / "model.bin").stat().st_size)
    return WhisperRecognizer(model, batch_size)


def batch_that_fits(model_bytes: int) -> int:
    """Windows that the GPU's free memory holds, once the model is loaded; at least one."""
    gpus = gpu_memory()
    if not gpus:
        return MOST_WINDOWS // 2
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    gpu = next((each for each in gpus if each.name == visible), gpus[0])
    free = gpu.size_bytes - gpu.used_bytes
    return max(min(int(free * _USABLE_SHARE / (model_bytes * _WINDOW_SHARE)), MOST_WINDOWS), 1)


def _device(asked: str) -> str:
    if asked != "auto":
        return asked
    try:
        import ctranslate2  # noqa: PLC0415 - native code, loaded only where it is used
    except (ImportError, OSError) as error:
        raise EngineUnavailable(
            f"CTranslate2 cannot be loaded ({error}); run: pip install faster-whisper"
        ) from error
    return "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
