"""
Run benchmarks and store their results.

    python -m scripts.bench [NAME...]              those named, or all
    python -m scripts.bench accuracy -- --mixed    one, with its own arguments
    python -m scripts.bench --page                 write docs/benchmarks.md from stored results

A benchmark is a module of `benchmarks/`; a line of its docstring says how to run it. One that
needs an argument (a word in capitals, such as FOLDER) is only listed unless arguments are given.
Results are stored in `bench-results/`, or the folder of `--into`.
"""

import argparse
import ast
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from scripts import bench_page
from scripts.bench_page import Result

ROOT = Path(__file__).parents[1]
NOT_RUN = 3
"""Exit code of a benchmark that cannot run on this machine; it prints the reason."""


class Benchmark(NamedTuple):
    """A module of `benchmarks/`, its summary and how it is run."""

    name: str
    summary: str
    usage: str

    @property
    def needs_argument(self) -> bool:
        """Whether it needs an argument, such as a folder of recordings."""
        return re.search(r"\b[A-Z]{3,}\b", re.sub(r"\[.*?\]", "", self.usage)) is not None


def find(folder: Path) -> list[Benchmark]:
    """The benchmarks of a folder, by name."""
    return [_read(path) for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_")]


def _read(path: Path) -> Benchmark:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or path.stem
    usage = re.search(r"python -m benchmarks\.[^`\n]*", text)
    default = f"python -m benchmarks.{path.stem}"
    return Benchmark(path.stem, text.splitlines()[0], usage.group() if usage else default)


def run(benchmark: Benchmark, arguments: Sequence[str], into: Path) -> int:
    """Run a benchmark with this Python and store its output; returns its exit code."""
    print(f"\n== {benchmark.name}: {benchmark.summary}", flush=True)
    if benchmark.needs_argument and not arguments:
        print(f"   not run: {benchmark.usage}")
        return 0
    load, started = os.getloadavg()[0], time.perf_counter()
    code, output = _run([sys.executable, "-m", f"benchmarks.{benchmark.name}", *arguments])
    if code == 0:
        result = Result(
            name=benchmark.name,
            arguments=list(arguments),
            summary=benchmark.summary,
            date=datetime.now(UTC).date().isoformat(),
            machine=bench_page.machine(),
            load=round(load, 1),
            seconds=round(time.perf_counter() - started),
            output=output,
        )
        bench_page.keep(result, into)
    return 0 if code == NOT_RUN else code


def _run(command: Sequence[str]) -> tuple[int, list[str]]:
    """Run a command and print its lines as they come; returns its exit code and lines."""
    lines = []
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip())
    return process.returncode, lines


def main(words: Sequence[str]) -> int:
    """Run the named benchmarks, or all; returns the highest exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--page", action="store_true", help="write docs/benchmarks.md and end")
    parser.add_argument("--into", type=Path, default=ROOT / "bench-results")
    at = words.index("--") if "--" in words else len(words)
    args, arguments = parser.parse_args(words[:at]), words[at + 1 :]
    if args.page:
        bench_page.write(args.into, ROOT / "docs" / "benchmarks.md")
        return 0
    known = find(ROOT / "benchmarks")
    missing = set(args.names) - {each.name for each in known}
    if missing or (arguments and len(args.names) != 1):
        problem = f"There is no benchmark {', '.join(sorted(missing))}" if missing else ""
        print(f"{problem or 'Arguments are for one benchmark'}; there are:", file=sys.stderr)
        print(*(each.name for each in known), file=sys.stderr)
        return 2
    chosen = [each for each in known if not args.names or each.name in args.names]
    return max((run(each, arguments, args.into) for each in chosen), default=0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
