"""Loads pyannote.audio pipelines; the only module that uses torch and pyannote.audio."""

import importlib
import inspect
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.engines.pyannote.config import PipelineConfig
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Waveform

_INSTALL = 'pip install "meet-transcriber[pyannote]"'

_MODELS = "pyannote.audio.models."
_GIBIBYTE = 1 << 30
_CPU_BATCH = 8
_BATCH_PER_GIBIBYTE = 4
_GPU_BATCH = 32
# In messages of errors that are not torch's OutOfMemoryError: of the CPU's allocator and of cuBLAS.
_MEMORY_PHRASES = ("out of memory", "can't allocate memory", "alloc_failed")
# Warnings of the libraries that are reported in the result instead, or irrelevant.
_IGNORED_WARNINGS = (
    # waveforms are passed, so no file is decoded
    r"\s*torchcodec is not installed",
    # pyannote.audio 3 uses functions of torchaudio 2.8 that 2.9 removes
    r"torchaudio\.\S+ has been deprecated",
    r"\s*The detected number of speakers",
    r"std\(\): degrees of freedom",
    r"\s*TensorFloat-32",
    # numpy, if a recording is too short for a single embedding
    r"Mean of empty slice",
    r"invalid value encountered in",
)


@contextmanager
def _ignore_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        for message in _IGNORED_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        yield


class OutOfMemory(Exception):
    """The device has too little memory for this batch size."""


Hook = Callable[..., None]
"""Called by pyannote after each step and each batch of a step: step, artifact, total, completed."""


class Engine(Protocol):
    """A loaded pipeline on a device."""

    @property
    def device(self) -> str:
        """`cpu`, `cuda`, or a device of another kind."""
        ...

    @property
    def batch(self) -> int:
        """The initial batch size on this device."""
        ...

    def move(self, device: str) -> None:
        """Move the models to `device`."""
        ...

    def run(self, audio: Waveform, batch: int, hook: Hook, hints: Mapping[str, int]) -> object:
        """
        Diarize; returns the library's own result.

        Args:
            hints: num_speakers, or min_speakers and max_speakers.

        Raises:
            OutOfMemory: the batch is too large for the device.
        """
        ...


Loader = Callable[[PipelineConfig, str], Engine]


def import_library(name: str = "pyannote.audio") -> ModuleType:
    """
    Import pyannote.audio with its telemetry off, regardless of the environment.

    Raises:
        EngineUnavailable: it or torch is not installed or cannot be imported.
    """
    # pyannote/audio/telemetry/metrics.py reads it on each call; only true and 1 enable it
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
    try:
        with _ignore_warnings():
            return importlib.import_module(name)
    except (ImportError, OSError, AttributeError, RuntimeError) as error:
        raise EngineUnavailable(
            f"{name} is not installed or cannot be imported ({error}); run: {_INSTALL}"
        ) from error


def load_engine(config: PipelineConfig, device: str) -> Engine:
    """
    Build a pipeline on `device`: `auto`, `cpu`, `cuda` or a torch device.

    Nothing is fetched and no code in a checkpoint runs.

    Raises:
        EngineUnavailable: the library or the device is missing, or the files do not fit it.
    """
    library, torch = import_library(), importlib.import_module("torch")
    has_gpu = torch.cuda.is_available()
    if device == "auto":
        device = "cuda" if has_gpu else "cpu"
    if device.startswith("cuda") and not has_gpu:
        raise EngineUnavailable(
            "torch finds no CUDA device; check the driver, or use the device cpu."
        )
    try:
        with _ignore_warnings():
            pipeline = _build(library, config)
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise EngineUnavailable(
            f"The pyannote pipeline does not fit pyannote.audio {library.__version__}: {error}. "
            "Fetch it again, or use the pipeline for this version."
        ) from error
    engine = _TorchEngine(pipeline, torch)
    engine.move(device)
    return engine


def _build(library: ModuleType, config: PipelineConfig) -> Any:
    pipelines = importlib.import_module("pyannote.audio.pipelines")
    klass = pipelines.SpeakerDiarization
    arguments = dict(config.arguments)
    if "plda" in inspect.signature(klass).parameters:
        plda = importlib.import_module("pyannote.audio.core.plda").PLDA
        # without a PLDA the library fetches community-1's, which is gated
        arguments["plda"] = plda(*config.plda) if config.plda else plda.__new__(plda)
    elif config.plda:
        raise EngineUnavailable(
            f"This pipeline needs pyannote.audio 4, and {library.__version__} is installed; "
            'run: pip install "pyannote.audio>=4,<5"'
        )
    pipeline = klass(
        segmentation=load_checkpoint(config.segmentation),
        embedding=load_checkpoint(config.embedding),
        **arguments,
    )
    return pipeline.instantiate(dict(config.parameters))


class _Inert:
    """Replaces any other object that a checkpoint refers to; does nothing."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


def load_checkpoint(path: Path) -> Any:
    """
    Load a pyannote model with torch's restricted unpickler.

    The library itself uses the unrestricted one, which runs code in a file. Here only tensors,
    plain values and pyannote's specifications are loaded; other objects become inert, and a file
    that calls one is rejected.

    Raises:
        EngineUnavailable: the file is not a pyannote checkpoint, or damaged.
    """
    import torch  # noqa: PLC0415 - only where the engine is used

    task = importlib.import_module("pyannote.audio.core.task")
    known = {f"{task.__name__}.{name}": getattr(task, name) for name in _SPECIFICATIONS}
    known["torch.torch_version.TorchVersion"] = torch.torch_version.TorchVersion
    try:
        mentioned = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        allowed = [(known.get(name, _Inert), name) for name in mentioned]
        with torch.serialization.safe_globals(allowed):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        return _model(checkpoint)
    except _ERRORS as error:
        reason = next(iter(str(error).splitlines()), "")
        raise EngineUnavailable(
            f"{path.parent.name}/{path.name} is not a pyannote model, or is damaged "
            f"({type(error).__name__}: {reason}); fetch it again."
        ) from error


_SPECIFICATIONS = ("Specifications", "Problem", "Resolution")
_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError, ValueError, TypeError, KeyError, AttributeError, OSError, EOFError, ImportError,
    UnpicklingError,
)  # fmt: skip


def _model(checkpoint: dict[str, Any]) -> Any:
    architecture = checkpoint["pyannote.audio"]["architecture"]
    if not f"{architecture['module']}.".startswith(_MODELS):
        raise ValueError(f"it asks for the module {architecture['module']!r}")
    klass = getattr(importlib.import_module(architecture["module"]), architecture["class"])
    accepted = inspect.signature(klass).parameters
    settings = checkpoint.get("hyper_parameters", {})
    model = klass(**{name: value for name, value in settings.items() if name in accepted})
    # as the model's on_load_checkpoint, without its messages about versions
    model.specifications = checkpoint["pyannote.audio"]["specifications"]
    model.setup()
    missing = model.load_state_dict(checkpoint["state_dict"], strict=False).missing_keys
    if missing:
        raise ValueError(f"it lacks {len(missing)} weights, such as {missing[0]}")
    return model.eval()


class _TorchEngine:
    """An Engine on torch, loaded on the CPU."""

    def __init__(self, pipeline: Any, torch: ModuleType) -> None:
        self._pipeline, self._torch = pipeline, torch
        self.device = "cpu"
        configured = (pipeline.segmentation_batch_size, pipeline.embedding_batch_size)
        self._configured = int(max(*configured, 1))

    @property
    def batch(self) -> int:
        """The pipeline's batch size, limited to what fits the device."""
        if not self.device.startswith("cuda"):
            return min(self._configured, _CPU_BATCH)
        free, _ = self._torch.cuda.mem_get_info(self._torch.device(self.device))
        fitting = max(_BATCH_PER_GIBIBYTE * int(free) // _GIBIBYTE, 1)
        return min(self._configured, fitting, _GPU_BATCH)

    def move(self, device: str) -> None:
        """See `Engine`."""
        self._pipeline.to(self._torch.device(device))
        self.device = device
        if self._torch.cuda.is_available():
            self._torch.cuda.empty_cache()

    def run(self, audio: Waveform, batch: int, hook: Hook, hints: Mapping[str, int]) -> object:
        """See `Engine`."""
        self._pipeline.segmentation_batch_size = batch
        self._pipeline.embedding_batch_size = batch
        samples = self._torch.from_numpy(np.require(audio, np.float32, ["C", "W"]))[None]
        file = {"waveform": samples, "sample_rate": SAMPLE_RATE_HZ, "uri": "recording"}
        try:
            with _ignore_warnings():
                return self._pipeline(file, hook=hook, **hints)
        except (RuntimeError, MemoryError) as error:
            memory = isinstance(error, MemoryError | self._torch.OutOfMemoryError)
            if memory or any(phrase in str(error).lower() for phrase in _MEMORY_PHRASES):
                raise OutOfMemory(str(error)) from error
            raise
