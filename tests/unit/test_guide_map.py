"""docs/guide-map.md has a row, with existing files and tests, for every promise of the guide."""

import re

import pytest

from scripts.guide import (
    GUIDE,
    MAP,
    NOT_YET,
    ROOT,
    Row,
    commands,
    functions_of,
    missing,
    rows,
    terms,
)

GUIDE_TEXT = GUIDE.read_text(encoding="utf-8")
MAP_TEXT = MAP.read_text(encoding="utf-8")
ROWS = list(rows(MAP_TEXT))


def _named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def _is_path(name: str) -> bool:
    return "/" in name or "." in name


def test_every_promise_of_the_guide_has_a_row() -> None:
    assert list(missing(GUIDE_TEXT, MAP_TEXT)) == []


def test_every_row_names_a_term_of_the_guide() -> None:
    promised = terms(GUIDE_TEXT)
    assert [row for row in ROWS if row.term not in promised.get(row.section, [])] == []


def test_every_file_that_a_row_names_exists() -> None:
    named = {name for row in ROWS for name in _named(row.here) if _is_path(name)}
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_row_has_a_place() -> None:
    assert [row for row in ROWS if not row.here or NOT_YET in f"{row.here} {row.test}"] == []


def test_every_test_that_a_row_names_exists() -> None:
    named = {name for row in ROWS for name in _named(row.test)}
    lost = [name for name in sorted(named) if not _test_exists(name)]
    assert lost == []


def _test_exists(name: str) -> bool:
    path, _, function = name.partition("::")
    return (ROOT / path).is_file() and function in functions_of(ROOT / path)


def test_every_row_names_a_test() -> None:
    assert [row for row in ROWS if not _named(row.test)] == []


def test_the_guide_is_read_whole() -> None:
    found = {kind: len(each) for kind, each in terms(GUIDE_TEXT).items()}
    assert found["Checklist"] == GUIDE_TEXT.count("- [ ]")
    assert found["Commands"] > 70
    assert min(found.values()) > 0


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("a --b \\\n  --c\n# said\nd\n", ["a --b --c", "d"]),
        ("cat > x << 'EOF'\none\nEOF\nls\n", ["cat > x << EOF", "ls"]),
        ("run --json '{\n  \"a\": 1}'\n", ["run --json '{ \"a\": 1}'"]),
        ("run a \\  # why\n  b\n", ["run a b"]),
    ],
)
def test_a_shell_block_is_split_into_commands(block: str, expected: list[str]) -> None:
    assert commands(block) == expected


def test_a_pipe_in_a_term_survives_the_table() -> None:
    table = "## Commands\n| `a \\| b` | not yet | not yet |\n"
    assert list(rows(table)) == [Row("Commands", "a | b", NOT_YET, NOT_YET)]
