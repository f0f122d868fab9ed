"""The page's files, as they are served."""

import os
import re
from importlib.resources import files
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from meet_transcriber.api.routes.page import content_tag

PAGE = Path(str(files("meet_transcriber") / "page"))
NAMES = sorted(
    str(path.relative_to(PAGE)) for path in PAGE.rglob("*.*") if path.suffix not in {".py", ".pyc"}
)


def test_the_front_door_leads_to_the_page(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "/page/app.js" in answer.text


def test_what_the_front_door_asks_for_is_there(client: TestClient) -> None:
    asked = re.findall(r'(?:src|href)="/page/([^"]+)"', client.get("/").text)
    assert set(asked) <= set(NAMES)


@pytest.mark.parametrize("path", ["/", "/page/app.js", "/docs", "/docs/docs.js"])
def test_monitors_may_ask_with_head(client: TestClient, path: str) -> None:
    answer, whole = client.head(path), client.get(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(whole.content))


def test_the_page_may_load_and_call_nothing_but_its_own_host(client: TestClient) -> None:
    policy = client.get("/").headers["Content-Security-Policy"]
    rules = dict(each.strip().split(" ", 1) for each in policy.split(";"))
    sources = {source for each in rules.values() for source in each.split()}
    assert sources <= {"'none'", "'self'", "data:", "blob:"}
    assert (rules["default-src"], rules["script-src"], rules["style-src"]) == (
        "'none'",
        "'self'",
        "'self'",
    )


def test_the_page_alone_may_record(client: TestClient) -> None:
    assert "microphone=(self)" in client.get("/").headers["Permissions-Policy"]
    assert "microphone=()" in client.get("/docs").headers["Permissions-Policy"]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_sent_once_and_then_asked_for_by_its_tag(client: TestClient, name: str) -> None:
    answer = client.get(f"/page/{name}")
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    again = client.get(f"/page/{name}", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".js")])
def test_no_script_makes_markup_or_code_of_text(name: str) -> None:
    text = (PAGE / name).read_text()
    forbidden = r"insertAdjacentHTML|document\.write|\beval\(|new Function|\.(inner|outer)HTML\s*="
    assert re.findall(forbidden, text) == []


@pytest.mark.parametrize("name", [name for name in NAMES if name != "api.js"])
def test_one_module_alone_asks_the_server(name: str) -> None:
    asking = r"\bfetch\(|XMLHttpRequest|new EventSource|sendBeacon|WebSocket"
    assert re.findall(asking, (PAGE / name).read_text()) == []


@pytest.mark.parametrize("name", NAMES)
def test_no_file_names_another_host(name: str) -> None:
    found = re.findall(r"https?://[\w.]+", (PAGE / name).read_text())
    # SVG's name; a base for parsing; what people are told to open
    assert set(found) <= {"http://www.w3.org", "http://page", "http://localhost"}


@pytest.mark.parametrize(
    "name", ["nothing.js", "../settings.py", "%2e%2e/settings.py", "transcript", "__init__.py"]
)
def test_nothing_but_the_pages_files_is_served(client: TestClient, name: str) -> None:
    assert client.get(f"/page/{name}").status_code == 404


def test_a_tag_depends_on_the_content_and_not_on_the_time(tmp_path: Path) -> None:
    one, other = tmp_path / "one.js", tmp_path / "other.js"
    for path, text in ((one, "1"), (other, "2")):
        path.write_text(text)
        os.utime(path, (0, 0))
    assert content_tag(one) != content_tag(other)
    other.write_text("1")
    assert content_tag(one) == content_tag(other)


@pytest.mark.parametrize("name", ["docs.js", "docs.css"])
def test_the_reference_has_its_script_and_its_style(client: TestClient, name: str) -> None:
    assert f"docs/{name}" in client.get("/docs").text
    assert client.get(f"/docs/{name}").is_success
