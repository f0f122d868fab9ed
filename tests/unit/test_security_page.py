"""docs/security.md names an existing test for every attack and every piece of work."""

import re
from pathlib import Path

from fastapi import FastAPI
from starlette.routing import Route
from starlette.testclient import TestClient

from meet_transcriber.api.app import create_app
from meet_transcriber.core.jobs import KINDS
from meet_transcriber.settings import Settings
from scripts.guide import functions_of
from tests.unit.api.service_fixture import make_service

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"

HIDDEN = {
    "/openapi.json",
    "/",
    "/page/{name:path}",
    "/docs",
    "/docs/{name}",
    "/v1/{path:anything}",
}
"""Routes without work: files that are read at the start, and errors for other paths of /v1."""


def rows(first: str) -> list[list[str]]:
    """The cells of all tables whose first column has this heading."""
    found: list[list[str]] = []
    wanted = False
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("| "):
            wanted = wanted and line.startswith("|-")
        elif wanted:
            found.append(cells)
        else:
            wanted = cells[0] == first
    return found


def lost_tests(table: list[list[str]]) -> list[str]:
    """Tests in the last column that do not exist."""
    lost = []
    for *_, cell in table:
        path, _, function = cell.strip("`").partition("::")
        if not (ROOT / path).is_file() or function not in functions_of(ROOT / path):
            lost.append(cell)
    return lost


def test_every_test_behind_an_attack_exists() -> None:
    assert lost_tests(rows("Attack")) == []
    assert len(rows("Attack")) > 100


def test_every_attack_has_a_result_and_a_test() -> None:
    assert [row for row in rows("Attack") if len(row) != 3 or not all(row)] == []


def test_every_piece_of_work_has_a_bound_a_deadline_a_share_and_a_test() -> None:
    table = rows("Work")
    assert [row for row in table if len(row) != 6 or not all(row)] == []
    assert lost_tests(table) == []


def operations(app: FastAPI) -> set[str]:
    paths = TestClient(app).get("/openapi.json").json()["paths"]
    return {each["operationId"] for path in paths.values() for each in path.values()}


def test_the_table_of_work_names_every_operation_and_every_task(tmp_path: Path) -> None:
    app = create_app(make_service(tmp_path), Settings(auth_mode="open", data_dir=tmp_path))
    named = {name for row in rows("Work") for name in re.findall(r"`(\w+)`", row[1])}
    assert named == operations(app) | set(KINDS)


def test_a_route_that_the_document_hides_only_refuses_or_sends_files(tmp_path: Path) -> None:
    app = create_app(make_service(tmp_path), Settings(auth_mode="open", data_dir=tmp_path))
    routes = [each for each in app.routes if isinstance(each, Route)]
    hidden = {each.path for each in routes if not each.include_in_schema}
    assert hidden == HIDDEN


def test_a_new_route_and_a_test_that_is_missing_are_found(tmp_path: Path) -> None:
    app = create_app(make_service(tmp_path), Settings(auth_mode="open", data_dir=tmp_path))
    before = operations(app)
    app.openapi_schema = None
    app.add_api_route("/new", lambda: None, operation_id="newRoute")
    assert operations(app) - before == {"newRoute"}
    known = "`tests/unit/test_security_page.py::test_every_attack_has_a_result_and_a_test`"
    assert lost_tests([["a", known]]) == []
    for missing in (known.replace("every", "no"), "`tests/unit/none.py::test_a`", "-"):
        assert lost_tests([["a", missing]]) == [missing]
