"""
Compute tests/golden/speakers with torch: the networks of the diarizer on synthetic sound.

    .venv-pyannote/bin/python -m scripts.make_speaker_goldens MODELS_DIR

Segmentation is pyannote.audio's own class. CAM++ is written down here a second time, after
modelscope/3D-Speaker (speakerlab/models/campplus), so that torch and onnxruntime can disagree.
Filter banks are torchaudio's port of Kaldi's, of samples in [-1, 1] as CAM++ is used there.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody calls it
from pyannote.audio import Model
from torchaudio.compliance import kaldi

from tests.simulated.voices import filter_bank_sound, network_chunks, network_windows

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "speakers"
Tensor = Any


def main(models: Path) -> None:
    """Write both files."""
    sound = filter_bank_sound()
    np.savez_compressed(
        GOLDEN / "filter_banks.npz",
        povey=_filter_banks(sound, "povey"),
        hamming=_filter_banks(32768 * sound, "hamming"),
    )
    with torch.inference_mode():
        scores = _scores(models / "segmentation-3.0" / "pytorch_model.bin")
        embeddings = _embeddings(models / "campplus" / "campplus_cn_en_common.pt")
    best = np.sort(scores, axis=2)[..., -2:]
    np.savez_compressed(
        GOLDEN / "networks.npz",
        classes=scores.argmax(axis=2).astype(np.uint8),
        close=np.argwhere(best[..., 1] - best[..., 0] < 1e-3).astype(np.int16),
        scores=scores[:, ::59],
        embeddings=embeddings,
    )


def _filter_banks(sound: Any, window: str) -> Any:
    wave = torch.from_numpy(sound)[None]
    banks = kaldi.fbank(
        wave, num_mel_bins=80, sample_frequency=16000.0, window_type=window, dither=0.0
    )
    return banks.numpy()


def _scores(checkpoint: Path) -> Any:
    model = Model.from_pretrained(checkpoint)
    return model.eval()(torch.from_numpy(network_windows())[:, None]).numpy()


def _embeddings(checkpoint: Path) -> Any:
    """(chunks, 192) of length 1, each over the whole of a chunk of 4 s."""
    weights = torch.load(checkpoint, weights_only=True)
    chunks = network_chunks()
    # 400 frames: 120 samples of silence in front, and what is missing behind
    padded = np.pad(chunks, [(0, 0), (120, 120)])
    banks = torch.from_numpy(np.stack([_filter_banks(each, "povey") for each in padded]))
    trunk = _trunk(weights, banks - banks.mean(dim=1, keepdim=True))
    pooled = torch.cat([trunk.mean(dim=2), trunk.std(dim=2, unbiased=True)], dim=1)
    dense = F.conv1d(pooled[..., None], weights["xvector.dense.linear.weight"])
    found = _norm(weights, "xvector.dense.nonlinear.batchnorm", dense)[..., 0]
    return F.normalize(found, dim=1).numpy()


def _trunk(weights: Any, banks: Tensor) -> Tensor:
    """(chunks, 400, 80) to (chunks, 512, 200)."""
    value = banks.transpose(1, 2)[:, None]
    value = F.relu(_conv2d(weights, "head.conv1", "head.bn1", value))
    for layer, place in ((1, 0), (1, 1), (2, 0), (2, 1)):
        value = _residual(weights, f"head.layer{layer}.{place}", value, 2 - place)
    value = F.relu(_conv2d(weights, "head.conv2", "head.bn2", value, 2)).flatten(1, 2)
    value = F.conv1d(value, weights["xvector.tdnn.linear.weight"], stride=2, padding=2)
    value = F.relu(_norm(weights, "xvector.tdnn.nonlinear.batchnorm", value))
    for block, (layers, dilation) in enumerate(((12, 1), (24, 2), (16, 2)), start=1):
        for layer in range(1, layers + 1):
            name = f"xvector.block{block}.tdnnd{layer}"
            value = torch.cat([value, _dense(weights, name, value, dilation)], dim=1)
        name = f"xvector.transit{block}"
        value = F.relu(_norm(weights, f"{name}.nonlinear.batchnorm", value))
        value = F.conv1d(value, weights[f"{name}.linear.weight"])
    return F.relu(_norm(weights, "xvector.out_nonlinear.batchnorm", value))


def _residual(weights: Any, name: str, value: Tensor, stride: int) -> Tensor:
    found = F.relu(_conv2d(weights, f"{name}.conv1", f"{name}.bn1", value, stride))
    found = _conv2d(weights, f"{name}.conv2", f"{name}.bn2", found)
    if f"{name}.shortcut.0.weight" in weights:
        value = _conv2d(weights, f"{name}.shortcut.0", f"{name}.shortcut.1", value, stride)
    return F.relu(found + value)


def _conv2d(weights: Any, conv: str, norm: str, value: Tensor, stride: int = 1) -> Tensor:
    kernel = weights[f"{conv}.weight"]
    value = F.conv2d(value, kernel, stride=(stride, 1), padding=kernel.shape[-1] // 2)
    return _norm(weights, norm, value)


def _dense(weights: Any, name: str, value: Tensor, dilation: int) -> Tensor:
    value = F.relu(_norm(weights, f"{name}.nonlinear1.batchnorm", value))
    value = F.conv1d(value, weights[f"{name}.linear1.weight"])
    value = F.relu(_norm(weights, f"{name}.nonlinear2.batchnorm", value))
    cam = f"{name}.cam_layer"
    kernel = weights[f"{cam}.linear_local.weight"]
    local = F.conv1d(value, kernel, padding=dilation, dilation=dilation)
    context = value.mean(dim=2, keepdim=True) + F.avg_pool1d(value, 100, 100)
    for place in ("linear1", "linear2"):
        linear = (weights[f"{cam}.{place}.weight"], weights[f"{cam}.{place}.bias"])
        context = (F.relu if place == "linear1" else torch.sigmoid)(F.conv1d(context, *linear))
    return local * context.repeat_interleave(100, dim=2)


def _norm(weights: Any, name: str, value: Tensor) -> Tensor:
    return F.batch_norm(
        value,
        weights[f"{name}.running_mean"],
        weights[f"{name}.running_var"],
        weights.get(f"{name}.weight"),
        weights.get(f"{name}.bias"),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
