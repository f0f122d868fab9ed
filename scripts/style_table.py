"""How the code looks in numbers: `python -m scripts.style_table`.

A function's length is its lines from `def` to its end, docstring included; a module's is
its lines. Patches are uses of `monkeypatch`, `mocker` and `mock.patch`.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
LONG_FUNCTION_LINES = 50
FOLDERS = ("src", "tests", "benchmarks", "scripts")
PATCHERS = {"monkeypatch", "mocker", "mock"}

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


class Measured(NamedTuple):
    """A function or module: how long it is and where."""

    lines: int
    name: str


@dataclass(frozen=True)
class Style:
    """What is measured of one folder's Python files."""

    modules: Sequence[Measured]
    functions: Sequence[Measured]
    typed: int
    tests: int
    patches: int

    @property
    def long_functions(self) -> list[Measured]:
        """Functions over `LONG_FUNCTION_LINES`."""
        return [each for each in self.functions if each.lines > LONG_FUNCTION_LINES]


def measure(folder: Path) -> Style:
    """Read every Python file below `folder`."""
    modules: list[Measured] = []
    functions: list[Measured] = []
    typed = tests = patches = 0
    for path in sorted(folder.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        name = path.relative_to(folder).as_posix()
        modules.append(Measured(len(source.splitlines()), name))
        for node in _functions(ast.parse(source)):
            functions.append(Measured(_length(node), f"{name}::{node.name}"))
            typed += is_fully_typed(node)
            if node.name.startswith("test_"):
                tests += 1
                patches += patches_in(node)
    return Style(modules, functions, typed, tests, patches)


def is_fully_typed(node: FunctionNode) -> bool:
    """Whether every parameter but `self` and `cls`, and the result, has an annotation."""
    every = node.args
    named = [*every.posonlyargs, *every.args, *every.kwonlyargs, every.vararg, every.kwarg]
    asked = [each for each in named if each is not None and each.arg not in {"self", "cls"}]
    return node.returns is not None and all(each.annotation is not None for each in asked)


def patches_in(node: FunctionNode) -> int:
    """Calls such as `monkeypatch.setattr(...)`, `mock.patch(...)` and `patch(...)`."""
    calls = [each.func for each in ast.walk(node) if isinstance(each, ast.Call)]
    return sum(_root(call) in PATCHERS or _root(call) == "patch" for call in calls)


def _root(call: ast.expr) -> str:
    while isinstance(call, ast.Attribute):
        call = call.value
    return call.id if isinstance(call, ast.Name) else ""


def _functions(tree: ast.AST) -> Iterator[FunctionNode]:
    return (node for node in ast.walk(tree) if isinstance(node, FunctionNode))


def _length(node: FunctionNode) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _longest(measured: Sequence[Measured]) -> str:
    top = max(measured, default=Measured(0, "-"))
    return f"{top.lines} ({top.name})"


def _rows(style: Style) -> list[tuple[str, str]]:
    tests = max(style.tests, 1)
    return [
        ("modules", str(len(style.modules))),
        ("median module, lines", f"{median(each.lines for each in style.modules):g}"),
        ("longest module, lines", _longest(style.modules)),
        ("functions", str(len(style.functions))),
        ("median function, lines", f"{median(each.lines for each in style.functions):g}"),
        ("longest function, lines", _longest(style.functions)),
        ("functions over 50 lines", ", ".join(e.name for e in style.long_functions) or "none"),
        ("fully typed functions", f"{style.typed / len(style.functions):.1%}"),
        ("tests", str(style.tests)),
        ("patches per test", f"{style.patches / tests:.3f}" if style.tests else "-"),
    ]


def main() -> None:
    """Print one table per folder that holds functions."""
    for name in FOLDERS:
        style = measure(ROOT / name)
        if style.functions:
            print(f"{name}/")
            for label, value in _rows(style):
                print(f"  {label:26}{value}")


if __name__ == "__main__":
    main()
