"""The assignment problem: who matches whom at the least cost."""

from collections.abc import Sequence
from itertools import chain
from math import isfinite


def assign(costs: Sequence[Sequence[float]]) -> list[int]:
    """
    Return, for each row, the column it is matched with so that the sum of costs is least.

    Shortest augmenting paths with potentials (Jonker and Volgenant 1987), O(rows^2 columns).

    Args:
        costs: rows of equal length, at least as many columns as rows.

    Raises:
        ValueError: a cost is not a finite number.
    """
    if not all(map(isfinite, chain.from_iterable(costs))):
        raise ValueError("Costs must be finite numbers.")
    rows, columns = len(costs), len(costs[0]) if costs else 0
    row_potential = [0.0] * (rows + 1)
    column_potential = [0.0] * (columns + 1)
    matched = [0] * (columns + 1)  # row matched with each column, counted from 1; 0 is none
    for row in range(1, rows + 1):
        matched[0] = row
        _augment(costs, row_potential, column_potential, matched)
    result = [0] * rows
    for column in range(1, columns + 1):
        if matched[column]:
            result[matched[column] - 1] = column - 1
    return result


def _augment(
    costs: Sequence[Sequence[float]],
    row_potential: list[float],
    column_potential: list[float],
    matched: list[int],
) -> None:
    """Match the row waiting at column 0 along the cheapest path to a free column."""
    columns = len(matched) - 1
    slack = [float("inf")] * (columns + 1)
    came_from = [0] * (columns + 1)
    visited = [False] * (columns + 1)
    at = 0
    while matched[at]:
        visited[at] = True
        row, best, nearest = matched[at], float("inf"), 0
        for column in range(1, columns + 1):
            if visited[column]:
                continue
            cost = costs[row - 1][column - 1] - row_potential[row] - column_potential[column]
            if cost < slack[column]:
                slack[column], came_from[column] = cost, at
            if slack[column] < best:
                best, nearest = slack[column], column
        for column in range(columns + 1):
            if visited[column]:
                row_potential[matched[column]] += best
                column_potential[column] -= best
            else:
                slack[column] -= best
        at = nearest
    while at:
        matched[at] = matched[came_from[at]]
        at = came_from[at]
