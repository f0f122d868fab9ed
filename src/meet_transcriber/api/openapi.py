"""Helpers that build the OpenAPI document."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.responses import Response

from meet_transcriber.api.auth import add_key_schemes
from meet_transcriber.api.errors import MEDIA_TYPE, PHRASES
from meet_transcriber.api.schemas import components

Schema = dict[str, Any]
Responses = dict[int | str, dict[str, Any]]

_HEADERS = {
    "Location": "The path of the created resource.",
    "Retry-After": "Seconds to wait before the next request.",
    "ETag": "Compared with If-None-Match.",
    "Content-Disposition": "A file name derived from the recording's.",
    "Content-Range": "The range of these bytes.",
    "Accept-Ranges": "bytes",
    "Upload-Offset": "Number of bytes received.",
    "Upload-Length": "Number of bytes announced.",
    "Upload-Complete": "`?1` once all are received, else `?0`.",
}


def ref(name: str) -> Schema:
    """A reference to one of `components`."""
    return {"$ref": f"#/components/schemas/{name}"}


def response(
    status: int, about: str, schema: str | None = None, headers: tuple[str, ...] = ()
) -> Responses:
    """A JSON response, or one without a body."""
    content = {"content": {"application/json": {"schema": ref(schema)}}} if schema else {}
    return {status: {"description": about, "headers": _headers(*headers), **content}}


def response_in(status: int, about: str, kinds: dict[str, Schema], *headers: str) -> Responses:
    """A response in one of several media types."""
    content = {kind: {"schema": schema} for kind, schema in kinds.items()}
    return {status: {"description": about, "headers": _headers(*headers), "content": content}}


def problems(*statuses: int) -> Responses:
    """Responses with problem details: these statuses, and those that any route may have."""
    return {
        status: {
            "description": PHRASES[status],
            "content": {MEDIA_TYPE: {"schema": ref("Problem")}},
            **(
                {"headers": _headers("Retry-After")}
                if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}
                else {}
            ),
        }
        for status in sorted({*statuses, 401, 403, 429, 500, 503})
    }


def request_body(
    model: type[BaseModel], others: Mapping[str, type[BaseModel]] | None = None
) -> dict[str, Any]:
    """
    The request body of a route that parses it itself, as `openapi_extra`.

    Args:
        model: of the body as JSON; the body may be left out if an empty object is valid.
        others: models by media type.
    """
    kinds = {"application/json": model, **(others or {})}
    schema = components()[model.__name__]
    required = bool(schema.get("required") or schema.get("minProperties"))
    content = {kind: {"schema": ref(each.__name__)} for kind, each in kinds.items()}
    return {"requestBody": {"required": required, "content": content}}


def parameter(name: str, where: str, schema: Schema, **more: Any) -> dict[str, Any]:
    """A parameter that a route reads itself."""
    about = schema.get("description", "")
    return {
        "name": name,
        "in": where,
        "required": False,
        "schema": schema,
        "description": about,
        **more,
    }


def tagged_router(tag: str, **more: Any) -> APIRouter:
    """A router whose operation ids are the names of its functions in camel case."""

    def operation_id(route: APIRoute) -> str:
        first, *others = route.name.split("_")
        return first + "".join(map(str.title, others))

    return APIRouter(
        tags=[tag],
        default_response_class=Response,
        generate_unique_id_function=operation_id,
        **more,
    )


def describe(app: FastAPI) -> None:
    """Let an app's document contain our schemas; it is built on first use."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = FastAPI.openapi(app)
            document.setdefault("components", {}).setdefault("schemas", {}).update(components())
            add_key_schemes(document)
            app.openapi_schema = _without_validation_error(document)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _without_validation_error(document: dict[str, Any]) -> dict[str, Any]:
    """Remove FastAPI's own 422 response, as `errors` replaces it."""
    for methods in document["paths"].values():
        for operation in methods.values():
            answers = operation["responses"]
            if "HTTPValidationError" in str(answers.get("422")):
                del answers["422"]
    for unused in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(unused, None)
    return document


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"description": _HEADERS[name], "schema": {"type": "string"}} for name in names}
