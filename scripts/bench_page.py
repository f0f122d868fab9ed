"""Results of benchmarks: stored as JSON with machine and date, and rendered as a page."""

import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from meet_transcriber.ports.engines import usable_cores

_LEAD = """\
# Benchmarks

Measurements with their machine and date. Each section is the unedited output of its command.
`make bench` runs all benchmarks, `make bench NAME=recognition` one, and
`python -m scripts.bench --page` writes this page from the results; sections without a new result
stay unchanged. Figures depend on the machine: measure on the one you will use.
"""


@dataclass(frozen=True)
class Result:
    """
    The result of one run of a benchmark.

    Attributes:
        arguments: of the benchmark.
        date: ISO 8601.
        machine: see `machine`.
        load: average number of running processes in the minute before.
        seconds: duration of the run.
        output: printed lines.
    """

    name: str
    arguments: list[str]
    summary: str
    date: str
    machine: str
    load: float
    seconds: int
    output: list[str]

    @property
    def title(self) -> str:
        """The name, with arguments."""
        return " ".join([self.name, *map(_shown, self.arguments)])

    @property
    def command(self) -> str:
        """The command that runs it again."""
        if not self.arguments:
            return f"make bench NAME={self.name}"
        arguments = " ".join(map(_shown, self.arguments))
        return f"python -m scripts.bench {self.name} -- {arguments}"


def _shown(argument: str) -> str:
    """An argument as the page shows it; absolute paths are cut to their last part."""
    return Path(argument).name if Path(argument).is_absolute() else argument


def machine() -> str:
    """Processor, cores, memory, GPU and Python of this machine."""
    parts = [_processor(), f"{usable_cores()} cores", _memory(), *_gpus()]
    return ", ".join([*filter(None, parts), f"Python {platform.python_version()}"])


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    return found.group(1).strip() if found else platform.processor() or platform.machine()


def _memory() -> str:
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{size / (1 << 30):.0f} GiB"


def _gpus() -> list[str]:
    """Names of GPUs, from nvidia-smi."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return [f"{line} driver" for line in done.stdout.splitlines()] if done.returncode == 0 else []


def keep(result: Result, folder: Path) -> None:
    """Store a result; replaces an earlier one of the same command."""
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w.]+", "-", result.title).strip("-")
    text = json.dumps(asdict(result), indent=1, ensure_ascii=False)
    (folder / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


def write(results: Path, page: Path) -> None:
    """Write the page: a section for each result, and its existing sections of others."""
    before = page.read_text(encoding="utf-8") if page.exists() else ""
    sections = dict(_sections(before))
    for path in results.glob("*.json"):
        result = Result(**json.loads(path.read_text(encoding="utf-8")))
        sections[result.title] = section(result)
    text = "\n".join([_LEAD, *(sections[title] for title in sorted(sections))])
    page.write_text(text, encoding="utf-8")


def section(result: Result) -> str:
    """One result as Markdown."""
    output = "\n".join(result.output).strip("\n")
    return (
        f"## {result.title}\n\n{result.summary}\n\n"
        f"`{result.command}`, {result.date}, {result.seconds} s. {result.machine}; load "
        f"{result.load} in the minute before.\n\n```text\n{output}\n```\n"
    )


def _sections(page: str) -> Iterator[tuple[str, str]]:
    """Title and text of every section of a page."""
    for text in re.split(r"^(?=## )", page, flags=re.MULTILINE)[1:]:
        title = text.partition("\n")[0].removeprefix("## ")
        yield title, text.rstrip("\n") + "\n"
