"""docs/security.md names an existing test for every attack."""

from pathlib import Path

from scripts.guide import functions_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"


def rows() -> list[list[str]]:
    """The cells of the tables of attacks, without their headings."""
    tables = PAGE.read_text(encoding="utf-8").partition("## Attacks")[2]
    lines = [line for line in tables.splitlines() if line.startswith("| ")]
    lines = [line for line in lines if not line.startswith("| Attack |")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_test_behind_an_attack_exists() -> None:
    lost = []
    for *_, cell in rows():
        path, _, function = cell.strip("`").partition("::")
        if not (ROOT / path).is_file() or function not in functions_of(ROOT / path):
            lost.append(cell)
    assert lost == []
    assert len(rows()) > 100


def test_every_attack_has_a_result_and_a_test() -> None:
    assert [row for row in rows() if len(row) != 3 or not all(row)] == []
