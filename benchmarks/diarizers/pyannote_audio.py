"""
Run pyannote.audio's 3.1 pipeline on one recording; for `benchmarks.diarization`.

    python -m benchmarks.diarizers.pyannote_audio RECORDING RTTM --segmentation CHECKPOINT

Written for pyannote.audio 4.0.7 in an environment that also has this project's packages
(`requirements/pyannote.txt`). `--embedding` names the checkpoint of a WeSpeaker ResNet34. Without
it the embedder has random weights: timings hold, the turns are not scored.
Windows, batches and clustering are those of pyannote/speaker-diarization-3.1.
"""

import argparse
import importlib
from pathlib import Path
from typing import Any

import soundfile

from benchmarks.diarizers.measured import Seconds, report
from meet_transcriber.engines.pyannote.loader import import_library, load_checkpoint
from meet_transcriber.ports.engines import usable_cores

_BATCH = 32
_ARGUMENTS = {
    "clustering": "AgglomerativeClustering",
    "embedding_batch_size": _BATCH,
    "embedding_exclude_overlap": True,
    "segmentation_batch_size": _BATCH,
}
_PARAMETERS = {
    "clustering": {"method": "centroid", "min_cluster_size": 12, "threshold": 0.7045654963945799},
    "segmentation": {"min_duration_off": 0.0},
}


def main() -> None:
    """Write the turns and print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path)
    parser.add_argument("rttm", type=Path)
    parser.add_argument("--segmentation", type=Path, required=True, help="pytorch_model.bin")
    parser.add_argument("--embedding", type=Path, help="pytorch_model.bin")
    args = parser.parse_args()
    import_library()  # without its telemetry
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(usable_cores())
    pipeline = built(torch, args.segmentation, args.embedding)
    seconds = Seconds()
    with seconds.stage("read"):
        samples, rate = soundfile.read(args.recording, dtype="float32", always_2d=True)
    with seconds.stage("diarize"):
        file = {"waveform": torch.from_numpy(samples.T.copy()), "sample_rate": rate}
        found = pipeline(file).speaker_diarization
    turns = [(turn.start, turn.end, name) for turn, _, name in found.itertracks(yield_label=True)]
    note = "" if args.embedding else "the embedder's weights are random"
    report(args.rttm, turns, seconds, note)


def built(torch: Any, segmentation: Path, embedding: Path | None) -> Any:
    """The pipeline with weights from disk; nothing is fetched."""
    pipelines = importlib.import_module("pyannote.audio.pipelines")
    plda = importlib.import_module("pyannote.audio.core.plda").PLDA
    embedder = load_checkpoint(embedding) if embedding else _random_embedder(torch)
    pipeline = pipelines.SpeakerDiarization(
        segmentation=load_checkpoint(segmentation),
        embedding=embedder,
        plda=plda.__new__(plda),  # else the library fetches one, which 3.1 does not use
        **_ARGUMENTS,
    )
    return pipeline.instantiate(_PARAMETERS)


def _random_embedder(torch: Any) -> Any:
    """A WeSpeaker ResNet34 that was never trained."""
    embedding = importlib.import_module("pyannote.audio.models.embedding")
    task = importlib.import_module("pyannote.audio.core.task")
    torch.manual_seed(0)
    model = embedding.WeSpeakerResNet34()
    model.specifications = task.Specifications(
        problem=task.Problem.REPRESENTATION, resolution=task.Resolution.CHUNK, duration=5.0
    )
    model.setup()
    return model.eval()


if __name__ == "__main__":
    main()
