"""Turn boundaries from mixtures and the best path."""

import numpy as np

from meet_transcriber.engines.acoustic.resegmentation import best_path, resegment


def _two_voices(frames: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    data = np.random.default_rng(2).standard_normal((2 * frames, 6))
    data[frames:] += 2.0
    return data


def test_no_frame_has_no_path() -> None:
    assert len(best_path(np.zeros((0, 2)), np.zeros(0))) == 0


def test_a_short_doubt_costs_less_than_a_change() -> None:
    scores = np.zeros((30, 2))
    scores[:, 1] = -1.0
    scores[10:13, 1] = 1.0
    assert set(best_path(scores, np.full(30, 10.0))) == {0}


def test_a_change_falls_where_it_is_cheap() -> None:
    costs = np.full(20, 8.0)
    costs[12] = 1.0
    scores = np.zeros((20, 2))
    scores[:8, 0] = scores[12:, 1] = 3.0
    path = best_path(scores, costs)
    assert np.flatnonzero(np.diff(path)).tolist() == [11]


def test_a_wrong_boundary_is_mended() -> None:
    guess = np.repeat([0, 1], [500, 300])
    path = resegment(_two_voices(400), np.zeros(800, dtype=bool), guess, 2, lambda _share: None)
    assert abs(int(np.argmax(path == 1)) - 400) <= 10


def test_frames_without_a_guess_get_a_voice() -> None:
    guess = np.repeat([0, -1, 1], [300, 200, 300])
    path = resegment(_two_voices(400), np.zeros(800, dtype=bool), guess, 2, lambda _share: None)
    assert set(path) == {0, 1}
