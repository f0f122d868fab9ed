"""The OpenAPI document, and the page that shows it."""

import re
from typing import Any

import pytest
from starlette.testclient import TestClient

METHODS = {"get", "head", "post", "patch", "delete"}


@pytest.fixture
def document(client: TestClient) -> Any:
    return client.get("/openapi.json").json()


def operations(document: Any) -> list[tuple[str, str, Any]]:
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [each for value in node.values() for each in references(value)]
    return [each for value in node for each in references(value)] if isinstance(node, list) else []


def test_every_operation_has_a_name_of_its_own(document: Any) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names)) == 48


def test_every_operation_says_what_it_does_and_what_may_go_wrong(document: Any) -> None:
    for path, _, operation in operations(document):
        assert operation["summary"]
        if not path.startswith("/health"):
            problems = {"500", "503"}
            assert problems <= set(operation["responses"])


def test_problems_are_documented_as_such(document: Any) -> None:
    for path, _, operation in operations(document):
        kind = "'param'" if path.startswith("/v1/") else "/problem"
        for status, answer in operation["responses"].items():
            if status >= "400" and kind not in str(answer) and status != "503":
                pytest.fail(f"{operation['operationId']} {status}")


def test_every_reference_leads_somewhere(document: Any) -> None:
    known = document["components"]["schemas"]
    assert {each.rpartition("/")[2] for each in references(document)} <= set(known)


def test_bodies_are_documented_although_they_are_read_by_hand(document: Any) -> None:
    body = document["paths"]["/transcribe"]["post"]["requestBody"]["content"]
    assert set(body) == {
        "application/json",
        "multipart/form-data",
        "application/x-www-form-urlencoded",
    }
    assert "requestBody" in document["paths"]["/transcribe/{job_id}/segments/{number}"]["patch"]


def test_the_page_asks_no_other_host(client: TestClient) -> None:
    for path in ("/docs", "/docs/docs.js", "/docs/docs.css"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert re.findall(r"(?:https?:)?//[a-z]", answer.text.replace("// ", "")) == []
    assert "default-src 'none'" in client.get("/docs").headers["Content-Security-Policy"]
