"""
The same weights, scores and embeddings give what pyannote.audio gives.

Recordings are buzzing voices made here. DIARIZATION_RECORDINGS names a folder of WAV files, and
SEGMENTATION_WEIGHTS the official checkpoint, to look at those, too.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import soundfile
import torch
from pyannote.audio import Inference
from pyannote.audio.core.model import Model
from pyannote.audio.core.plda import PLDA
from pyannote.audio.pipelines import SpeakerDiarization
from pyannote.audio.pipelines.clustering import AgglomerativeClustering, VBxClustering
from pyannote.audio.pipelines.utils import SpeakerDiarizationMixin
from pyannote.core import SlidingWindow, SlidingWindowFeature
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.cluster import KMeans

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Span
from meet_transcriber.engines.onnx import diarizer
from meet_transcriber.engines.onnx import pyannote_clustering as ours
from meet_transcriber.engines.onnx.clustering import centroid_linkage, cut_tree, k_means
from meet_transcriber.engines.onnx.diarizer import load_diarizer
from meet_transcriber.engines.onnx.embeddings import TRUNK_HZ, WeSpeaker
from meet_transcriber.engines.onnx.network import read_checkpoint
from meet_transcriber.engines.onnx.pyannote_clustering import (
    PLDA_FILES,
    cluster_vbx,
    read_plda,
)
from meet_transcriber.engines.onnx.speaker_segmentation import (
    FRAME_SECONDS,
    FRAMES,
    WINDOW_SAMPLES,
    count_speakers,
    segmentation_graph,
)
from meet_transcriber.engines.pyannote.loader import load_checkpoint
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Waveform
from scripts import make_stepwise_goldens
from tests.deploy.pyannote import tiny_pipelines
from tests.deploy.pyannote.conftest import Sound
from tests.unit.engines.onnx.stepwise_golden import frame_count

Array = npt.NDArray[Any]

STEP_SECONDS = 1.0
STEP_SAMPLES = round(STEP_SECONDS * SAMPLE_RATE_HZ)
GRID = SlidingWindow(start=0.0, duration=0.0619375, step=0.016875)
# The parameters of pyannote/speaker-diarization-3.1.
PARAMETERS = {"method": "centroid", "min_cluster_size": 12, "threshold": 0.7045654963945799}
CASES = 60


# -- segmentation ----------------------------------------------------------------------------


def _checkpoints(folder: Path) -> Iterator[Path]:
    yield tiny_pipelines.save(tiny_pipelines.whole_segmentation_model(), folder)
    if official := os.environ.get("SEGMENTATION_WEIGHTS"):
        yield Path(official)


def _recordings(sound: Sound) -> Iterator[Waveform]:
    """Shorter than a window, whole windows, and a last one that is cut off."""
    yield sound.samples
    yield np.tile(sound.samples, 2)[: 12 * SAMPLE_RATE_HZ]
    yield np.tile(sound.samples, 2)[: 12 * SAMPLE_RATE_HZ + 1]
    if folder := os.environ.get("DIARIZATION_RECORDINGS"):
        for path in sorted(Path(folder).glob("*.wav")):
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
            assert rate == SAMPLE_RATE_HZ
            yield samples[:, 0]


def _windows(samples: Waveform) -> Array:
    """(windows, 1, samples), the last filled with silence."""
    count = 1 + max(0, -(-(len(samples) - WINDOW_SAMPLES) // STEP_SAMPLES))
    whole = np.zeros((count - 1) * STEP_SAMPLES + WINDOW_SAMPLES, np.float32)
    whole[: len(samples)] = samples
    return np.lib.stride_tricks.sliding_window_view(whole, WINDOW_SAMPLES)[::STEP_SAMPLES, None]


def _expected(model: Model, samples: Waveform) -> Array:
    """Return the classes (windows, frames) of pyannote.audio's own inference."""
    inference = Inference(
        model, step=STEP_SECONDS, skip_aggregation=True, skip_conversion=True, batch_size=8
    )
    file = {"waveform": torch.from_numpy(samples.copy())[None], "sample_rate": SAMPLE_RATE_HZ}
    found: Array = inference(file).data.argmax(axis=2)
    return found


def _exact(model: Model, window: Array) -> Array:
    """The same network in double precision on one window."""
    with torch.inference_mode():
        scores = model.double()(torch.from_numpy(window[None].copy()).double())[0]
    model.float()
    found: Array = scores.numpy().argmax(axis=1)
    return found


def test_segmentation_finds_the_same_classes_as_pyannote(sound: Sound, tmp_path: Path) -> None:
    for checkpoint in _checkpoints(tmp_path):
        graph = segmentation_graph(read_checkpoint(checkpoint))
        session, model = onnxruntime.InferenceSession(graph), load_checkpoint(checkpoint)
        for samples in _recordings(sound):
            windows, expected = _windows(samples), _expected(model, samples)
            assert expected.shape == (len(windows), FRAMES)
            assert len(np.unique(expected)) > 1 or checkpoint.parent != tmp_path
            for window, classes in zip(windows, expected, strict=True):
                found = session.run(None, {"audio": window[None]})[0][0].argmax(axis=1)
                differing = found != classes
                # where rounding decides in pyannote, exact arithmetic has to agree with ours
                if differing.any():
                    assert differing.mean() < 0.01
                    assert (found == _exact(model, window))[differing].all()


# -- counting, clustering, reconstruction -----------------------------------------------------


@dataclass(frozen=True)
class Case:
    """
    Attributes:
        active: (windows, frames, 3), 1 where a local speaker talks.
        embeddings: (windows, 3, 16) around as many directions as there are people.
        hints: bounds of the number of speakers, as pyannote's clustering names them.
    """

    active: Array
    embeddings: Array
    hints: dict[str, int]

    @property
    def bounds(self) -> tuple[int | None, int | None]:
        exact = self.hints.get("num_clusters")
        return (
            self.hints.get("min_clusters", exact),
            self.hints.get("max_clusters", exact),
        )

    @property
    def starts(self) -> Array:
        return np.arange(len(self.active)) * STEP_SECONDS

    @property
    def frames(self) -> int:
        return frame_count(float(self.starts[-1]))

    @property
    def segmentation(self) -> SlidingWindowFeature:
        return SlidingWindowFeature(
            self.active.copy(), SlidingWindow(start=0.0, duration=10.0, step=STEP_SECONDS)
        )


def _case(seed: int) -> Case:
    """Up to six people in up to 70 windows; some windows silent, some embeddings missing."""
    draw = np.random.default_rng(seed)
    windows, people = int(draw.integers(1, 70)), int(draw.integers(1, 7))
    active = np.zeros((windows, FRAMES, 3), np.float32)
    for window, speaker in np.argwhere(draw.random((windows, 3)) < draw.uniform(0.2, 0.9)):
        for start in draw.integers(0, FRAMES, draw.integers(1, 4)):
            active[window, start : start + draw.integers(5, 400), speaker] = 1
    active[0, :60, 0] = 1  # pyannote does not get as far as this where nobody talks
    directions = draw.standard_normal((people, 16))
    who = draw.integers(0, people, (windows, 3))
    noise = draw.standard_normal((windows, 3, 16)) * draw.uniform(0.05, 1.0)
    embeddings = (directions[who] + noise).astype(np.float32)
    if seed % 5 == 0:
        # one in a window at most: two could be matched either way
        embeddings[draw.random(windows) < 0.2, draw.integers(0, 3)] = np.nan
    least = int(draw.integers(1, 5))
    hints: list[dict[str, int]] = [
        {},
        {"num_clusters": least},
        {"min_clusters": least, "max_clusters": least + int(draw.integers(0, 4))},
        {"max_clusters": least},
        {"min_clusters": least},
    ]
    return Case(active, embeddings, hints[seed % len(hints)])


cases = pytest.mark.parametrize("case", [_case(seed) for seed in range(CASES)], ids=range(CASES))


def _counted(case: Case) -> SlidingWindowFeature:
    return SpeakerDiarizationMixin.speaker_count(case.segmentation, GRID, warm_up=(0.0, 0.0))


def _renamed(clusters: Array) -> list[int]:
    """Clusters in order of their first appearance; -2 stays."""
    flat = clusters.ravel().tolist()
    names = {name: place for place, name in enumerate(dict.fromkeys(n for n in flat if n >= 0))}
    return [names.get(name, -2) for name in flat]


def _clustered(case: Case) -> Array:
    """pyannote's clusters; -2 for speakers who are silent in their window."""
    clustering = AgglomerativeClustering(metric="cosine", constrained_assignment=False)
    hard, _, _ = clustering.instantiate(PARAMETERS)(
        embeddings=case.embeddings.copy(), segmentations=case.segmentation, **case.hints
    )
    found: Array = hard.astype(int)
    found[case.active.sum(axis=1) == 0] = -2
    return found


class _Reconstruction:
    """As much of a pipeline as SpeakerDiarization.reconstruct uses; keeps the votes it counts."""

    votes: Array

    def to_diarization(
        self, segmentations: SlidingWindowFeature, count: SlidingWindowFeature
    ) -> SlidingWindowFeature:
        found = SpeakerDiarizationMixin.to_diarization(segmentations, count)
        votes = Inference.aggregate(
            segmentations, count.sliding_window, hamming=False, missing=0.0, skip_average=True
        ).data
        missing = found.data.shape[1] - votes.shape[1]
        self.votes = np.pad(votes, ((0, 0), (0, missing)))
        return found


@cases
def test_speaker_counts_are_the_same(case: Case) -> None:
    found = count_speakers(case.active, case.starts, case.frames)
    assert found.tolist() == _counted(case).data[:, 0].tolist()


@cases
def test_embeddings_get_the_same_clusters(case: Case) -> None:
    found = ours.cluster_agglomerative(case.embeddings.copy(), case.active, *case.bounds).labels
    expected = _clustered(case)
    missing = np.isnan(case.embeddings).any(axis=2)  # as close to one cluster as to another
    assert np.where(missing, -2, found).tolist() == np.where(missing, -2, expected).tolist()


@cases
def test_the_product_finds_as_many_speakers(case: Case) -> None:
    frames = int(np.ceil((case.starts[-1] + 10.0) / FRAME_SECONDS))
    found = count_speakers(case.active.astype(np.uint8), case.starts, frames)
    assert found.tolist() == _counted(case).data[: len(found), 0].tolist()


@cases
def test_the_tree_of_centroids_is_scipys(case: Case) -> None:
    vectors = np.nan_to_num(case.embeddings.reshape(-1, 16))
    vectors += np.random.default_rng(0).standard_normal(vectors.shape) * 1e-3  # no ties
    tree, expected = centroid_linkage(vectors), linkage(vectors, "centroid")
    assert tree == pytest.approx(expected, abs=1e-6)
    for threshold in np.quantile(expected[:, 2], [0.2, 0.7, 0.95]):
        labels = fcluster(expected, threshold + 1e-6, criterion="distance")
        assert _renamed(cut_tree(tree, threshold + 1e-6)) == _renamed(labels)
        assert ours.cut_in_order(tree, threshold + 1e-6).tolist() == (labels - 1).tolist()


@pytest.fixture(scope="module")
def plda_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PLDA in the layout of community-1's, for 16 values."""
    folder, draw = tmp_path_factory.mktemp("plda"), np.random.default_rng(3)
    lda = np.linalg.qr(draw.standard_normal((16, 12)))[0]
    middles = draw.standard_normal((3, 16)) * 0.05
    np.savez(folder / "xvec_transform.npz", mean1=middles[0], lda=lda, mean2=middles[1, :12])
    transform = 6 * (np.eye(12) + draw.standard_normal((12, 12)) * 0.02)
    between = np.sort(draw.uniform(0.5, 12, 12))[::-1]
    np.savez(folder / "plda.npz", mu=middles[2, :12], tr=transform, psi=between)
    return folder


@cases
def test_community_1s_mixture_gives_the_same_clusters(case: Case, plda_folder: Path) -> None:
    case = replace(case, embeddings=np.nan_to_num(case.embeddings, nan=0.1).astype(np.float64))
    trained = int(ours.training_mask(case.embeddings, case.active).sum())
    fewest, most = (each and max(1, min(each, trained)) for each in case.bounds)
    clustering = VBxClustering(
        PLDA(*(plda_folder / name for name in PLDA_FILES), lda_dimension=12), metric="cosine"
    )
    expected, _, centroids = clustering.instantiate({"threshold": 0.6, "Fa": 0.07, "Fb": 0.8})(
        embeddings=case.embeddings.copy(), segmentations=case.segmentation,
        min_clusters=fewest or 1, max_clusters=most or np.inf,
    )  # fmt: skip
    expected = np.where(case.active.any(axis=1), expected, ours.NO_CLUSTER)
    found = cluster_vbx(case.embeddings, case.active, read_plda(plda_folder), fewest, most)
    assert found.labels.tolist() == expected.tolist()
    assert found.centroids == pytest.approx(centroids, nan_ok=True)


@cases
def test_k_means_ends_where_scikit_learns_does(case: Case) -> None:
    vectors = np.nan_to_num(case.embeddings.reshape(-1, 16)).astype(np.float64)
    vectors += np.random.default_rng(0).standard_normal(vectors.shape) * 1e-3  # no duplicates
    for clusters in {1, 2, min(5, len(vectors)), min(11, 1 + len(vectors) // 3)}:
        theirs = KMeans(n_clusters=clusters, n_init=3, random_state=42, copy_x=True)
        assert k_means(vectors, clusters).tolist() == theirs.fit_predict(vectors).tolist()


@cases
@pytest.mark.parametrize("most", [1, 99], ids=["exclusive", "overlapping"])
def test_the_same_speakers_talk_in_each_frame(case: Case, most: int) -> None:
    pipeline, count = _Reconstruction(), _counted(case)
    clusters = _clustered(case)
    count.data = np.minimum(count.data, most).astype(np.int8)
    expected = SpeakerDiarization.reconstruct(pipeline, case.segmentation, clusters, count)
    speakers = count.data[:, 0].astype(int)
    counted = diarizer.reconstruct(case.active, clusters, case.starts, case.frames)
    assert (counted == pipeline.votes[:, : counted.shape[1]]).all()
    found = diarizer.to_diarization(counted, speakers)
    for votes, one, other in zip(pipeline.votes, found, expected.data.astype(bool), strict=True):
        assert sorted(votes[one]) == sorted(votes[other])  # one of several with as many windows


@cases
def test_turns_have_the_same_times(case: Case) -> None:
    clusters = _clustered(case)
    expected = SpeakerDiarization.reconstruct(
        _Reconstruction(), case.segmentation, clusters, _counted(case)
    )
    tracks = SpeakerDiarizationMixin.to_annotation(expected).itertracks(yield_label=True)
    turns = sorted((turn.start, turn.end, label) for turn, _, label in tracks)
    found = sorted(diarizer.to_annotation(expected.data.astype(bool)))
    assert np.array(found) == pytest.approx(np.array(turns))


# -- embeddings ------------------------------------------------------------------------------


def test_wespeakers_network_is_the_same(sound: Sound, tmp_path: Path) -> None:
    model = tiny_pipelines.wespeaker_model()
    tiny_pipelines.unsettle(model)
    network = WeSpeaker(tiny_pipelines.save(model, tmp_path))
    audio = sound.samples[: 4 * SAMPLE_RATE_HZ]
    audio = audio + np.random.default_rng(0).standard_normal(len(audio)).astype(np.float32) * 1e-3
    shifted = np.zeros(399 * 160 + 400, np.float32)  # 25 ms are centred on the 10 ms they stand for
    shifted[120 : 120 + len(audio)] = audio
    waveform = torch.from_numpy(shifted)[None, None]
    mask = np.zeros(50, np.float32)
    mask[3:21] = mask[30:47] = 1
    with torch.inference_mode():
        frames = model.forward_frames(waveform)[0].reshape(2560, 50).numpy().T
        expected = model(waveform, torch.from_numpy(mask)[None])[0].numpy()
    trunk = network.trunk(audio)
    assert trunk.shape == (4 * TRUNK_HZ, network.features)
    assert np.abs(trunk[::4] - frames).max() < 1e-4
    places = np.array([0, 0, 1, 1, 1, 1, 2])  # the nearest ones of 80 ms
    assert (trunk[:7] == trunk[places * 4]).all()
    assert (trunk[-6:] == trunk[196]).all()
    heard = trunk[::4][mask > 0]
    found = network.head(heard.mean(axis=0)[None], heard.std(axis=0, ddof=1)[None])[0]
    assert np.abs(found - expected).max() < 1e-4
    assert np.abs(expected).max() > 0.05


def test_a_whole_recording_goes_through_wespeaker_and_both_clusterings(
    sound: Sound, plda_folder: Path, tmp_path: Path
) -> None:
    segmentation, embedding = tmp_path / "segmentation", tmp_path / "embedding"
    tiny_pipelines.save(tiny_pipelines.whole_segmentation_model(), segmentation)
    tiny_pipelines.save(tiny_pipelines.wespeaker_model(), embedding)
    tiny_pipelines.save_plda(tmp_path / "plda", dimension=256)
    speech = [Span(0.0, sound.duration)]
    for plda in (None, tmp_path / "plda"):
        loaded = load_diarizer(segmentation, embedding, "wespeaker", "cpu", 1, plda)
        assert loaded.name == "onnx segmentation-3.0 wespeaker-voxceleb-resnet34-LM"
        found = loaded.diarize(sound, speech, Options(max_speakers=2), lambda _share: None)
        labels = {turn.speaker for turn in found.turns}
        assert {"SPEAKER_00"} <= labels <= {"SPEAKER_00", "SPEAKER_01"}
        for voice in found.voices.values():
            assert voice.model == "wespeaker-voxceleb-resnet34-LM"
            assert np.linalg.norm(voice.vector) == pytest.approx(1, abs=1e-5)
    with pytest.raises(EngineUnavailable, match="is a checkpoint of another network"):
        load_diarizer(segmentation, segmentation, "wespeaker", "cpu", 1)
    with pytest.raises(EngineUnavailable, match="contains no PLDA"):
        load_diarizer(segmentation, embedding, "wespeaker", "cpu", 1, tmp_path)


def test_goldens_are_what_pyannote_says_today(tmp_path: Path) -> None:
    make_stepwise_goldens.main(tmp_path)
    for name in ("stepwise.npz", "wespeaker.npz"):
        with np.load(tmp_path / name) as now, np.load(make_stepwise_goldens.GOLDEN / name) as kept:
            assert sorted(now.files) == sorted(kept.files)
            for array in now.files:
                np.testing.assert_allclose(now[array], kept[array], atol=1e-4, err_msg=array)
