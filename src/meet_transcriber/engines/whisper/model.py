"""A Whisper model on CTranslate2: what the decoder asks of it, batch by batch."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.core.options import Task
from meet_transcriber.ports.engines import Waveform

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


STEPS_PER_SECOND = 50
"""Steps of the encoder's output; times of words are multiples of one."""

_FRAMES = 3000  # of features in a window of 30 seconds
_FRAMES_PER_SECOND = 100
_SAMPLES = 480_000
_MOST_REPLICAS = 4

_BEAMS = 5
_TOKENS_PER_SECOND = 20  # nobody speaks this fast in any language; more is a loop
_FEWEST_TOKENS = 40


@dataclass(frozen=True)
class Hypothesis:
    """
    What the decoder takes a window for.

    Attributes:
        tokens: of the text.
        log_probability: mean over the tokens, natural logarithm.
        no_speech: probability that nobody speaks.
        whole: the decoder ended by itself and was not cut off.
    """

    tokens: tuple[int, ...]
    log_probability: float
    no_speech: float
    whole: bool = True


@dataclass(frozen=True)
class Alignment:
    """
    When each token of a text is spoken, in seconds of its window.

    Attributes:
        edges: (tokens + 1,) seconds; token i is spoken from edge i to edge i + 1.
        probabilities: (tokens,) of each token, in [0, 1].
    """

    edges: tuple[float, ...]
    probabilities: tuple[float, ...]


class Encoded(Protocol):
    """Windows as the encoder sees them, wherever they are kept."""

    def __len__(self) -> int: ...


class SpeechModel(Protocol):
    """A Whisper model as the recognizer uses it; tests script one of their own."""

    name: str
    device: str
    tokens: Tokens
    replicas: int
    """How many batches may be worked on side by side."""

    @property
    def languages(self) -> Sequence[str]:
        """Codes that it knows; only `en` where it is not multilingual."""
        ...

    def encode(self, windows: Sequence[Waveform]) -> Encoded:
        """Encode up to 30 seconds of each window."""
        ...

    def select(self, encoded: Encoded, places: Sequence[int]) -> Encoded:
        """Some windows of a batch, in the order asked for."""
        ...

    def detect_languages(self, encoded: Encoded) -> list[Mapping[str, float]]:
        """The probability of every language in each window; several where several are spoken."""
        ...

    def decode(
        self, encoded: Encoded, prompts: Sequence[Sequence[int]], seconds: float
    ) -> list[Hypothesis]:
        """
        The likeliest text of each window.

        Args:
            prompts: of the same length for every window.
            seconds: of the longest window, which limits how much can have been said.
        """
        ...

    def align(
        self,
        encoded: Encoded,
        start: Sequence[int],
        texts: Sequence[Sequence[int]],
        seconds: Sequence[float],
    ) -> list[Alignment]:
        """
        When the tokens of each window's text are spoken.

        Args:
            start: the tokens that say language and task.
            seconds: of each window.
        """
        ...


class CTranslate2Model:
    """
    A SpeechModel on a folder in CTranslate2's format.

    Args:
        folder: with model.bin, config.json, vocabulary.* and tokenizer.json.
        name: what results call the model.
        device: `cpu` or `cuda`.
        compute_type: precision; None takes int8 on a CPU and float16 where a GPU has it.
        threads: CPU cores to use.

    Raises:
        EngineUnavailable: the model cannot be loaded.
    """

    def __init__(
        self, folder: Path, name: str, device: str, compute_type: str | None, threads: int
    ) -> None:
        try:
            import ctranslate2  # noqa: PLC0415 - native code, loaded only where it is used
            from faster_whisper.feature_extractor import FeatureExtractor  # noqa: PLC0415
        except (ImportError, OSError) as error:
            raise EngineUnavailable(
                f"CTranslate2 cannot be loaded ({error}); run: pip install faster-whisper"
            ) from error
        # A batch per core is faster than one batch on all cores: most steps of the decoder are
        # too small to be divided. Two cores: 1.07 s a window instead of 1.49 s (base, int8).
        self.replicas = min(threads, _MOST_REPLICAS) if device == "cpu" else 1
        try:
            precision = compute_type or _precision(ctranslate2.get_supported_compute_types(device))
            self._model = ctranslate2.models.Whisper(
                str(folder),
                device=device,
                compute_type=precision,
                inter_threads=self.replicas,
                intra_threads=max(threads // self.replicas, 1),
            )
            self.tokens = Tokens(folder / "tokenizer.json")
        except (RuntimeError, ValueError, OSError, KeyError) as error:
            raise EngineUnavailable(
                f"The Whisper model in {folder.name} cannot be loaded on {device}: {error}."
            ) from error
        self._view = ctranslate2.StorageView.from_array
        self._cpu = ctranslate2.Device.cpu
        self._extract = FeatureExtractor(feature_size=self._model.n_mels)
        self.device = device
        self.name = f"whisper {name} {precision} {device}"
        self.languages = self.tokens.languages if self._model.is_multilingual else ("en",)

    def encode(self, windows: Sequence[Waveform]) -> Any:
        features = np.stack([self._features(window) for window in windows])
        return self._model.encode(self._view(features))

    def _features(self, window: Waveform) -> npt.NDArray[np.float32]:
        """(mels, 3000) log-mel spectrogram of a window, padded with silence as in training."""
        padded = np.zeros(_SAMPLES, dtype=np.float32)
        padded[: len(window)] = window[:_SAMPLES]
        spectrum: npt.NDArray[np.float32] = self._extract(padded, padding=0)[:, :_FRAMES]
        return spectrum

    def select(self, encoded: Any, places: Sequence[int]) -> Any:
        if list(places) == list(range(encoded.shape[0])):
            return encoded
        return self._view(np.ascontiguousarray(self._as_array(encoded)[list(places)]))

    def detect_languages(self, encoded: Any) -> list[Mapping[str, float]]:
        return [
            {token[2:-2]: float(probability) for token, probability in found}
            for found in self._model.detect_language(encoded)
        ]

    def decode(
        self, encoded: Any, prompts: Sequence[Sequence[int]], seconds: float
    ) -> list[Hypothesis]:
        longest = min(round(_FEWEST_TOKENS + _TOKENS_PER_SECOND * seconds), MOST_TOKENS)
        length = len(prompts[0])
        results = self._model.generate(
            encoded,
            [list(prompt) for prompt in prompts],
            beam_size=_BEAMS,
            # CTranslate2 allows the text half of this, and the rest of it after the prompt
            max_length=min(max(2 * longest, longest + length), POSITIONS),
            return_scores=True,
            return_no_speech_prob=True,
        )
        found = []
        for result in results:
            tokens = tuple(result.sequences_ids[0])
            found.append(
                Hypothesis(
                    tuple(token for token in tokens if token < self.tokens.end),
                    float(result.scores[0]) * len(tokens) / (len(tokens) + 1),
                    float(result.no_speech_prob),
                    len(tokens) < longest,
                )
            )
        return found

    def align(
        self,
        encoded: Any,
        start: Sequence[int],
        texts: Sequence[Sequence[int]],
        seconds: Sequence[float],
    ) -> list[Alignment]:
        frames = [min(round(each * _FRAMES_PER_SECOND), _FRAMES) for each in seconds]
        results = self._model.align(encoded, list(start), [list(text) for text in texts], frames)
        return [
            _alignment(result, len(text), length)
            for result, text, length in zip(results, texts, seconds, strict=True)
        ]

    def _as_array(self, encoded: Any) -> npt.NDArray[Any]:
        """(windows, 1500, values); on the CPU without a copy."""
        return np.asarray(encoded if self.device == "cpu" else encoded.to_device(self._cpu))


def _alignment(result: Any, tokens: int, seconds: float) -> Alignment:
    """Where the path through tokens and time steps first enters each token."""
    path = np.array(result.alignments, dtype=np.int64).reshape(-1, 2)
    edges = np.full(tokens + 1, seconds)
    if len(path):
        first = np.searchsorted(path[:, 0], np.arange(tokens + 1))
        reached = first < len(path)
        edges[reached] = path[first[reached], 1] / STEPS_PER_SECOND
    probabilities = [float(each) for each in result.text_token_probs][:tokens]
    return Alignment(tuple(edges.tolist()), tuple(probabilities))


def _precision(supported: set[str]) -> str:
    """float16 where a GPU computes it well, int8 elsewhere."""
    return next(
        kind for kind in ("float16", "int8_float16", "int8", "float32") if kind in supported
    )
