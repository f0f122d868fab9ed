from pathlib import Path

from scripts.bench import find


def _benchmark(folder: Path, name: str, docstring: str) -> None:
    (folder / f"{name}.py").write_text(f'"""{docstring}"""\n')


def test_a_benchmark_is_a_module_with_a_summary(tmp_path: Path) -> None:
    _benchmark(tmp_path, "memory", "Peak memory of long recordings.")
    _benchmark(tmp_path, "__init__", "Not one.")
    assert [(each.name, each.summary) for each in find(tmp_path)] == [
        ("memory", "Peak memory of long recordings.")
    ]


def test_a_benchmark_that_needs_a_folder_says_so_in_its_usage(tmp_path: Path) -> None:
    _benchmark(tmp_path, "a", "A.\n\nRun: python -m benchmarks.a FOLDER [x=1]")
    _benchmark(tmp_path, "b", "B.\n\nRun: python -m benchmarks.b [FOLDER]")
    assert [each.needs_argument for each in find(tmp_path)] == [True, False]
