"""Folders in which processes count together."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SHARE = """
import multiprocessing, os, sys
from meet_transcriber.bootstrap.observability import share_metrics

def share(wait):
    share_metrics()
    # In one write: print's two may mix with those of the other child where nothing is buffered.
    os.write(1, os.environb[b"PROMETHEUS_MULTIPROC_DIR"] + os.linesep.encode())
    wait()

if __name__ == "__main__":
    if sys.argv[1:]:
        context = multiprocessing.get_context("spawn")
        barrier = context.Barrier(2)
        children = [context.Process(target=share, args=[barrier.wait]) for _ in range(2)]
        for child in children:
            child.start()
        for child in children:
            child.join()
    else:
        share(sys.stdin.read)
"""


@contextmanager
def _sharing(tmp_path: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that shares metrics until its stdin ends."""
    script = tmp_path / "share.py"
    script.write_text(SHARE)
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
    with subprocess.Popen(
        [sys.executable, script, *arguments],
        text=True,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        yield process


def _folder_of(process: subprocess.Popen[str]) -> Path:
    assert process.stdout is not None
    return Path(process.stdout.readline().strip())


def test_the_folder_of_a_killed_process_is_removed_at_the_next_start(tmp_path: Path) -> None:
    with _sharing(tmp_path) as process:
        killed = _folder_of(process)
        process.kill()
    assert killed.is_dir()
    with _sharing(tmp_path) as process:
        assert _folder_of(process).is_dir()
        assert not killed.exists()


def test_the_folder_of_a_running_process_stays_until_it_ends(tmp_path: Path) -> None:
    with _sharing(tmp_path) as first, _sharing(tmp_path) as second:
        folders = {_folder_of(first), _folder_of(second)}
        assert set(tmp_path.glob("meet-transcriber-*")) == folders
    assert list(tmp_path.glob("meet-transcriber-*")) == []


def test_the_children_of_one_parent_share_a_folder(tmp_path: Path) -> None:
    with _sharing(tmp_path, "children") as parent:
        folders = [_folder_of(parent), _folder_of(parent)]
    assert folders[0] == folders[1]
    assert folders[0].parent == tmp_path
