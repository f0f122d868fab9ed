"""Whisper's tokens: prompts in, text with its pieces out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from meet_transcriber.core.options import Task

POSITIONS = 448
"""Tokens that the decoder holds: what came before, the prompt, and the text."""

MOST_TOKENS = POSITIONS // 2
"""Tokens that the text of one window may have (openai/whisper: decoding.py)."""

_CODE = re.compile(r"<\|([a-z]{2,3})\|>")
_REPLACEMENT = "\ufffd"  # what an incomplete UTF-8 sequence decodes to


@dataclass(frozen=True)
class Piece:
    """The shortest text that whole tokens make: one token, or several that share a character."""

    text: str
    tokens: int


class Tokens:
    """
    The vocabulary of one model.

    Args:
        file: tokenizer.json of the model.

    Raises:
        ValueError: it is missing or no vocabulary.
    """

    def __init__(self, file: Path) -> None:
        import tokenizers  # noqa: PLC0415 - native code, loaded only where it is used

        try:
            self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises nothing narrower
            raise ValueError(f"{file.name}: {error}") from error

    @cached_property
    def end(self) -> int:
        """The first token that is no text."""
        return self._id("<|endoftext|>")

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """The codes of every language that has a token."""
        added = self._tokenizer.get_added_tokens_decoder().values()
        found = (_CODE.fullmatch(token.content) for token in added)
        return tuple(match.group(1) for match in found if match)

    def start(self, language: str | None, task: Task) -> list[int]:
        """The tokens that say what to do; `language` is None for models of English only."""
        tokens = [self._id("<|startoftranscript|>")]
        if language is not None:
            tokens += [self._id(f"<|{language}|>"), self._id(f"<|{task}|>")]
        return tokens

    @cached_property
    def without_times(self) -> int:
        """The token that asks for text without timestamps."""
        return self._id("<|notimestamps|>")

    def context(self, hotwords: Sequence[str], prompt: str | None) -> tuple[list[int], int]:
        """
        Tokens that stand for what was said before, and how many did not fit.

        Half of the decoder's positions are the text's own. Where the rest is too short, hotwords
        keep their first and the prompt its last tokens, each half of it or what the other leaves.
        """
        words = self._encoded(", ".join(word.strip() for word in hotwords if word.strip()))
        before = self._encoded(prompt or "")
        room = MOST_TOKENS - 2  # <|startofprev|>, and one position that decoding needs
        for_words = min(len(words), max(room // 2, room - len(before)))
        for_prompt = min(len(before), room - for_words)
        kept = words[:for_words] + (before[-for_prompt:] if for_prompt else [])
        cut = len(words) + len(before) - len(kept)
        return [self._id("<|startofprev|>"), *kept] if kept else [], cut

    def text(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without half characters."""
        return "".join(piece.text for piece in self.pieces(tokens))

    def pieces(self, tokens: Sequence[int]) -> list[Piece]:
        """The text of each token, tokens that share a character taken together."""
        found: list[Piece] = []
        pending: list[int] = []
        for token in tokens:
            pending.append(token)
            text = self._tokenizer.decode(pending)
            if not text.endswith(_REPLACEMENT):
                found.append(Piece(text.replace(_REPLACEMENT, ""), len(pending)))
                pending = []
        if pending:  # decoding stopped in the middle of a character
            text = self._tokenizer.decode(pending).replace(_REPLACEMENT, "")
            found.append(Piece(text, len(pending)))
        return found

    def _encoded(self, text: str) -> list[int]:
        stripped = text.strip()
        if not stripped:
            return []
        ids: list[int] = self._tokenizer.encode(f" {stripped}", add_special_tokens=False).ids
        return ids

    def _id(self, token: str) -> int:
        found: int | None = self._tokenizer.token_to_id(token)
        if found is None:
            raise KeyError(f"tokenizer.json has no {token}")
        return found
