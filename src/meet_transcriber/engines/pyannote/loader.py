"""The one place that touches torch and pyannote.audio."""

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
from meet_transcriber.engines.pyannote.config import VBX, Recipe
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Waveform

INSTALL = 'pip install "meet-transcriber[pyannote]"'

_MODELS = "pyannote.audio.models."
_GIBIBYTE = 1 << 30
_CPU_BATCH = 8
_BATCH_PER_GIBIBYTE = 4
_GPU_BATCH = 32
# What the libraries warn of: said in the result instead, or of no use to anybody.
_NOISE = (
    # waveforms are handed over, so nothing here decodes a file
    r"\s*torchcodec is not installed",
    # pyannote.audio 3 asks torchaudio 2.8 for what is to go in 2.9
    r"torchaudio\.\S+ has been deprecated",
    r"\s*The detected number of speakers",
    r"std\(\): degrees of freedom",
    r"\s*TensorFloat-32",
    # numpy's, where a recording is too short for a single clean voice sample
    r"Mean of empty slice",
    r"invalid value encountered in",
)


@contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings():
        for message in _NOISE:
            warnings.filterwarnings("ignore", message=message)
        yield


class OutOfMemory(Exception):
    """The device has no memory left for this batch size."""


class Hook(Protocol):
    """What pyannote calls after each step and each batch of a step."""

    def __call__(
        self,
        step: str,
        artifact: object = None,
        /,
        file: object = None,
        total: int | None = None,
        completed: int | None = None,
    ) -> None: ...


class Engine(Protocol):
    """A loaded pipeline on a device."""

    @property
    def device(self) -> str:
        """`cpu`, `cuda`, or a device of another kind."""
        ...

    @property
    def batch(self) -> int:
        """The batch size to begin with on this device."""
        ...

    def move(self, device: str) -> None:
        """Bring the models to `device`."""
        ...

    def run(self, audio: Waveform, batch: int, hook: Hook, hints: Mapping[str, int]) -> object:
        """
        Diarize; returns what the library returns.

        Raises:
            OutOfMemory: the batch is too large for the device.
        """
        ...


Loader = Callable[[Recipe, str], Engine]


def import_library(name: str = "pyannote.audio") -> ModuleType:
    """
    Import pyannote.audio with its telemetry off, whatever the environment says.

    Raises:
        EngineUnavailable: it or torch is missing or does not load.
    """
    # read on every call by pyannote/audio/telemetry/metrics.py; only true and 1 turn it on
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
    try:
        with _quietly():
            return importlib.import_module(name)
    except (ImportError, OSError, AttributeError, RuntimeError) as error:
        raise EngineUnavailable(
            f"{name} is not installed or does not load ({error}); run: {INSTALL}"
        ) from error


def load_engine(recipe: Recipe, device: str) -> Engine:
    """
    Build the pipeline of a recipe on `device`: `auto`, `cpu`, `cuda` or a torch device.

    Nothing is fetched and no code from a checkpoint runs.

    Raises:
        EngineUnavailable: the library or the device is missing, or the files do not fit.
    """
    library = import_library()
    place = pick_device(device)
    try:
        with _quietly():
            pipeline = _build(library, recipe)
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise EngineUnavailable(
            f"The pyannote pipeline does not fit pyannote.audio {library.__version__}: {error}. "
            "Fetch it again, or take the pipeline that belongs to this version."
        ) from error
    engine = TorchEngine(pipeline)
    engine.move(place)
    return engine


def pick_device(wanted: str) -> str:
    """
    The torch device behind a setting; `auto` takes a GPU where there is one.

    Raises:
        EngineUnavailable: a GPU was asked for and there is none.
    """
    import torch  # noqa: PLC0415 - only where the engine is used

    has_gpu = torch.cuda.is_available()
    if wanted == "auto":
        return "cuda" if has_gpu else "cpu"
    if wanted.startswith("cuda") and not has_gpu:
        raise EngineUnavailable(
            "No CUDA device can be used by torch; check the driver, or use the device cpu."
        )
    return wanted


def _build(library: ModuleType, recipe: Recipe) -> Any:
    pipelines = importlib.import_module("pyannote.audio.pipelines")
    klass = pipelines.SpeakerDiarization
    arguments = dict(recipe.arguments)
    if "plda" in inspect.signature(klass).parameters:
        arguments["plda"] = _plda(recipe)
    elif recipe.clustering == VBX:
        raise EngineUnavailable(
            f"This pipeline needs pyannote.audio 4, and {library.__version__} is installed; "
            'run: pip install "pyannote.audio>=4,<5"'
        )
    pipeline = klass(
        segmentation=load_checkpoint(recipe.segmentation),
        embedding=load_checkpoint(recipe.embedding),
        **arguments,
    )
    return pipeline.instantiate(dict(recipe.parameters))


def _plda(recipe: Recipe) -> Any:
    plda = importlib.import_module("pyannote.audio.core.plda").PLDA
    # handing over any PLDA keeps the library from fetching community-1's, behind its own gate
    return plda(*recipe.plda) if recipe.plda else plda.__new__(plda)


class _Inert:
    """Stands in for whatever else a checkpoint mentions; does nothing."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


def load_checkpoint(path: Path) -> Any:
    """
    Load a pyannote model with torch's restricted unpickler.

    The library itself unpickles without limits, which lets a file run code. Here only
    tensors, plain values and pyannote's own specifications come to life; whatever else a
    training left behind becomes inert, and a file that calls it is refused.

    Raises:
        EngineUnavailable: the file is no pyannote checkpoint, or damaged.
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
    except _DAMAGED as error:
        reason = next(iter(str(error).splitlines()), "")
        raise EngineUnavailable(
            f"{path.parent.name}/{path.name} is no pyannote model, or it is damaged "
            f"({type(error).__name__}: {reason}); fetch it again."
        ) from error


_SPECIFICATIONS = ("Specifications", "Problem", "Resolution")
_DAMAGED: tuple[type[Exception], ...] = (
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
    # what the model's own on_load_checkpoint does, without its talk about versions
    model.specifications = checkpoint["pyannote.audio"]["specifications"]
    model.setup()
    missing = model.load_state_dict(checkpoint["state_dict"], strict=False).missing_keys
    if missing:
        raise ValueError(f"it lacks {len(missing)} weights, such as {missing[0]}")
    return model.eval()


class TorchEngine:
    """An Engine on torch."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._device = "cpu"
        configured = (pipeline.segmentation_batch_size, pipeline.embedding_batch_size)
        self._configured = int(max(*configured, 1))

    @property
    def device(self) -> str:
        return self._device

    @property
    def batch(self) -> int:
        """The pipeline's own size, held down to what fits the device."""
        return min(self._configured, self._fitting())

    def move(self, device: str) -> None:
        """See `Engine`."""
        import torch  # noqa: PLC0415 - only where the engine is used

        self._pipeline.to(torch.device(device))
        self._device = device
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def run(self, audio: Waveform, batch: int, hook: Hook, hints: Mapping[str, int]) -> object:
        """See `Engine`."""
        import torch  # noqa: PLC0415 - only where the engine is used

        self._pipeline.segmentation_batch_size = batch
        self._pipeline.embedding_batch_size = batch
        samples = torch.from_numpy(np.require(audio, np.float32, ["C", "W"]))[None]
        file = {"waveform": samples, "sample_rate": SAMPLE_RATE_HZ, "uri": "recording"}
        try:
            with _quietly():
                return self._pipeline(file, hook=hook, **hints)
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            raise OutOfMemory(str(error)) from error

    def _fitting(self) -> int:
        if not self._device.startswith("cuda"):
            return _CPU_BATCH
        import torch  # noqa: PLC0415 - only where the engine is used

        free, _ = torch.cuda.mem_get_info(torch.device(self._device))
        return min(max(_BATCH_PER_GIBIBYTE * int(free) // _GIBIBYTE, 1), _GPU_BATCH)


def _is_out_of_memory(error: BaseException) -> bool:
    import torch  # noqa: PLC0415 - only where the engine is used

    words = str(error).lower()
    told = ("out of memory", "can't allocate memory", "alloc_failed")
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or any(word in words for word in told)
