"""What schemas of the OpenAPI document are put together from."""

from typing import Any

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """A reference to a schema of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def text(about: str, *examples: str, **more: Any) -> Schema:
    """A text; with examples where they help."""
    shown = {"examples": list(examples)} if examples else {}
    return {"type": "string", "description": about, **shown, **more}


def number(about: str, kind: str = "integer", **more: Any) -> Schema:
    """A number, a whole one unless `kind` says otherwise."""
    return {"type": kind, "description": about, **more}


def nullable(schema: Schema) -> Schema:
    """The same, or null."""
    if "$ref" in schema or "enum" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def object_schema(
    properties: dict[str, Schema], optional: tuple[str, ...] = (), **more: Any
) -> Schema:
    """An object with these properties, needed but for the optional ones."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, **more}


def array(of: Schema, about: str = "") -> Schema:
    """A list of these."""
    return {"type": "array", "items": of, **({"description": about} if about else {})}


def texts(about: str) -> Schema:
    """A list of texts, or one text."""
    return {"anyOf": [array({"type": "string"}), {"type": "string"}], "description": about}


def moment(about: str) -> Schema:
    """A moment as ISO 8601."""
    return text(about, "2026-11-24T09:00:00.000Z", format="date-time")
