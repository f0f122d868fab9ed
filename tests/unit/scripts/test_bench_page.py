"""Results of benchmarks, and the page made of them."""

from dataclasses import replace
from pathlib import Path

from scripts.bench_page import Result, keep, machine, write

SPEED = Result(
    name="speed",
    arguments=[],
    summary="How fast it is.",
    date="2026-01-02",
    machine="a machine",
    load=0.1,
    seconds=7,
    output=["first line", "second line"],
)


def test_a_section_says_command_date_machine_and_output(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    keep(SPEED, tmp_path)
    write(tmp_path, page)
    text = page.read_text()
    assert "## speed\n" in text
    assert "make bench NAME=speed" in text
    assert "2026-01-02, 7 s. a machine" in text
    assert "```text\nfirst line\nsecond line\n```" in text


def test_rerun_sections_are_replaced_and_others_stay(tmp_path: Path) -> None:
    page, first, second = tmp_path / "page.md", tmp_path / "one", tmp_path / "two"
    mixed = replace(SPEED, name="accuracy", arguments=["--mixed"], output=["WER 4 %"])
    keep(SPEED, first)
    keep(mixed, first)
    write(first, page)
    before = page.read_text()
    keep(replace(SPEED, output=["faster"]), second)
    write(second, page)
    after = page.read_text()
    assert "## accuracy --mixed\n" in before
    assert "python -m scripts.bench accuracy -- --mixed" in after
    assert "WER 4 %" in after
    assert "faster" in after
    assert "first line" not in after
    write(second, page)
    assert page.read_text() == after


def test_a_machine_is_described_by_its_hardware() -> None:
    assert "cores" in machine()
    assert "Python 3" in machine()


def test_paths_of_the_machine_do_not_go_into_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    keep(
        replace(SPEED, arguments=["--recordings", "/home/somebody/audio", "--count", "3"]), tmp_path
    )
    write(tmp_path, page)
    assert "## speed --recordings audio --count 3\n" in page.read_text()
    assert "/home" not in page.read_text()
