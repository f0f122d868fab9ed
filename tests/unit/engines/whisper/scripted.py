"""A Whisper model whose words are encoded in the samples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np

from meet_transcriber.core.options import Options, Task
from meet_transcriber.core.transcript import Removed, Segment, Span, TranscriptWarning, Word
from meet_transcriber.engines.whisper.model import Alignment, Hypothesis, Piece
from meet_transcriber.engines.whisper.recognizer import WhisperRecognizer
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Finding, Waveform

LANGUAGES = ("en", "de", "fr", "zh")
_SCALE = 4096.0
_WHOLE_SHARE = 0.6  # of a word that has to be heard

Heard = list[tuple[int, float, float]]
"""Numbers of words, with start and end in seconds of a window."""


@dataclass
class Script:
    """Words with times and languages."""

    words: list[Word] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)

    def say(self, text: str, start: float, language: str = "en", seconds: float = 0.3) -> float:
        """Add words one after another; returns the end of the last."""
        for word in text.split():
            self.words.append(Word(word, start, start + seconds))
            self.languages.append(language)
            start += seconds
        return start

    def audio(self, seconds: float) -> Waveform:
        """Return samples whose values are the numbers of words, 0 in silence."""
        samples = np.zeros(round(seconds * SAMPLE_RATE_HZ), dtype=np.float32)
        for number, word in enumerate(self.words, 1):
            low, high = round(word.start * SAMPLE_RATE_HZ), round(word.end * SAMPLE_RATE_HZ)
            samples[low:high] = number / _SCALE
        return samples


class ScriptedTokens:
    """Tokens that are the numbers of words."""

    eot = 1_000_000
    no_timestamps = 1_000_001

    def __init__(self, script: Script) -> None:
        self._script = script

    def sot_sequence(self, language: str | None, task: Task) -> list[int]:
        place = LANGUAGES.index(language) if language else 0
        return [1_000_100, 1_000_200 + place, 1_000_300 + (task == "translate")]

    def previous_text(self, hotwords: Sequence[str], prompt: str | None) -> tuple[list[int], int]:
        long = max(len((prompt or "").split()) - 200, 0)
        return ([1_000_400] if hotwords or prompt else []), long

    def pieces(self, tokens: Sequence[int]) -> list[Piece]:
        return [Piece(f" {self._script.words[token - 1].text}", 1) for token in tokens]


Change = Callable[[Heard, str], tuple[Heard, float]]
"""From what a window holds and the language asked for to what the model makes of it, with its
mean log probability."""


class ScriptedModel:
    """
    A SpeechModel on a script.

    Args:
        change: lets it go wrong.
        no_speech: the probability that it gives to silence everywhere.
    """

    name, device, replicas = "scripted", "cpu", 2

    def __init__(
        self,
        script: Script,
        change: Change = lambda heard, _language: (heard, -0.2),
        no_speech: float = 0.0,
        languages: Sequence[str] = LANGUAGES,
    ) -> None:
        self._script = script
        self._change = change
        self._no_speech = no_speech
        self.languages = languages
        self.tokens: Any = ScriptedTokens(script)
        self.decoded = 0

    def encode(self, windows: Sequence[Waveform]) -> list[Heard]:
        assert all(len(window) <= 30 * SAMPLE_RATE_HZ + 2 for window in windows)
        return [self._read(window) for window in windows]

    def _read(self, window: Waveform) -> Heard:
        numbers = np.rint(window[:: SAMPLE_RATE_HZ // 100] * _SCALE).astype(int)
        heard, at = [], 0
        for number, run in groupby(numbers.tolist()):
            length = len(list(run))
            if number:
                word = self._script.words[number - 1]
                if length / 100 >= _WHOLE_SHARE * (word.end - word.start):
                    heard.append((number, at / 100, (at + length) / 100))
            at += length
        return heard

    def select(self, encoded: Any, places: Sequence[int]) -> list[Heard]:
        return [encoded[place] for place in places]

    def detect_languages(self, encoded: Any) -> list[Mapping[str, float]]:
        found: list[Mapping[str, float]] = []
        for heard in encoded:
            seconds = dict.fromkeys(LANGUAGES, 1e-4)
            for number, start, end in heard:
                seconds[self._script.languages[number - 1]] += end - start
            total = sum(seconds.values())
            # as Whisper does: the language of most of a window takes nearly all of it
            sharp = {code: (each / total) ** 3 for code, each in seconds.items()}
            found.append({code: each / sum(sharp.values()) for code, each in sharp.items()})
        return found

    def decode(
        self, encoded: Any, prompts: Sequence[Sequence[int]], seconds: float
    ) -> list[Hypothesis]:
        self.decoded += len(encoded)
        found = []
        for heard, prompt in zip(encoded, prompts, strict=True):
            language = LANGUAGES[prompt[-3] - 1_000_200]
            said, likelihood = self._change(list(heard), language)
            tokens = tuple(number for number, _, _ in said)
            found.append(Hypothesis(tokens, likelihood, self._no_speech))
        return found

    def align(
        self,
        encoded: Any,
        start: Sequence[int],
        texts: Sequence[Sequence[int]],
        seconds: Sequence[float],
    ) -> list[Alignment]:
        found = []
        for heard, text, length in zip(encoded, texts, seconds, strict=True):
            starts = dict(reversed([(number, at) for number, at, _ in heard]))
            edges, latest = [], 0.0
            for number in text:
                latest = max(starts.get(number, latest), latest)
                edges.append(latest)
            last = heard[-1][2] if heard else length
            found.append(Alignment((*edges, max(last, latest)), (0.9,) * len(text)))
        return found


@dataclass
class Outcome:
    """The findings of a recognizer."""

    segments: list[Segment]
    removed: list[Removed]
    warnings: list[TranscriptWarning]

    @property
    def words(self) -> list[Word]:
        return [word for segment in self.segments for word in segment.words]

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


def recognized(
    model: ScriptedModel,
    audio: Waveform,
    speech: Sequence[Span],
    options: Options | None = None,
    progress: Callable[[float], None] = lambda _share: None,
) -> Outcome:
    """Return the findings of a recognizer on the model by kind."""
    found: list[Finding] = list(
        WhisperRecognizer(model).recognize(audio, speech, options or Options(), progress)
    )
    return Outcome(
        [each for each in found if isinstance(each, Segment)],
        [each for each in found if isinstance(each, Removed)],
        [each for each in found if isinstance(each, TranscriptWarning)],
    )
