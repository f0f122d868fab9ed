"""The code keeps to the rules that CONTRIBUTING.md names: functions, types, layers."""

import ast
import sys
import threading
import types
from pathlib import Path

import pytest

from scripts.code_metrics import (
    ROOT,
    FunctionNode,
    comment_lines,
    find_cycle,
    imports,
    is_fully_typed,
    measure,
    patches_in,
    upward_imports,
)
from scripts.request_trace import CallTrace

FOLDERS = ["src", "tests", "benchmarks", "scripts"]
MOST_MEDIAN_LINES = 8


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


def test_half_of_the_functions_have_at_most_eight_lines() -> None:
    lengths = [each.lines for each in measure(ROOT / "src").functions]
    assert sum(length <= MOST_MEDIAN_LINES for length in lengths) >= len(lengths) / 2


def test_tests_rarely_patch() -> None:
    style = measure(ROOT / "tests")
    assert style.patches <= style.tests * 0.02


def test_imports_have_no_cycle_and_follow_the_layers() -> None:
    graph = imports(ROOT / "src" / "meet_transcriber")
    assert len(graph) > 100
    assert find_cycle(graph) == []
    assert upward_imports(graph, ROOT / "pyproject.toml") == []


def test_a_function_is_typed_when_all_parameters_but_self_are() -> None:
    assert is_fully_typed(_function("def f(self, a: int, *b: str) -> None: ..."))
    assert not is_fully_typed(_function("def f(a, b: int) -> None: ..."))
    assert not is_fully_typed(_function("def f(a: int): ..."))


def test_patches_are_counted_by_use() -> None:
    source = "def test_x(monkeypatch):\n monkeypatch.setattr(a, 'b', 1)\n mock.patch('c')\n d()"
    assert patches_in(_function(source)) == 2


def test_comments_are_counted_without_directives(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("# why\nx = '# no'  # noqa: E501\ny = 1  # because\n")
    assert comment_lines(path) == 2


def test_an_empty_folder_has_no_functions(tmp_path: Path) -> None:
    assert measure(tmp_path).functions == []


def test_public_names_and_repeated_file_names_are_counted(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "keys.py").write_text('"""Keys."""\ndef f(): ...\ndef _g(): ...\n')
    style = measure(tmp_path)
    assert (style.documented, style.public) == (2, 4)
    assert style.repeated_names == {"keys.py": 2}


def test_a_cycle_and_an_upward_import_are_found(tmp_path: Path) -> None:
    source = tmp_path / "pkg"
    for name, text in {"api": "from pkg.core import x", "core": "import pkg.api"}.items():
        (source / name).mkdir(parents=True)
        (source / name / "__init__.py").write_text(text)
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text('[[tool.importlinter.contracts]]\nlayers = ["(pkg.api)", "pkg.core"]')
    graph = imports(source)
    assert set(find_cycle(graph)) == {"pkg.api", "pkg.core"}
    assert upward_imports(graph, pyproject) == ["pkg.core -> pkg.api"]


def test_a_trace_counts_modules_and_calls_between_them_in_every_thread() -> None:
    inner, outer = types.ModuleType("traced.inner"), types.ModuleType("traced.outer")
    exec("def steps():\n yield 1\n yield 2", inner.__dict__)
    exec("def run(): return list(steps()) + [n for n in steps()]", outer.__dict__)
    outer.__dict__["steps"] = inner.__dict__["steps"]
    before = sys.getprofile()
    trace = CallTrace("traced")
    try:
        with trace.counting():
            thread = threading.Thread(target=outer.__dict__["run"])
            thread.start()
            thread.join()
    finally:
        trace.close()
    assert trace.modules == {"traced.inner", "traced.outer"}
    assert trace.calls == 2  # a generator that goes on is not called again
    assert sys.getprofile() is before
