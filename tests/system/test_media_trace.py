"""What children do, as the kernel sees it: strace over a hundred mutated recordings."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
OUTWARD = "%file,%network,%process,open_by_handle_at,memfd_create,shmget"
# FFmpeg wants the names of broadcasts in our characters, and does without when it is refused.
TABLES = re.compile(r'openat\(AT_FDCWD, "\S+/gconv/\S+", O_RDONLY\|O_CLOEXEC\) = -1 EPERM')
HARMLESS = {"exit", "exit_group", "exited", "killed", "recvfrom", "sendto"}


class Run(NamedTuple):
    """A traced run: its folder for temporary files, and one file of lines per process."""

    scrap: Path
    traces: list[Path]

    def confined(self) -> Iterator[list[str]]:
        """
        What each child did from its confinement on.

        The call by which the template kills a child once stood in the child's own trace, cut
        short, as if the child had made it. Its own `kill` would be refused, not cut short.
        """
        for trace in self.traces:
            lines = trace.read_text(errors="replace").splitlines()
            starts = [at for at, line in enumerate(lines) if "PR_SET_SECCOMP" in line]
            if starts:
                killed = f"kill({trace.suffix[1:]}, SIGKILL <unfinished ...>"
                yield [line for line in lines[starts[0] + 1 :] if line != killed]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("traced")
    scrap = folder / "tmp"
    scrap.mkdir()
    command = ["strace", "-ff", "-qq", "-e", f"trace={OUTWARD},prctl", "-o", str(folder / "trace")]
    command += [sys.executable, "-m", "tests.simulated.fuzzing", str(folder / "data"), "0", "10"]
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(scrap), "HOME": str(folder)}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=600)
    return Run(scrap, sorted(folder.glob("trace.*")))


def test_each_recording_has_its_own_child_processes(run: Run) -> None:
    assert len(list(run.confined())) >= 100


def test_a_confined_child_opens_no_files_hosts_or_programs(run: Run) -> None:
    tried = {
        line
        for lines in run.confined()
        for line in lines
        if (call := re.match(r"[+-]* ?(\w+)", line)) and call[1] not in HARMLESS
        if not TABLES.match(line)
    }
    assert tried == set()


def test_no_process_uses_the_network(run: Run) -> None:
    text = "".join(trace.read_text(errors="replace") for trace in run.traces)
    assert not re.search(r"(?:connect|bind|socket)\((?:\d+, \{sa_family=)?AF_INET", text)


def test_no_temporary_file_is_left(run: Run) -> None:
    assert list(run.scrap.iterdir()) == []
