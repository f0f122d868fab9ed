"""The assignment solver against scipy's and against every permutation."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from meet_transcriber.core.scoring import assign


def _cost(costs: list[list[int]], columns: list[int]) -> int:
    return sum(row[column] for row, column in zip(costs, columns, strict=True))


@st.composite
def tables(draw: st.DrawFn) -> list[list[int]]:
    rows = draw(st.integers(1, 5))
    row = st.lists(st.integers(-9, 9), min_size=rows, max_size=rows)
    return draw(st.lists(row, min_size=rows, max_size=rows))


def test_nobody_is_assigned_to_nobody() -> None:
    assert assign([]) == []


@given(tables())
def test_no_permutation_costs_less(costs: list[list[int]]) -> None:
    columns = assign(costs)
    assert sorted(columns) == list(range(len(costs)))
    best = min(_cost(costs, list(order)) for order in permutations(range(len(costs))))
    assert _cost(costs, columns) == best


@pytest.mark.parametrize("shape", [(1, 40), (30, 30), (20, 50)])
def test_large_tables_cost_what_scipy_finds(shape: tuple[int, int]) -> None:
    costs = np.random.default_rng(7).normal(size=shape)
    found = sum(costs[row][column] for row, column in enumerate(assign(costs.tolist())))
    assert found == pytest.approx(costs[linear_sum_assignment(costs)].sum())


@pytest.mark.parametrize("cost", [float("nan"), float("inf")])
def test_a_cost_that_is_no_finite_number_is_refused(cost: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        assign([[1.0, cost], [0.0, 1.0]])
