"""The reference page of the HTTP API, from the OpenAPI document."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from meet_transcriber.api.app import create_app
from meet_transcriber.bootstrap import services
from meet_transcriber.settings import Settings

Row = tuple[str, ...]
Section = tuple[str, str, list[tuple[str, Row, list[Row]]]]
"""A heading, its text, and tables: the text above them, their header and their rows."""

LEAD = """Every response has `X-Request-ID`. Errors are `application/problem+json` (RFC 9457) with a
stable `code`; [Errors](errors.md) lists the codes. A running server shows this reference at
`/docs`, and its OpenAPI document at `/openapi.json`."""


def document() -> dict[str, Any]:
    """The OpenAPI document of a fresh installation."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), redis_url=None, media_url=None)
        service = services.service(settings, services.embedded_queue())
        made: dict[str, Any] = create_app(service, settings).openapi()
        service.context.jobs.close()
        return made


def sections() -> Iterator[Section]:
    """Operations in the document's order, then the schemas."""
    whole = document()
    for path, methods in whole["paths"].items():
        for method, operation in methods.items():
            text = f"{operation.get('summary', '')}. {operation.get('description', '')}".strip()
            yield f"`{method.upper()} {path}`", text, list(_tables(operation))
    for name, schema in whole["components"]["schemas"].items():
        rows = _fields(schema)
        head: Row = ("name", "type", "meaning")
        tables: list[tuple[str, Row, list[Row]]] = [("", head, rows)] if rows else []
        yield name, schema.get("description", ""), tables


def _tables(operation: dict[str, Any]) -> Iterator[tuple[str, Row, list[Row]]]:
    parameters: list[Row] = [
        (f"`{each['name']}`", each["in"], _type(each["schema"]), each.get("description", ""))
        for each in operation.get("parameters", ())
    ]
    if parameters:
        yield "Parameters:", ("name", "in", "type", "meaning"), parameters
    bodies = operation.get("requestBody", {}).get("content", {})
    if bodies:
        rows: list[Row] = [(f"`{kind}`", _type(body["schema"])) for kind, body in bodies.items()]
        yield "Body:", ("media type", "schema"), rows
    responses: list[Row] = [
        (status, response["description"], _kinds(response.get("content", {})))
        for status, response in sorted(operation["responses"].items())
    ]
    yield "Responses:", ("status", "meaning", "body"), responses


def _kinds(content: dict[str, Any]) -> str:
    return ", ".join(f"`{kind}` {_type(each.get('schema', {}))}" for kind, each in content.items())


def _fields(schema: dict[str, Any]) -> list[Row]:
    return [
        (f"`{name}`", _type(field), field.get("description", ""))
        for name, field in schema.get("properties", {}).items()
    ]


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if several := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_type(each) for each in several)
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    kind = schema.get("type", "")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)
