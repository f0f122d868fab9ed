"""The pages about running the service: their blocks, and the commands in them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from scripts.guide import ROOT, commands

FOLDER = ROOT / "docs" / "deployment"
PAGES = [
    *sorted(FOLDER.glob("*.md")),
    *(page for name in ("operations", "monitoring") if (page := ROOT / f"docs/{name}.md").exists()),
]

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`]+)`")
_PROMPT = re.compile(r"^\$ (.*)$", re.MULTILINE)
_OPERATORS = {"|", "||", "&&", ";", "&", "(", ")", ">", ">>", "<", "<<"}
SHELLS = ("bash", "sh", "console")


class Block(NamedTuple):
    """A block of code: where it begins, in which language, and its text.

    Of a block marked `console` the text is the commands after its prompts.
    """

    page: Path
    line: int
    language: str
    text: str

    @property
    def id(self) -> str:
        """For reports."""
        return f"{self.page.stem}-{self.line}"


def blocks(page: Path, *languages: str) -> Iterator[Block]:
    """The blocks of a page, of those languages or of all."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        language, body = found.groups()
        if language == "console":
            body = "".join(f"{command}\n" for command in _PROMPT.findall(body))
        if not languages or language in languages:
            yield Block(page, text.count("\n", 0, found.start()) + 1, language, body)


def prose(page: Path) -> str:
    """A page without its blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def simple_commands(page: Path) -> Iterator[list[str]]:
    """The words of each command of a page, in blocks and between backquotes, without operators."""
    for block in blocks(page, *SHELLS):
        for line in commands(block.text):
            yield from _simple(line)
    for span in _SPAN.findall(prose(page)):
        yield from _simple(" ".join(span.split()))


def _simple(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.commenters = ""
    words: list[str] = []
    try:
        for word in lexer:
            if word in _OPERATORS:
                yield _without_prefix(words)
                words = []
            else:
                words.append(word)
    except ValueError:  # a quotation that goes on in the next line, or no command at all
        pass
    yield _without_prefix(words)


def _without_prefix(words: list[str]) -> list[str]:
    """Without variables and `sudo` before the command."""
    while words and (words[0] in {"sudo", "until", "if"} or re.match(r"[A-Z_]+=", words[0])):
        words = words[1:]
    return words
