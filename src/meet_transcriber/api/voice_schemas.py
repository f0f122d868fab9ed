"""The shapes of people who are remembered by their voices."""

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
from meet_transcriber.core.edits import LONGEST_NAME
from meet_transcriber.core.voices import LONGEST_NOTE

_NAME = text("The person's name.", "Ann", minLength=1, maxLength=LONGEST_NAME)
_CONSENT: Schema = {
    "anyOf": [
        {"type": "boolean", "const": True},
        {"type": "string", "minLength": 1, "maxLength": LONGEST_NOTE},
    ],
    "description": "That the person agreed: true, or who agreed to it, when and how.",
}
_SAMPLE: dict[str, Schema] = {
    "job_id": text("The meeting, or the clip's job."),
    "speaker": text("The label there.", "SPEAKER_00"),
    "clip": {"type": "boolean", "description": "It was made of a clip."},
    "seconds": number("Of speech that it was made from.", "number"),
    "model": text("The network that made it; others cannot use it."),
    "consent": object_schema(
        {
            "at": moment("When it was noted."),
            "by": nullable(text("The name of the API key that it came with.")),
            "note": text("What was said of it; empty where it was only ticked."),
        }
    ),
    "embedding": array({"type": "number"}, "The voice itself; in exports that ask for it."),
}

VOICES: dict[str, Schema] = {
    "VoiceWish": object_schema(
        {
            "job_id": text("A finished meeting."),
            "speaker": text("The label in it.", "SPEAKER_00"),
            "name": _NAME,
            "consent": _CONSENT,
        },
        additionalProperties=False,
    ),
    "VoiceClip": object_schema(
        {
            "file": text("A recording of this person alone.", format="binary"),
            "name": _NAME,
            "consent": text("true, or a note, as in VoiceWish."),
        },
        additionalProperties=False,
    ),
    "VoiceName": object_schema({"name": _NAME}, additionalProperties=False),
    "VoiceMerge": object_schema(
        {"voice_id": text("The other one, which is deleted.")},
        additionalProperties=False,
    ),
    "Voice": object_schema(
        {
            "id": text("The person's id.", "0b8f6a3e5c1d4f0a9e7b2c6d8f1a3b5c"),
            "object": {"type": "string", "const": "voice"},
            "name": _NAME,
            "created_at": moment("When the person was first remembered."),
            "samples": array(
                object_schema(_SAMPLE, ("embedding",)),
                "What the voice is known from, the latest last.",
            ),
        }
    ),
    "VoiceList": object_schema(
        {"object": {"const": "list", "type": "string"}, "data": array(ref("Voice"))}
    ),
    "Speakers": object_schema(
        {
            "object": {"const": "list", "type": "string"},
            "voice_profiles": {
                "type": "boolean",
                "description": "Whether people can be remembered here (VOICE_PROFILES).",
            },
            "data": array(
                object_schema(
                    {
                        "speaker": text("The label.", "SPEAKER_00"),
                        "name": nullable(text("As the transcript has it.")),
                        "seconds": number(
                            "Of their segments; of their turns where they have no words.", "number"
                        ),
                        "voice_id": nullable(text("Whom of the voices they sound like.")),
                        "voice_name": nullable(text("That person's name.", "Ann")),
                        "similarity": nullable(number("Cosine, at most 1.", "number")),
                        "certainty": nullable(
                            text("Whether that is clear, or perhaps so.", enum=["clear", "perhaps"])
                        ),
                        "rememberable": {
                            "type": "boolean",
                            "description": "The meeting keeps this voice, and no edit gave the "
                            "speaker words of others.",
                        },
                    }
                )
            ),
        }
    ),
}
