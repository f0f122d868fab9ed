"""What control groups allow this process."""

import os
from pathlib import Path

import pytest

from meet_transcriber.ports.engines import usable_memory

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
LIMIT = 64 << 20


def write(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"{text}\n")


@pytest.mark.parametrize("path", ["/", "/system.slice/meet-transcriber-api.service", "/a/b/c"])
def test_the_limit_of_a_group_or_of_one_around_it_counts(tmp_path: Path, path: str) -> None:
    write(tmp_path, "own", f"0::{path}")
    groups = tmp_path / "cgroup"
    write(groups, "memory.max", str(LIMIT))
    write(groups / "a" / "b", "memory.max", "max")
    write(groups / "system.slice", "memory.max", str(2 * LIMIT))
    assert usable_memory(groups, tmp_path / "own") == LIMIT


def test_the_first_version_of_control_groups(tmp_path: Path) -> None:
    write(tmp_path, "own", "5:cpu,cpuacct:/x\n4:memory:/docker/x\n1:name=systemd:/y")
    groups = tmp_path / "cgroup"
    write(groups / "memory", "memory.limit_in_bytes", str(LIMIT))
    write(groups / "memory" / "docker" / "x", "memory.limit_in_bytes", str(1 << 63))
    assert usable_memory(groups, tmp_path / "own") == LIMIT


def test_without_a_limit_there_is_the_machines_memory(tmp_path: Path) -> None:
    write(tmp_path, "own", "0::/x")
    write(tmp_path / "cgroup" / "x", "memory.max", "max")
    assert usable_memory(tmp_path / "cgroup", tmp_path / "own") == MACHINE
    assert usable_memory(tmp_path / "none", tmp_path / "none") == MACHINE
