"""Print the size and structure of the code: `python -m scripts.code_metrics [--no-trace]`.

Measures the tree that `meet_transcriber` is imported from, so `PYTHONPATH=OTHER/src` measures
another checkout. A function's length is its lines from `def` to its end, docstring included.
Patches are uses of `monkeypatch`, `mocker` and `mock.patch`. Unless `--no-trace` is given, the
API runs with its embedded worker, and the modules that two requests enter are counted
(`scripts/request_trace.py`).
"""

import argparse
import ast
import graphlib
import importlib.util
import tokenize
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGE = "meet_transcriber"
FOLDERS = ("src", "tests", "benchmarks", "scripts")
LONG_FUNCTION_LINES = 50
PATCHERS = {"monkeypatch", "mocker", "mock"}
PRAGMAS = ("noqa", "type:", "fmt:", "pragma", "shellcheck")

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
    public: int
    documented: int

    @property
    def lines(self) -> int:
        """Lines of all modules."""
        return sum(each.lines for each in self.modules)

    @property
    def long_functions(self) -> list[Measured]:
        """Functions over `LONG_FUNCTION_LINES`."""
        return [each for each in self.functions if each.lines > LONG_FUNCTION_LINES]

    @property
    def repeated_names(self) -> dict[str, int]:
        """File names that occur in two or more packages, and how often; no `__init__`."""
        names = Counter(Path(each.name).name for each in self.modules)
        return {name: n for name, n in sorted(names.items()) if n > 1 and name[0] != "_"}


def measure(folder: Path) -> Style:
    """Read every Python file below `folder`."""
    modules: list[Measured] = []
    functions: list[Measured] = []
    typed = tests = patches = public = documented = 0
    for path in sorted(folder.rglob("*.py")):
        tree, name = _parse(path), path.relative_to(folder).as_posix()
        modules.append(Measured(len(path.read_text(encoding="utf-8").splitlines()), name))
        documentable = list(_public(tree))
        public += len(documentable)
        documented += sum(ast.get_docstring(node) is not None for node in documentable)
        for node in _functions(tree):
            functions.append(Measured(_length(node), f"{name}::{node.name}"))
            typed += is_fully_typed(node)
            if node.name.startswith("test_"):
                tests += 1
                patches += patches_in(node)
    return Style(modules, functions, typed, tests, patches, public, documented)


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


def comment_lines(path: Path) -> int:
    """Lines with a comment; directives for tools are no comments."""
    with path.open("rb") as file:
        texts = [t.string for t in tokenize.tokenize(file.readline) if t.type == tokenize.COMMENT]
    return sum(not text.lstrip("#! ").startswith(PRAGMAS) for text in texts)


def imports(source: Path) -> dict[str, set[str]]:
    """Module -> modules of the package that it imports, inside functions too."""
    files = {_module_name(path, source): path for path in sorted(source.rglob("*.py"))}
    return {name: _imported(path, files.keys()) - {name} for name, path in files.items()}


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    """One import cycle; an empty list if there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def upward_imports(graph: dict[str, set[str]], pyproject: Path) -> list[str]:
    """Imports against the layers that import-linter's first contract names in `pyproject`."""
    settings = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    rank = {
        part.strip("() "): position
        for position, layer in enumerate(layers)
        for part in layer.split("|")
    }
    found = []
    for module, targets in graph.items():
        for target in targets:
            start, end = _layer(module), _layer(target)
            if start != end and start in rank and end in rank and rank[start] >= rank[end]:
                found.append(f"{module} -> {target}")
    return sorted(found)


def _layer(module: str) -> str:
    return ".".join(module.split(".")[:2])


def _imported(path: Path, known: Set[str]) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(_parse(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & known
            names.update(inner or {node.module})
    return names & known


def _module_name(path: Path, source: Path) -> str:
    parts = path.relative_to(source.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _root(call: ast.expr) -> str:
    while isinstance(call, ast.Attribute):
        call = call.value
    return call.id if isinstance(call, ast.Name) else ""


def _functions(tree: ast.AST) -> Iterator[FunctionNode]:
    return (node for node in ast.walk(tree) if isinstance(node, FunctionNode))


def _public(
    tree: ast.Module | ast.ClassDef,
) -> Iterator[ast.Module | ast.ClassDef | FunctionNode]:
    """Modules, classes, functions and methods whose names do not start with an underscore."""
    yield tree
    for node in tree.body:
        if isinstance(node, FunctionNode | ast.ClassDef) and not node.name.startswith("_"):
            yield from _public(node) if isinstance(node, ast.ClassDef) else (node,)


def _length(node: FunctionNode) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _longest(measured: Sequence[Measured]) -> str:
    top = max(measured, default=Measured(0, "-"))
    return f"{top.lines} ({top.name})"


def _size_rows(style: Style) -> list[tuple[str, str]]:
    short = [sum(each.lines < limit for each in style.modules) for limit in (40, 25)]
    return [
        ("modules", str(len(style.modules))),
        ("lines", str(style.lines)),
        ("median module, lines", f"{median(each.lines for each in style.modules):g}"),
        ("longest module, lines", _longest(style.modules)),
        ("modules under 40 lines", str(short[0])),
        ("modules under 25 lines", str(short[1])),
        ("functions", str(len(style.functions))),
        ("median function, lines", f"{median(each.lines for each in style.functions):g}"),
        ("longest function, lines", _longest(style.functions)),
        ("functions over 50 lines", ", ".join(e.name for e in style.long_functions) or "none"),
    ]


def _quality_rows(style: Style) -> list[tuple[str, str]]:
    repeated = ", ".join(f"{name} {n}" for name, n in style.repeated_names.items())
    names = ("file names in 2 packages", f"{len(style.repeated_names)}: {repeated}")
    patches = f"{style.patches / style.tests:.3f}" if style.tests else "-"
    return [
        ("fully typed functions", f"{style.typed / len(style.functions):.1%}"),
        ("public names documented", f"{style.documented / style.public:.1%}"),
        *((("tests", str(style.tests)), ("patches per test", patches)) if style.tests else [names]),
    ]


def _print(title: str, rows: Sequence[tuple[str, str]]) -> None:
    print(title)
    for label, value in rows:
        print(f"  {label:26}{value}")


def main() -> None:
    """Print one table per folder that holds functions, the imports, and the traces."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-trace", action="store_true", help="do not start the service")
    asked = parser.parse_args()
    found = importlib.util.find_spec(PACKAGE)
    assert found is not None
    assert found.origin is not None
    source = Path(found.origin).parent
    root = source.parents[1]
    for name in FOLDERS:
        style = measure(root / name)
        if style.functions:
            comments = sum(comment_lines(path) for path in (root / name).rglob("*.py"))
            share = ("lines with a comment", f"{comments / style.lines:.1%}")
            _print(f"{name}/", [*_size_rows(style), *_quality_rows(style), share])
    graph = imports(source)
    upward = upward_imports(graph, root / "pyproject.toml")
    cycle = " -> ".join(find_cycle(graph))
    _print("imports", [("cycle", cycle or "none"), ("upward", ", ".join(upward) or "none")])
    if not asked.no_trace:
        from scripts import request_trace  # noqa: PLC0415 - starts the service

        _print("modules entered", request_trace.rows())


if __name__ == "__main__":
    main()
