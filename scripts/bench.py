"""Run the benchmarks: `python -m scripts.bench [NAME...]`, all of them without a name.

A benchmark is a module of `benchmarks/`; its docstring says in one line how to run it. One
that wants an argument (a word in capitals, such as FOLDER) is listed and left to its reader.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Benchmark(NamedTuple):
    """A module of `benchmarks/`, its summary and how it is run."""

    name: str
    summary: str
    usage: str

    @property
    def wants_argument(self) -> bool:
        """Whether it cannot run without something that only its reader has."""
        return re.search(r"\b[A-Z]{3,}\b", re.sub(r"\[.*?\]", "", self.usage)) is not None


def find(folder: Path) -> list[Benchmark]:
    """The benchmarks of a folder, by name."""
    return [_read(path) for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_")]


def _read(path: Path) -> Benchmark:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or path.stem
    usage = re.search(r"python -m benchmarks\.[^`\n]*", text)
    default = f"python -m benchmarks.{path.stem}"
    return Benchmark(path.stem, text.splitlines()[0], usage.group() if usage else default)


def run(benchmark: Benchmark) -> int:
    """Run one with this Python and return its exit code; one that wants an argument is named."""
    print(f"\n== {benchmark.name}: {benchmark.summary}", flush=True)
    if benchmark.wants_argument:
        print(f"   not run here: {benchmark.usage}")
        return 0
    command = [sys.executable, "-m", f"benchmarks.{benchmark.name}"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def main(names: list[str]) -> int:
    """Run the benchmarks named, or all; the exit code is the worst of theirs."""
    known = find(ROOT / "benchmarks")
    missing = set(names) - {each.name for each in known}
    if missing:
        print(f"There is no benchmark {', '.join(sorted(missing))}; there are:", file=sys.stderr)
        print(*(each.name for each in known), file=sys.stderr)
        return 2
    return max((run(each) for each in known if not names or each.name in names), default=0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
