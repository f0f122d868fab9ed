"""The shapes of what people change in a transcript."""

from meet_transcriber.api.schema_types import (
    Schema,
    array,
    moment,
    nullable,
    number,
    object_schema,
    ref,
    text,
)
from meet_transcriber.core.edits import LONGEST_TEXT

EDITING: dict[str, Schema] = {
    "SegmentChange": {
        "description": "One of these changes.",
        "oneOf": [
            object_schema(
                {
                    "text": text(
                        "The new words.", pattern=r"\S", minLength=1, maxLength=LONGEST_TEXT
                    )
                },
                additionalProperties=False,
            ),
            object_schema({"speaker": nullable(text("Who said it."))}, additionalProperties=False),
            object_schema(
                {"split_at": number("The word that begins the second half.", minimum=1)},
                additionalProperties=False,
            ),
            object_schema(
                {"merge": {"const": True, "type": "boolean"}}, additionalProperties=False
            ),
        ],
    },
    "SegmentChanges": {
        "description": "One of these; each is one step, made whole or not at all.",
        "oneOf": [
            object_schema(
                {
                    "changes": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": 500,
                        "description": "In order, each at the places that the one before left.",
                        "items": {
                            "type": "object",
                            "description": "A SegmentChange with its `segment`.",
                            "properties": {
                                "segment": number("Its place, counted from 0.", minimum=0),
                                "text": {"type": "string", "maxLength": LONGEST_TEXT},
                                "speaker": nullable({"type": "string"}),
                                "split_at": {"type": "integer", "minimum": 1},
                                "merge": {"const": True, "type": "boolean"},
                            },
                            "required": ["segment"],
                            "minProperties": 2,
                            "maxProperties": 2,
                            "additionalProperties": False,
                        },
                    }
                },
                additionalProperties=False,
            ),
            object_schema(
                {
                    "replace": object_schema(
                        {
                            "find": text("Whole words, in any case.", "Jon", pattern=r"\S"),
                            "with": text("What stands there instead.", "John", pattern=r"\S"),
                        },
                        additionalProperties=False,
                    )
                },
                additionalProperties=False,
            ),
            object_schema(
                {
                    "reassign": object_schema(
                        {
                            "from": nullable(text("Whose words; null for unknown.")),
                            "to": nullable(text("A speaker, a new one too; null for unknown.")),
                        },
                        additionalProperties=False,
                    )
                },
                additionalProperties=False,
            ),
        ],
    },
    "TranscriptChange": object_schema(
        {
            "segments": array(
                object_schema(
                    {
                        "segment": number("Place of the first segment, counted from 0."),
                        "removed": number("Segments to remove from there on."),
                        "inserted": array(
                            {"type": "object"}, "Segments to put there, as in the json format."
                        ),
                    }
                ),
                "Runs of segments that changed, to be applied in order.",
            ),
            "speakers": array({"type": "string"}, "Labels of all speakers."),
            "turns_without_words": array(
                object_schema(
                    {
                        "start": number("Seconds.", "number"),
                        "end": number("Seconds.", "number"),
                        "speaker": {"type": "string"},
                    }
                ),
                "Turns of speakers who have no segment.",
            ),
        },
        description=(
            "What turns the transcript of the edition before into that of `edition`; only for "
            "keys with the scope `read`."
        ),
    ),
    "Edits": object_schema(
        {"object": {"const": "list", "type": "string"}, "data": array(ref("Edit"))}
    ),
    "Edit": object_schema(
        {
            "kind": text("What was done.", "text"),
            "segment": number("The segment's place at that moment."),
            "text": {"type": "string"},
            "speaker": nullable({"type": "string"}),
            "at": {"type": "integer"},
            "find": text("What was replaced everywhere."),
            "source": nullable(text("Whose words were given to `speaker`.")),
            "joined": {"type": "boolean", "description": "Made together with the one before."},
            "step": number("What one undo takes back, counted from 1."),
            "undone": {"type": "boolean", "description": "It does not stand any more."},
            "summary": text("What was done, in a sentence.", "Segment 3 got other words."),
            "made_at": moment("When."),
            "author": nullable(text("Name of the key it was made with; null without one.", "ann")),
        }
    ),
}
