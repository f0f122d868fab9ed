"""Generated pages are up to date, and what pages link to and name exists."""

import re
from pathlib import Path

import pytest

from meet_transcriber.core.formats import EXPORTERS
from meet_transcriber.settings import Settings
from scripts import make_env_example
from scripts.make_reference import FOLDER, PAGES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_up_to_date(name: str) -> None:
    committed = (FOLDER / name).read_text(encoding="utf-8")
    assert committed == PAGES[name](), "run `make docs` and commit docs/reference"


def test_the_env_example_is_up_to_date() -> None:
    committed = make_env_example.PATH.read_text(encoding="utf-8")
    assert committed == make_env_example.text(), "run `make docs` and commit .env.example"


def test_there_is_no_unknown_reference_page() -> None:
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


PAGES_FOR_PEOPLE = [
    *(page for page in sorted(ROOT.glob("docs/**/*.md")) if page.parent.name != "guide"),
    *sorted(ROOT.glob("*.md")),
]
"""All but the owner's document, which is kept as it is."""


@pytest.mark.parametrize("page", PAGES_FOR_PEOPLE, ids=lambda path: path.name)
def test_every_link_between_pages_has_a_target(page: Path) -> None:
    assert [
        link for link in _links(page.read_text(encoding="utf-8")) if not _leads(page, link)
    ] == []


SOURCE = ROOT / "src" / "meet_transcriber"
PACKAGES = {path.name for path in SOURCE.iterdir() if path.is_dir()}


@pytest.mark.parametrize("page", PAGES_FOR_PEOPLE, ids=lambda path: path.name)
def test_every_file_of_the_source_that_a_page_names_exists(page: Path) -> None:
    assert [name for name in _source_files(page) if not _exists(name)] == []


def test_finding_things_answers_twenty_questions_with_files() -> None:
    rows = (ROOT / "docs" / "finding-things.md").read_text(encoding="utf-8").splitlines()
    answers = [re.findall(r"`([^`]+)`", row.split("|")[2]) for row in rows if "?" in row]
    assert len(answers) >= 20
    assert [files for files in answers if not files or not all(map(_exists, files))] == []


def _source_files(page: Path) -> list[str]:
    """Names in backticks such as `core/jobs.py` or `audio/sandbox/`."""
    named = re.findall(r"`(?:src/meet_transcriber/)?((\w+)/[\w/.]*)`", page.read_text("utf-8"))
    return [name for name, package in named if package in PACKAGES]


def _exists(name: str) -> bool:
    """A file of the source or of the repository, or a folder with files."""
    found = [path for path in (SOURCE / name, ROOT / name) if path.exists()]
    return any(path.is_file() or any(path.glob("*.*")) for path in found)


def _links(text: str) -> list[str]:
    targets = [part.split(")")[0] for part in text.split("](")[1:]]
    return [target for target in targets if target and "://" not in target]


def _leads(page: Path, link: str) -> bool:
    """Whether the file is there and, where the link names one, the heading in it."""
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    if not target.exists():
        return False
    return not anchor or anchor in _anchors(target.read_text(encoding="utf-8"))


def _anchors(text: str) -> set[str]:
    """What headings are called in links, by the rule of GitHub."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
