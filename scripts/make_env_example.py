"""Write .env.example from the settings: `python -m scripts.make_env_example` (`make docs`)."""

import textwrap
from pathlib import Path

from pydantic.fields import FieldInfo

from meet_transcriber.settings import Settings

PATH = Path(__file__).parents[1] / ".env.example"

_HEAD = """\
# Every setting with its default; copy this file to .env and take the # away where you want
# another value. What the environment says wins over .env. Written by `make docs`.
"""


def text() -> str:
    """The whole file."""
    return "\n".join([_HEAD, *(_entry(*each) for each in Settings.model_fields.items())])


def _entry(name: str, field: FieldInfo) -> str:
    said = textwrap.wrap(field.description or "", 96)
    lines = [f"# {line}" for line in said]
    return "\n".join([*lines, f"#{name.upper()}={_value(field)}", ""])


def _value(field: FieldInfo) -> str:
    if field.default is None:
        return ""
    if isinstance(field.default, bool):
        return str(field.default).lower()
    return str(field.default).replace(str(Path.home()), "~")


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
