"""Decodes windows of one part of a recording to words, in batches."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby, pairwise
from typing import Any, TypeVar

from meet_transcriber.core.options import Task
from meet_transcriber.core.transcript import Span, Word, total_seconds
from meet_transcriber.core.word_timing import (
    RawWord,
    find_sparse_spans,
    fit_words,
    have_collapsed,
    join_pieces,
)
from meet_transcriber.engines.whisper.language_detection import DetectedLanguage
from meet_transcriber.engines.whisper.model import Alignment, Encoded, Hypothesis, SpeechModel
from meet_transcriber.engines.whisper.windows import Window, split_window
from meet_transcriber.ports.engines import Waveform, map_concurrently

_NO_SPEECH_PROB = 0.6  # together with _LOGPROB (openai/whisper: transcribe.py)
_LOGPROB = -1.0  # mean log probability below which a window is decoded again
_SURE_NO_SPEECH_PROB = 0.8
_UNLIKELY_LOGPROB = -0.8
_HALLUCINATION_SECONDS = 4.0  # of speech, from which the rate of words is judged
_FEW_WORDS = 1.4  # a second; people say 2 to 4
_HARDLY_ANY_WORDS = 0.3
_GRAM = 5  # tokens that are compared to find repetition
_MIN_GRAMS = 8
_DISTINCT_SHARE = 0.5  # of all grams; fewer are a loop
_SPARSE_SHARE = 0.8  # of a window that has too few words
_EMPTY_SECONDS = 2.0  # of speech without a single word
_RELIABLE_LOGPROB = -0.8  # of words that replace fewer ones

T = TypeVar("T")
R = TypeVar("R")

_HALVINGS = 3  # 30 seconds become 4
_TWO_LANGUAGES_SECONDS = 6.0  # shorter windows are not split by language


@dataclass(frozen=True)
class WindowResult:
    """
    The text of one window.

    Attributes:
        words: in seconds of the audio.
        sparse: stretches that seem to have too few words.
        collapsed: the words' times fell together and are estimated.
    """

    window: Window
    language: str
    hypothesis: Hypothesis
    text: str
    words: tuple[Word, ...]
    sparse: tuple[Span, ...]
    collapsed: bool

    @property
    def is_loop(self) -> bool:
        """Whether most of the text is repetition; counted in tokens, to work for any script."""
        tokens = self.hypothesis.tokens
        grams = [tokens[at : at + _GRAM] for at in range(len(tokens) - _GRAM + 1)]
        return len(grams) >= _MIN_GRAMS and len(set(grams)) < _DISTINCT_SHARE * len(grams)

    @property
    def is_hallucination(self) -> bool:
        """
        Whether the words were probably not said: unlikely, and few for the duration.

        The first rule is Whisper's own (openai/whisper: transcribe.py). Music, noise and hum
        detected as speech get one or two words in many seconds, unlike real speech.
        """
        logprob, no_speech = self.hypothesis.avg_logprob, self.hypothesis.no_speech_prob
        if no_speech > _NO_SPEECH_PROB and logprob < _LOGPROB:
            return True
        seconds = total_seconds(self.window.speech)
        if seconds < _HALLUCINATION_SECONDS:
            return False
        rate = len(self.words) / seconds
        unlikely = logprob < _UNLIKELY_LOGPROB and rate < _FEW_WORDS
        return unlikely or (no_speech > _SURE_NO_SPEECH_PROB and rate < _HARDLY_ANY_WORDS)

    @property
    def needs_fallback(self) -> bool:
        """Whether decoding the window in another way may help."""
        empty = not self.words and total_seconds(self.window.speech) >= _EMPTY_SECONDS
        missing = sum(span.duration for span in self.sparse)
        return self.penalty > -_LOGPROB or empty or missing >= _SPARSE_SHARE * self.window.duration

    @property
    def penalty(self) -> float:
        """Negative mean log probability; 2 more for a text that cannot be right."""
        # A loop has a high probability, as each repetition makes the next one likelier.
        broken = self.is_loop or not self.hypothesis.finished
        return -self.hypothesis.avg_logprob + 2.0 * broken + 1.0 * self.collapsed

    @property
    def is_reliable(self) -> bool:
        """Whether the words may replace those of an earlier attempt."""
        if self.is_loop or self.collapsed or not self.hypothesis.finished or self.is_hallucination:
            return False
        return self.hypothesis.avg_logprob >= _RELIABLE_LOGPROB


class WindowDecoder:
    """
    Decodes windows of one part of a recording; not thread-safe.

    Args:
        previous_text: tokens of the prompt.
        batch_size: windows decoded together.
        chinese: the script of Chinese text, `zh-Hans` or `zh-Hant`; None is simplified.
        on_decoded: called with the number of windows after each batch.
    """

    def __init__(
        self,
        model: SpeechModel,
        audio: Waveform,
        task: Task,
        previous_text: Sequence[int],
        batch_size: int,
        chinese: str | None,
        on_decoded: Callable[[int], None],
    ) -> None:
        self._model = model
        self._audio = audio
        self._task = task
        self._previous_text = list(previous_text)
        self._batch_size = batch_size
        self._chinese = chinese
        self._on_decoded = on_decoded
        self._encoded: dict[Window, tuple[Encoded, int]] = {}

    def detect_mixed_languages(
        self, windows: Sequence[Window]
    ) -> list[list[tuple[Window, DetectedLanguage]]]:
        """
        Detect the languages of each window; windows that may have several are halved.

        Encodings of whole windows are kept for `decode`.
        """
        found = [[each] for each in self.detect_languages(windows)]
        for _ in range(_HALVINGS):
            spoken = {detected.language for group in found for _, detected in group}
            halves = {
                window: pair
                for group in found
                for window, detected in group
                if detected.may_be_mixed(spoken) and window.duration >= _TWO_LANGUAGES_SECONDS
                if (pair := split_window(self._audio, window))
            }
            again = iter(self._detect([half for pair in halves.values() for half in pair]))
            parts = {window: [next(again), next(again)] for window in halves}
            found = [
                [part for each in group for part in parts.get(each[0], [each])] for group in found
            ]
        return found

    def detect_languages(self, windows: Sequence[Window]) -> list[tuple[Window, DetectedLanguage]]:
        """Detect the language of each window; the encodings are kept for `decode`."""
        return self._detect(windows, keep=True)

    def decode(self, windows: Sequence[tuple[Window, str]]) -> Iterator[WindowResult]:
        """Decode windows with known languages; results are in the same order."""
        batches = [
            batch
            for encoded, group in groupby(windows, key=self._encoding_id)
            for batch in ([list(group)] if encoded else self._split(list(group)))
        ]
        for batch, found in self._run(self._decode_batch, batches):
            self._on_decoded(len(batch))
            for window, _ in batch:
                self._encoded.pop(window, None)
            yield from found

    def drop_encodings(self) -> None:
        """Free the encodings of windows that were not decoded."""
        self._encoded.clear()

    def _split(self, items: Sequence[T]) -> list[list[T]]:
        """Split windows into batches of nearly equal size that keep every replica busy."""
        if not items:
            return []
        replicas, size, count = self._model.replicas, self._batch_size, len(items)
        # A multiple of the replicas, so that none idles while the others decode the last batch.
        batches = min(-(-count // (size * replicas)) * replicas, count)
        edges = [count * at // batches for at in range(batches + 1)]
        return [list(items[low:high]) for low, high in pairwise(edges)]

    def _run(
        self, work: Callable[[list[T]], R], batches: Sequence[list[T]]
    ) -> Iterator[tuple[list[T], R]]:
        """Run batches concurrently; yields each with its result, in order."""
        # one thread more than replicas on a GPU, so that it never waits for features
        threads = self._model.replicas + (self._model.device != "cpu")
        return zip(batches, map_concurrently(work, batches, threads), strict=True)

    def _encoding_id(self, item: tuple[Window, str]) -> int:
        """Identify the kept encoding that contains the window; 0 if there is none."""
        encoded, _ = self._encoded.get(item[0], (None, 0))
        return id(encoded) if encoded is not None else 0

    def _detect(
        self, windows: Sequence[Window], *, keep: bool = False
    ) -> list[tuple[Window, DetectedLanguage]]:
        found: list[tuple[Window, DetectedLanguage]] = []

        def detect(batch: list[Window]) -> tuple[Encoded, list[Mapping[str, float]]]:
            encoded = self._encode(batch)
            return encoded, self._model.detect_languages(encoded)

        for batch, (encoded, results) in self._run(detect, self._split(windows)):
            for place, window in enumerate(batch):
                detected = DetectedLanguage(window.start, window.end, results[place])
                found.append((window, detected))
                if keep:
                    self._encoded[window] = (encoded, place)
        return found

    def _encode(self, windows: Sequence[Window]) -> Encoded:
        return self._model.encode([window.samples(self._audio) for window in windows])

    def _decode_batch(self, batch: list[tuple[Window, str]]) -> list[WindowResult]:
        windows = [window for window, _ in batch]
        encoded, _ = self._encoded.get(windows[0], (None, 0))
        if encoded is None:
            encoded = self._encode(windows)
        else:
            encoded = self._model.select(encoded, [self._encoded[each][1] for each in windows])
        no_timestamps = self._model.tokens.no_timestamps
        prompts = [
            [*self._previous_text, *self._sot_sequence(language), no_timestamps]
            for _, language in batch
        ]
        # Bounds the tokens: without a bound a loop goes on to the end of the context.
        longest = max(window.duration for window in windows)
        found = self._model.decode(encoded, prompts, longest)
        alignments = self._align(encoded, batch, found)
        return [
            self._to_result(*item, hypothesis, alignment)
            for item, hypothesis, alignment in zip(batch, found, alignments, strict=True)
        ]

    def _sot_sequence(self, language: str) -> list[int]:
        multilingual = len(self._model.languages) > 1
        return self._model.tokens.sot_sequence(language if multilingual else None, self._task)

    def _align(
        self, encoded: Encoded, batch: Sequence[tuple[Window, str]], found: Sequence[Hypothesis]
    ) -> list[Alignment | None]:
        """Align each text, those of one language together; None for an empty text."""
        result: list[Alignment | None] = [None] * len(batch)
        for language in dict.fromkeys(language for _, language in batch):
            places = [
                place
                for place, (_, each) in enumerate(batch)
                if each == language and found[place].tokens
            ]
            if not places:
                continue
            alignments = self._model.align(
                self._model.select(encoded, places),
                self._sot_sequence(language),
                [found[place].tokens for place in places],
                [batch[place][0].duration for place in places],
            )
            for place, alignment in zip(places, alignments, strict=True):
                result[place] = alignment
        return result

    def _to_result(
        self, window: Window, language: str, hypothesis: Hypothesis, alignment: Alignment | None
    ) -> WindowResult:
        pieces = self._model.tokens.pieces(hypothesis.tokens)
        texts = [piece.text for piece in pieces]
        if language == "zh":
            texts = _convert_chinese(texts, self._chinese)
        raw: list[RawWord] = []
        at = 0
        for piece, text in zip(pieces, texts, strict=True):
            raw.append(_raw_word(text, window, alignment, at, at + piece.tokens))
            at += piece.tokens
        words = join_pieces(raw)
        return WindowResult(
            window,
            language,
            hypothesis,
            "".join(texts),
            fit_words(words, window.speech) if words else (),
            tuple(find_sparse_spans(words, window.speech)) if words and alignment else (),
            have_collapsed(words),
        )


def _raw_word(
    text: str, window: Window, alignment: Alignment | None, first: int, last: int
) -> RawWord:
    """Time a piece of text that consists of tokens `first` to `last`, in seconds of the audio."""
    if alignment is None:
        return RawWord(text)
    span = window.to_audio_time(alignment.edges[first], alignment.edges[last])
    odds = alignment.probabilities[first:last]
    return RawWord(text, span.start, span.end, sum(odds) / len(odds) if odds else None)


_OPENCC_CONFIGS = {"zh-Hans": "t2s", "zh-Hant": "s2t"}


def _convert_chinese(texts: Sequence[str], script: str | None) -> list[str]:
    """
    Convert pieces of a Chinese text to one script, as Whisper mixes both.

    Args:
        script: `zh-Hans` or `zh-Hant`; None is simplified, the likely script of `zh` (CLDR,
            likely subtags).
    """
    converter = _opencc(_OPENCC_CONFIGS[script or "zh-Hans"])
    # As a whole, because a character of a phrase may have to become another one than by itself.
    whole = "".join(texts)
    converted: str = converter.convert(whole)
    # A phrase of another length: it is unknown which characters belong to which piece.
    if len(converted) != len(whole):
        return [converter.convert(text) for text in texts]
    result, at = [], 0
    for text in texts:
        result.append(converted[at : at + len(text)])
        at += len(text)
    return result


@cache
def _opencc(config: str) -> Any:
    import opencc  # noqa: PLC0415 - native code, loaded only for Chinese

    return opencc.OpenCC(config)
