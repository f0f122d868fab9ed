"""docs/security.md has a true row for every attack."""

from pathlib import Path

from scripts.guide import functions_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"


def rows() -> list[list[str]]:
    """The cells of the table of attacks."""
    table = PAGE.read_text(encoding="utf-8").partition("## Attacks")[2]
    lines = [line for line in table.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_test_behind_an_attack_exists() -> None:
    lost = []
    for *_, cell in rows():
        path, _, function = cell.strip("`").partition("::")
        if not (ROOT / path).is_file() or function not in functions_of(ROOT / path):
            lost.append(cell)
    assert lost == []
    assert len(rows()) > 25


def test_every_attack_says_what_happens() -> None:
    assert [row for row in rows() if len(row) != 3 or not all(row)] == []
