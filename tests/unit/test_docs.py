"""The reference pages say what the code says; `make docs` writes them again."""

from pathlib import Path

import pytest

from meet_transcriber.core.exporters import EXPORTERS
from meet_transcriber.settings import Settings
from scripts import make_env_example
from scripts.make_reference import FOLDER, PAGES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_fresh(name: str) -> None:
    committed = (FOLDER / name).read_text(encoding="utf-8")
    assert committed == PAGES[name](), "run `make docs` and commit docs/reference"


def test_the_example_of_an_env_file_is_fresh() -> None:
    committed = make_env_example.PATH.read_text(encoding="utf-8")
    assert committed == make_env_example.text(), "run `make docs` and commit .env.example"


def test_no_reference_page_is_left_over() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(PAGES)


@pytest.mark.parametrize("setting", Settings.model_fields)
def test_every_setting_has_a_sentence(setting: str) -> None:
    assert (Settings.model_fields[setting].description or "").endswith(".")


@pytest.mark.parametrize("form", EXPORTERS)
def test_every_format_has_a_sentence(form: str) -> None:
    assert EXPORTERS[form].summary.endswith(".")


def test_every_option_says_what_it_does() -> None:
    rows = [line for line in PAGES["cli.md"]().splitlines() if line.startswith("| `-")]
    assert [row for row in rows if row.split("|")[-2].strip() == ""] == []


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/**/*.md")), ids=lambda path: path.name)
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    if page.name == "deployment-guide.md":  # the owner's document, kept as it is
        return
    links = _links(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def _links(text: str) -> list[str]:
    targets = [part.split(")")[0].split("#")[0] for part in text.split("](")[1:]]
    return [target for target in targets if target and "://" not in target]
