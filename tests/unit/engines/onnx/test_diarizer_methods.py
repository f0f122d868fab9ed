"""Both methods, from simulated outputs of the networks to turns."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from meet_transcriber.core.transcript import Turn
from meet_transcriber.engines.onnx.diarizer import (
    Method,
    PyannoteMethod,
    Resegmentation,
    SpeakerTurns,
)
from meet_transcriber.engines.onnx.embeddings import l2_normalize
from meet_transcriber.engines.onnx.pooling import SHORT_HOP, SHORT_SECONDS, Embeddings
from meet_transcriber.engines.onnx.pyannote_clustering import Plda
from meet_transcriber.engines.onnx.speaker_segmentation import (
    FRAME_SECONDS,
    Activity,
    count_speakers,
    first_frame,
)

DURATION = 60.0
ANYBODY = (1, 50)
Stretch = tuple[float, float, int]
IN_TURN: Sequence[Stretch] = (
    (2.0, 13.0, 0), (13.5, 26.0, 1), (25.0, 40.0, 2), (41.0, 50.0, 0), (50.5, 59.0, 1),
)  # fmt: skip
SIZE = 16


def _heard(stretches: Sequence[Stretch], step: float) -> tuple[Activity, Embeddings]:
    """Return the output of perfect networks for these stretches."""
    people = 1 + max(who for _, _, who in stretches)
    talking = np.zeros((first_frame(DURATION) + 700, people), np.uint8)
    for start, end, who in stretches:
        talking[first_frame(start) : first_frame(end), who] = 1
    starts = np.arange(0.0, DURATION - 10 + step / 2, step)
    active = np.zeros((len(starts), 589, 3), np.uint8)
    directions = np.eye(SIZE)[:people]
    local = np.full((len(starts), 3, SIZE), 0.01) + np.eye(SIZE)[-1] * 0.1
    draw = np.random.default_rng(0)
    for window, start in enumerate(starts):
        seen = talking[first_frame(start) :][:589]
        for place, who in enumerate(draw.permutation(np.flatnonzero(seen.any(axis=0)))[:3]):
            active[window, :, place] = seen[:, who]
            local[window, place] = directions[who] + draw.standard_normal(SIZE) * 0.05
    frames = int(np.ceil(DURATION / FRAME_SECONDS))
    activity = Activity(starts, active, count_speakers(active, starts, frames))
    alone = (active * (active.sum(axis=2, keepdims=True) == 1)).sum(axis=1) * FRAME_SECONDS
    return activity, Embeddings(local, alone, *_short(talking, directions))


def _short(talking: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    middles = (np.arange(round(DURATION / SHORT_HOP)) + 0.5) * SHORT_HOP
    vectors, heard = np.zeros((len(middles), SIZE)), np.zeros(len(middles))
    for step, middle in enumerate(middles):
        first = first_frame(max(middle - SHORT_SECONDS / 2, 0))
        seen = talking[first : first_frame(middle + SHORT_SECONDS / 2)]
        alone = seen[seen.sum(axis=1) == 1].sum(axis=0)
        vectors[step], heard[step] = alone @ directions, alone.sum() * FRAME_SECONDS
    return l2_normalize(vectors), heard


def _found(
    method: Method, stretches: Sequence[Stretch] = IN_TURN, bounds: tuple[int, int] = ANYBODY
) -> SpeakerTurns:
    return method.find(*_heard(stretches, method.step), bounds, DURATION)


def _plda() -> Plda:
    """Return a PLDA that is the identity."""
    even = np.zeros(SIZE)
    return Plda.from_arrays(
        {"mean1": even, "lda": np.eye(SIZE), "mean2": even},
        {"mu": even, "tr": 6 * np.eye(SIZE), "psi": np.linspace(12.0, 8.0, SIZE)},
    )


METHODS = {
    "resegmented": Resegmentation(),
    "like_3_1": PyannoteMethod(),
    "like_community_1": PyannoteMethod(_plda()),
}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
stepwise = pytest.mark.parametrize("method", list(METHODS.values())[1:], ids=list(METHODS)[1:])


def _times(turns: Sequence[Turn]) -> list[tuple[float, float, str]]:
    return [(round(turn.start, 1), round(turn.end, 1), turn.speaker) for turn in turns]


@every_method
def test_people_who_take_turns_are_distinguished(method: Method) -> None:
    found = _found(method)
    for start, end, who in IN_TURN:
        middle = (start + end) / 2
        (label,) = {turn.speaker for turn in found.exclusive if turn.start < middle < turn.end}
        assert label == f"SPEAKER_0{who}"


@stepwise
def test_turns_begin_and_end_when_people_do(method: Method) -> None:
    found = _times(_found(method).turns)
    assert found == [(start, end, f"SPEAKER_0{who}") for start, end, who in IN_TURN]


@every_method
def test_turns_overlap_and_exclusive_ones_do_not(method: Method) -> None:
    found = _found(method)
    assert any(one.end > other.start + 0.5 for one, other in pairwise(found.turns))
    for one, other in pairwise(found.exclusive):
        assert one.end <= other.start + 1e-6


@every_method
def test_labels_have_the_embeddings_of_their_speakers(method: Method) -> None:
    found = _found(method)
    assert list(found.vectors) == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_02"]
    for who, vector in enumerate(found.vectors.values()):
        assert np.linalg.norm(vector) == pytest.approx(1)
        assert vector[who] > 0.9


@every_method
def test_silence_has_no_speakers(method: Method) -> None:
    activity, voices = _heard(IN_TURN, method.step)
    silent = replace(
        activity, active=np.zeros_like(activity.active), count=np.zeros_like(activity.count)
    )
    assert method.find(silent, voices, ANYBODY, DURATION) == SpeakerTurns()


@every_method
def test_one_person_is_one_speaker_whatever_the_maximum(method: Method) -> None:
    found = _found(method, [(1.0, 30.0, 0), (33.0, 58.0, 0)], (1, 4))
    assert {turn.speaker for turn in found.turns} == {"SPEAKER_00"}


@stepwise
@pytest.mark.parametrize("wanted", [1, 2, 4, 5])
def test_the_requested_number_of_labels_is_found(method: Method, wanted: int) -> None:
    found = _found(method, bounds=(wanted, wanted))
    assert len({turn.speaker for turn in found.turns}) == wanted
    assert len(found.vectors) == wanted


@stepwise
def test_no_turn_extends_beyond_the_end(method: Method) -> None:
    found = _found(method, [(2.0, 30.0, 0), (31.0, 70.0, 1)])
    assert max(turn.end for turn in found.turns) == pytest.approx(DURATION, abs=0.05)
    assert max(turn.end for turn in found.turns) <= DURATION


def test_a_speaker_who_never_talks_alone_has_turns_but_no_embedding() -> None:
    found = _found(PyannoteMethod(), [(2.0, 12.0, 0), (2.0, 12.0, 1)])
    assert {turn.speaker for turn in found.turns} == {"SPEAKER_00", "SPEAKER_01"}
    assert not found.vectors


def test_windows_may_be_missing_where_nobody_talks() -> None:
    stretches = [(2.0, 12.0, 0), (45.0, 58.0, 1)]
    activity, voices = _heard(stretches, 1.0)
    kept = activity.active.any(axis=(1, 2))
    assert not kept.all()
    fewer = replace(activity, starts=activity.starts[kept], active=activity.active[kept])
    heard = replace(voices, local=voices.local[kept], local_seconds=voices.local_seconds[kept])
    found = PyannoteMethod().find(fewer, heard, ANYBODY, DURATION)
    assert _times(found.turns) == [(2.0, 12.0, "SPEAKER_00"), (45.0, 58.0, "SPEAKER_01")]
