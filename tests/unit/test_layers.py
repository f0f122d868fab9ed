"""The arrows of docs/architecture.md, read from every import in the source."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = "meet_transcriber"
SOURCE = Path(__file__).parents[2] / "src" / PACKAGE

# package -> the other packages it may import. Add a new package here and in the drawing.
MAY_IMPORT = {
    "core": set[str](),
    "observability": {"core"},
    "ports": {"core"},
    "samples": set[str](),
    "page": set[str](),
    "audio": {"core", "ports", "observability"},
    "engines": {"core", "ports", "observability"},
    "stores": {"core", "ports", "observability"},
    "queues": {"core", "ports", "observability"},
    "outbound": {"core", "ports", "observability"},
    "auth": {"core", "ports", "observability"},
    "settings": {"core"},
    "pipeline": {"core", "ports", "observability"},
    "service": {"core", "ports", "observability", "pipeline"},
    "bootstrap": {
        "core",
        "ports",
        "audio",
        "engines",
        "stores",
        "queues",
        "outbound",
        "auth",
        "settings",
        "pipeline",
        "service",
        "observability",
    },
    "api": {
        "core",
        "ports",
        "observability",
        "settings",
        "service",
        "bootstrap",
        "samples",
        "__init__",
    },
    "worker": {"core", "ports", "observability", "settings", "service", "bootstrap"},
    "cli": {
        "core",
        "ports",
        "settings",
        "pipeline",
        "service",
        "bootstrap",
        "api",
        "worker",
        "samples",
        "__init__",
    },
    "library": {"core", "settings", "pipeline", "bootstrap"},
    "__init__": {"core", "library"},
    "__main__": {"cli"},
}
# third party -> the packages that may import it; numpy is everywhere but in core.
LIVES_IN = {
    "av": {"audio"},
    "onnxruntime": {"audio", "engines"},
    "ctranslate2": {"engines"},
    "faster_whisper": {"engines"},
    "huggingface_hub": {"engines"},
    "opencc": {"engines"},
    "pyannote": {"engines"},
    "tokenizers": {"engines"},
    "tqdm": {"engines"},
    "torch": {"engines"},
    "torchaudio": {"engines"},
    "yaml": {"engines"},
    "celery": {"queues", "worker"},
    "kombu": {"queues", "worker"},
    "anyio": {"api"},
    "fastapi": {"api"},
    "starlette": {"api"},
    "python_multipart": {"api"},
    "uvicorn": {"api", "cli"},
    "httpx": {"outbound", "cli", "settings"},
    "httpcore": {"outbound"},
    "monocypher": {"auth"},
    "obstore": {"stores"},
    "redis": {"stores"},
    "structlog": {"observability"},
    "boto3": {"observability"},
    "watchtower": {"observability"},
    "prometheus_client": {"observability", "bootstrap"},
    "pynvml": {"observability"},
    "opentelemetry": {"observability"},
    "pydantic": {"settings", "stores", "audio", "cli", "api"},
    "pydantic_core": {"stores"},
    "pydantic_settings": {"settings"},
    "azure": {"settings"},
    "botocore": {"settings", "observability"},
    "google": {"settings"},
    "click": {"cli"},
    "rich": {"cli"},
    "typer": {"cli"},
    "numpy": set(MAY_IMPORT) - {"core"},
}
ADAPTERS = {"audio", "engines", "stores", "queues", "outbound", "auth"}


class Import(NamedTuple):
    """One imported module: where, what, and whether importing the file already loads it."""

    file: str
    package: str
    target: str
    at_import: bool

    @property
    def target_package(self) -> str | None:
        """The package of this package that is imported; None for other packages."""
        parts = self.target.split(".")
        if parts[0] != PACKAGE:
            return None
        return parts[1] if len(parts) > 1 else "__init__"


def _targets(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute here"
        if node.module == PACKAGE:
            return [_submodule(alias.name) for alias in node.names]
        return [node.module or ""]
    return []


def _submodule(name: str) -> str:
    is_module = (SOURCE / f"{name}.py").exists() or (SOURCE / name).is_dir()
    return f"{PACKAGE}.{name}" if is_module else PACKAGE


def _walk(node: ast.AST, at_import: bool = True) -> Iterator[tuple[str, bool]]:
    for child in ast.iter_child_nodes(node):
        for target in _targets(child):
            yield target, at_import
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        inside = inside or (isinstance(child, ast.If) and _for_types(child))
        yield from _walk(child, at_import and not inside)


def _for_types(condition: ast.If) -> bool:
    return isinstance(condition.test, ast.Name) and condition.test.id == "TYPE_CHECKING"


def _imports() -> Iterator[Import]:
    for path in sorted(SOURCE.rglob("*.py")):
        relative = path.relative_to(SOURCE)
        package = relative.parts[0].removesuffix(".py")
        for target, at_import in _walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield Import(str(relative), package, target, at_import)


IMPORTS = list(_imports())


def test_every_package_has_a_rule() -> None:
    packages = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert packages - {"__pycache__", "py"} <= set(MAY_IMPORT)


def test_no_import_points_back() -> None:
    wrong = [
        f"{found.file} imports {found.target}"
        for found in IMPORTS
        if found.target_package not in {None, found.package} | MAY_IMPORT[found.package]
    ]
    assert wrong == []


def test_a_third_party_lives_in_one_place() -> None:
    wrong = [
        f"{found.file} imports {found.target}"
        for found in IMPORTS
        if found.target_package is None
        and (package := found.target.split(".")[0]) not in sys.stdlib_module_names
        and found.package not in LIVES_IN.get(package, set())
    ]
    assert wrong == []


def test_core_needs_the_standard_library_only() -> None:
    foreign = {f.target for f in IMPORTS if f.package == "core" and f.target_package is None}
    assert {name.split(".")[0] for name in foreign} <= sys.stdlib_module_names


def test_bootstrap_imports_adapters_inside_functions() -> None:
    eager = [f for f in IMPORTS if f.package == "bootstrap" and f.target_package in ADAPTERS]
    assert [f.target for f in eager if f.at_import] == []


@pytest.mark.parametrize("adapter", sorted(ADAPTERS))
def test_the_rules_name_rooms_that_exist(adapter: str) -> None:
    assert (SOURCE / adapter / "__init__.py").is_file()


@pytest.mark.parametrize("module", [PACKAGE, f"{PACKAGE}.api.main"])
def test_neither_the_package_nor_the_api_loads_an_engine(module: str, tmp_path: Path) -> None:
    heavy = {
        *("av", "ctranslate2", "faster_whisper", "numpy", "onnxruntime", "opencc", "torch"),
        f"{PACKAGE}.pipeline",
    }
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    shown = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "DATA_DIR": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("module", [PACKAGE, f"{PACKAGE}.audio.sandbox.forkserver"])
def test_what_the_children_that_decode_import_first_needs_no_third_party(module: str) -> None:
    code = (
        f"import sys; before = {{*sys.modules}}; import {module}; print(*{{*sys.modules}} - before)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in shown.stdout.split()}
    assert loaded - sys.stdlib_module_names == {PACKAGE}
