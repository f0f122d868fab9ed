"""The code keeps to the sizes that CONTRIBUTING.md names."""

import ast
from pathlib import Path

import pytest

from scripts.style_table import ROOT, FunctionNode, is_fully_typed, measure, patches_in

FOLDERS = ["src", "tests", "benchmarks", "scripts"]


def _function(source: str) -> FunctionNode:
    node = ast.parse(source).body[0]
    assert isinstance(node, FunctionNode)
    return node


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_function_is_over_fifty_lines(folder: str) -> None:
    assert measure(ROOT / folder).long_functions == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_function_is_fully_typed(folder: str) -> None:
    style = measure(ROOT / folder)
    assert style.typed == len(style.functions)


def test_most_functions_are_under_ten_lines() -> None:
    lengths = [each.lines for each in measure(ROOT / "src").functions]
    assert sum(length < 10 for length in lengths) > len(lengths) / 2


def test_tests_hardly_patch() -> None:
    style = measure(ROOT / "tests")
    assert style.patches <= style.tests * 0.02


def test_a_function_is_typed_when_all_but_self_is() -> None:
    assert is_fully_typed(_function("def f(self, a: int, *b: str) -> None: ..."))
    assert not is_fully_typed(_function("def f(a, b: int) -> None: ..."))
    assert not is_fully_typed(_function("def f(a: int): ..."))


def test_patches_are_counted_by_use() -> None:
    source = "def test_x(monkeypatch):\n monkeypatch.setattr(a, 'b', 1)\n mock.patch('c')\n d()"
    assert patches_in(_function(source)) == 2


def test_an_empty_folder_measures_as_nothing(tmp_path: Path) -> None:
    assert measure(tmp_path).functions == []
