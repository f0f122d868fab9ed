"""Schemas of speaker timelines."""

from meet_transcriber.api.schema_types import Schema, array, object_schema, text
from meet_transcriber.core.edits import LONGEST_NAME

TIMELINE = text(
    "Who spoke when, as recorded by a conference system: JSON, RTTM, WebVTT with names, or CSV. "
    "It is aligned with the audio; its names are applied to the voices they match."
)
_TIME: Schema = {
    "type": ["number", "string"],
    "minimum": 0,
    "pattern": r"^([0-9]+([.,][0-9]+)?|[0-9]{1,3}:[0-5][0-9](:[0-5][0-9]([.,][0-9]+)?)?.*)$",
    "description": "Seconds, or a time such as 00:01:23.500.",
}
_ENTRY = object_schema(
    {"name": text("Who speaks.", "Ann Lee", minLength=1), "start": _TIME, "end": _TIME},
    description=f"A name has at most {LONGEST_NAME} characters.",
)
TIMELINE_IN_JSON: Schema = {
    "anyOf": [{**array(_ENTRY), "minItems": 1}, TIMELINE, {"type": "null"}],
    "description": TIMELINE["description"],
}
