"""The OpenAPI document, and the page that shows it."""

import re
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from meet_transcriber.api.bodies import JsonBody
from meet_transcriber.api.routes import access, edits, submissions, uploads, voices

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


def test_every_operation_id_is_unique(document: Any) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names)) == 49


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


def test_bodies_that_routes_parse_are_documented(document: Any) -> None:
    body = document["paths"]["/transcribe"]["post"]["requestBody"]["content"]
    assert set(body) == {
        "application/json",
        "multipart/form-data",
        "application/x-www-form-urlencoded",
    }
    assert "requestBody" in document["paths"]["/transcribe/{job_id}/segments/{number}"]["patch"]


def test_the_documented_body_is_the_one_that_is_parsed(document: Any) -> None:
    parsed = {
        route.unique_id: dependency.call.model.__name__
        for module in (submissions, uploads, edits, voices, access)
        for route in module.router.routes
        if isinstance(route, APIRoute)
        for dependency in route.dependant.dependencies
        if isinstance(dependency.call, JsonBody)
    }
    documented = {
        operation["operationId"]: content["schema"]["$ref"].rpartition("/")[2]
        for _, _, operation in operations(document)
        if (content := operation.get("requestBody", {}).get("content", {}).get("application/json"))
    }
    parsed_in_the_route = {"submitTranscription", "signIn", "rememberVoice"}
    assert parsed == {k: v for k, v in documented.items() if k not in parsed_in_the_route}


def test_the_page_asks_no_other_host(client: TestClient) -> None:
    for path in ("/docs", "/docs/docs.js", "/docs/docs.css"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert re.findall(r"(?:https?:)?//[a-z]", answer.text.replace("// ", "")) == []
    assert "default-src 'none'" in client.get("/docs").headers["Content-Security-Policy"]
