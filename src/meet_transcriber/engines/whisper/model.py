"""A Whisper model on CTranslate2 and its tokenizer."""

import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.core.options import Task
from meet_transcriber.ports.engines import Waveform

_CONTEXT_LENGTH = 448  # tokens of the decoder: previous text, prompt and text
_MAX_TOKENS = _CONTEXT_LENGTH // 2  # of one window's text (openai/whisper: decoding.py)
_LANGUAGE_TOKEN = re.compile(r"<\|([a-z]{2,3})\|>")
_REPLACEMENT = "\ufffd"  # what an incomplete UTF-8 sequence decodes to

_STEPS_PER_SECOND = 50  # of the encoder's output; word times are multiples of one step
_FRAMES = 3000  # of features in a window of 30 seconds
_FRAMES_PER_SECOND = 100
_SAMPLES = 480_000
_MAX_REPLICAS = 4
_BEAM_SIZE = 5
_TOKENS_PER_SECOND = 20  # faster than speech in any language; more is a loop
_MIN_TOKENS = 40


@dataclass(frozen=True)
class Piece:
    """The shortest text that whole tokens make: one token, or several that share a character."""

    text: str
    tokens: int


class Tokenizer:
    """
    The vocabulary of one model.

    Args:
        file: tokenizer.json of the model.

    Attributes:
        eot: `<|endoftext|>`; all special tokens follow it.
        no_timestamps: the token that asks for text without timestamps.
        languages: the codes of all languages that have a token.

    Raises:
        ValueError: the file is missing or not a vocabulary.
        KeyError: it lacks a special token.
    """

    def __init__(self, file: Path) -> None:
        import tokenizers  # noqa: PLC0415 - native code, loaded only where it is used

        try:
            self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises nothing narrower
            raise ValueError(f"{file.name}: {error}") from error
        self.eot, self.no_timestamps = self._id("<|endoftext|>"), self._id("<|notimestamps|>")
        added = self._tokenizer.get_added_tokens_decoder().values()
        found = (_LANGUAGE_TOKEN.fullmatch(token.content) for token in added)
        self.languages = tuple(match.group(1) for match in found if match)

    def sot_sequence(self, language: str | None, task: Task) -> list[int]:
        """Return the start-of-transcript tokens; `language` is None for English-only models."""
        tokens = [self._id("<|startoftranscript|>")]
        if language is not None:
            tokens += [self._id(f"<|{language}|>"), self._id(f"<|{task}|>")]
        return tokens

    def previous_text(self, hotwords: Sequence[str], prompt: str | None) -> tuple[list[int], int]:
        """
        Return the tokens that stand for previous text, and how many tokens did not fit.

        Half of the decoder's positions belong to the text. If the other half is too short, the
        first tokens of the hotwords and the last ones of the prompt are kept; each gets half of
        the space, or what the other leaves.
        """
        words = self._encode(", ".join(word.strip() for word in hotwords if word.strip()))
        before = self._encode(prompt or "")
        space = _MAX_TOKENS - 2  # <|startofprev|>, and one position that decoding needs
        for_words = min(len(words), max(space // 2, space - len(before)))
        for_prompt = min(len(before), space - for_words)
        kept = words[:for_words] + (before[-for_prompt:] if for_prompt else [])
        cut = len(words) + len(before) - len(kept)
        return [self._id("<|startofprev|>"), *kept] if kept else [], cut

    def pieces(self, tokens: Sequence[int]) -> list[Piece]:
        """Return the text of each token; tokens that share a character form one piece."""
        found: list[Piece] = []
        pending: list[int] = []
        for place, token in enumerate(tokens, start=1):
            pending.append(token)
            text = self._tokenizer.decode(pending)
            # decoding may have stopped in the middle of a character
            if place == len(tokens) or not text.endswith(_REPLACEMENT):
                found.append(Piece(text.replace(_REPLACEMENT, ""), len(pending)))
                pending = []
        return found

    def _encode(self, text: str) -> list[int]:
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


@dataclass(frozen=True)
class Hypothesis:
    """
    The decoder's result for a window.

    Attributes:
        tokens: of the text, without special tokens.
        avg_logprob: mean log probability of the tokens, natural logarithm.
        no_speech_prob: probability that the window has no speech.
        finished: the decoder ended the text itself and was not cut off.
    """

    tokens: tuple[int, ...]
    avg_logprob: float
    no_speech_prob: float
    finished: bool = True


@dataclass(frozen=True)
class Alignment:
    """
    When each token of a text is spoken.

    Attributes:
        edges: (tokens + 1,) seconds from the window's start; token i lasts from edge i to i + 1.
        probabilities: (tokens,) in [0, 1].
    """

    edges: tuple[float, ...]
    probabilities: tuple[float, ...]


class Encoded(Protocol):
    """Encoder output of a batch of windows, on any device."""

    def __len__(self) -> int: ...


class SpeechModel(Protocol):
    """A Whisper model as the recognizer uses it."""

    name: str
    device: str
    tokens: Tokenizer
    replicas: int
    """Number of batches that run concurrently."""

    @property
    def languages(self) -> Sequence[str]:
        """Codes of the languages that the model knows; `en` alone for English-only models."""
        ...

    def encode(self, windows: Sequence[Waveform]) -> Encoded:
        """Encode up to 30 seconds of each window."""
        ...

    def select(self, encoded: Encoded, places: Sequence[int]) -> Encoded:
        """Return the windows of a batch at the given indices, in that order."""
        ...

    def detect_languages(self, encoded: Encoded) -> list[Mapping[str, float]]:
        """Return the probability of each language in each window."""
        ...

    def decode(
        self, encoded: Encoded, prompts: Sequence[Sequence[int]], seconds: float
    ) -> list[Hypothesis]:
        """
        Return the likeliest text of each window.

        Args:
            prompts: tokens before the text, the same number for each window.
            seconds: duration of the longest window; limits the number of tokens.
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
        Return when the tokens of each window's text are spoken.

        Args:
            start: the start-of-transcript tokens.
            seconds: duration of each window.
        """
        ...


def import_library(name: str) -> ModuleType:
    """Import native code, which loads only when it is used; raises EngineUnavailable."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise EngineUnavailable(
            f"{name} cannot be loaded ({error}); run: pip install faster-whisper"
        ) from error


class CTranslate2Model:
    """
    A SpeechModel on a folder in CTranslate2's format.

    Args:
        folder: with model.bin, config.json, vocabulary.* and tokenizer.json.
        name: the model's name in results.
        device: `cpu` or `cuda`.
        compute_type: precision; None takes int8 on a CPU, and float16 on a GPU that supports it.
        threads: CPU cores to use.

    Raises:
        EngineUnavailable: the model cannot be loaded.
    """

    def __init__(
        self, folder: Path, name: str, device: str, compute_type: str | None, threads: int
    ) -> None:
        ctranslate2 = import_library("ctranslate2")
        extractor = import_library("faster_whisper.feature_extractor")
        # A batch per core is faster than one batch on all cores: most steps of the decoder are
        # too small to be divided. Two cores: 1.07 s a window instead of 1.49 s (base, int8).
        self.replicas = min(threads, _MAX_REPLICAS) if device == "cpu" else 1
        try:
            # float16 if the device computes it efficiently
            kinds = ("float16", "int8_float16", "int8", "float32")
            supported = ctranslate2.get_supported_compute_types(device)
            precision = compute_type or next(kind for kind in kinds if kind in supported)
            self._model = ctranslate2.models.Whisper(
                str(folder),
                device=device,
                compute_type=precision,
                inter_threads=self.replicas,
                intra_threads=max(threads // self.replicas, 1),
            )
            self.tokens = Tokenizer(folder / "tokenizer.json")
        except (RuntimeError, ValueError, OSError, KeyError) as error:
            raise EngineUnavailable(
                f"The Whisper model in {folder.name} cannot be loaded on {device}: {error}."
            ) from error
        self._view = ctranslate2.StorageView.from_array
        self._cpu = ctranslate2.Device.cpu
        self._extract = extractor.FeatureExtractor(feature_size=self._model.n_mels)
        self.device = device
        self.name = f"whisper {name} {precision} {device}"
        self.languages = self.tokens.languages if self._model.is_multilingual else ("en",)

    def encode(self, windows: Sequence[Waveform]) -> Any:
        """See `SpeechModel`."""
        features = np.stack([self._features(window) for window in windows])
        return self._model.encode(self._view(features))

    def _features(self, window: Waveform) -> npt.NDArray[np.float32]:
        """(mels, 3000) log-mel spectrogram of a window, padded with silence as in training."""
        padded = np.zeros(_SAMPLES, dtype=np.float32)
        padded[: len(window)] = window[:_SAMPLES]
        spectrum: npt.NDArray[np.float32] = self._extract(padded, padding=0)[:, :_FRAMES]
        return spectrum

    def select(self, encoded: Any, places: Sequence[int]) -> Any:
        """See `SpeechModel`."""
        if list(places) == list(range(encoded.shape[0])):
            return encoded
        # (windows, 1500, values); not copied on the CPU
        values = np.asarray(encoded if self.device == "cpu" else encoded.to_device(self._cpu))
        return self._view(np.ascontiguousarray(values[list(places)]))

    def detect_languages(self, encoded: Any) -> list[Mapping[str, float]]:
        """See `SpeechModel`."""
        return [
            {token[2:-2]: float(probability) for token, probability in found}
            for found in self._model.detect_language(encoded)
        ]

    def decode(
        self, encoded: Any, prompts: Sequence[Sequence[int]], seconds: float
    ) -> list[Hypothesis]:
        """See `SpeechModel`."""
        longest = min(round(_MIN_TOKENS + _TOKENS_PER_SECOND * seconds), _MAX_TOKENS)
        length = len(prompts[0])
        # Never sampled: CTranslate2 seeds its generator once per thread, so the words would depend
        # on what the thread did before (decision 12).
        results = self._model.generate(
            encoded,
            [list(prompt) for prompt in prompts],
            beam_size=_BEAM_SIZE,
            # CTranslate2 limits the text to half of this, and prompt and text together to all of it
            max_length=min(max(2 * longest, longest + length), _CONTEXT_LENGTH),
            return_scores=True,
            return_no_speech_prob=True,
        )
        found = []
        for result in results:
            tokens = tuple(result.sequences_ids[0])
            found.append(
                Hypothesis(
                    tuple(token for token in tokens if token < self.tokens.eot),
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
        """See `SpeechModel`."""
        frames = [min(round(each * _FRAMES_PER_SECOND), _FRAMES) for each in seconds]
        results = self._model.align(encoded, list(start), [list(text) for text in texts], frames)
        return [
            _alignment(result, len(text), length)
            for result, text, length in zip(results, texts, seconds, strict=True)
        ]


def _alignment(result: Any, tokens: int, seconds: float) -> Alignment:
    """Take the time step at which the alignment path first enters each token."""
    path = np.array(result.alignments, dtype=np.int64).reshape(-1, 2)
    edges = np.full(tokens + 1, seconds)
    if len(path):
        first = np.searchsorted(path[:, 0], np.arange(tokens + 1))
        reached = first < len(path)
        edges[reached] = path[first[reached], 1] / _STEPS_PER_SECOND
    probabilities = [float(each) for each in result.text_token_probs][:tokens]
    return Alignment(tuple(edges.tolist()), tuple(probabilities))
