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

What was measured, on which machine and when. A section is what the command in it printed, and
nothing else. `make bench` runs them all, `make bench NAME=recognition` one, and
`python -m scripts.bench --page` writes this page from the results; a section whose benchmark was
not run again stays as it was. Another machine gives other figures: measure where it will run.
"""


@dataclass(frozen=True)
class Result:
    """
    What one run of a benchmark said.

    Attributes:
        arguments: its own, as they were given.
        date: ISO 8601.
        machine: see `machine`.
        load: of the machine in the minute before, in processes.
        seconds: that it took.
        output: its lines.
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
        """What runs it again."""
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
    """Names of GPUs, as the driver's program tells them."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return [f"{line} driver" for line in done.stdout.splitlines()] if done.returncode == 0 else []


def keep(result: Result, folder: Path) -> None:
    """Write a result, in place of an earlier one of the same command."""
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w.]+", "-", result.title).strip("-")
    text = json.dumps(asdict(result), indent=1, ensure_ascii=False)
    (folder / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


def write(results: Path, page: Path) -> None:
    """Write the page: a section for each result, and those that it had of others."""
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
        f"`{result.command}`, {result.date}, {result.seconds} s. {result.machine}; the load of the "
        f"minute before was {result.load}.\n\n```text\n{output}\n```\n"
    )


def _sections(page: str) -> Iterator[tuple[str, str]]:
    """Title and text of every section of a page."""
    for text in re.split(r"^(?=## )", page, flags=re.MULTILINE)[1:]:
        title = text.partition("\n")[0].removeprefix("## ")
        yield title, text.rstrip("\n") + "\n"
