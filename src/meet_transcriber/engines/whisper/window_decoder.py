"""Windows of one stretch of audio to words, in batches, each kept with its window."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import groupby, pairwise
from typing import Any, TypeVar

from meet_transcriber.core.options import Task
from meet_transcriber.core.transcript import Span, Word, total_seconds
from meet_transcriber.core.word_timing import (
    RawWord,
    collapsed,
    fit_words,
    sparse_spans,
    whole_words,
)
from meet_transcriber.engines.whisper.language_detection import Stretch
from meet_transcriber.engines.whisper.model import Alignment, Encoded, Hypothesis, SpeechModel
from meet_transcriber.engines.whisper.windows import Window, split_window
from meet_transcriber.ports.engines import Waveform

_SILENT = 0.6  # no-speech probability, together with _POOR (openai/whisper: transcribe.py)
_POOR = -1.0  # mean log probability
_SURELY_SILENT = 0.8
_UNLIKELY = -0.8
_MADE_UP_SECONDS = 4.0  # of sound, from where on the rate of words tells
_FEW_WORDS = 1.4  # a second; people say 2 to 4
_HARDLY_ANY_WORDS = 0.3
_GRAM = 5  # tokens that are compared to find repetition
_FEWEST_GRAMS = 8
_NEW_SHARE = 0.5  # of them that occur only once
_MOST_OF_IT = 0.8  # share of a window that has too few words
_UNHEARD_SECONDS = 2.0  # of speech without a single word
_BELIEVED = -0.8  # mean log probability of words that replace fewer ones


@dataclass(frozen=True)
class Heard:
    """
    What was heard in one window.

    Attributes:
        words: in seconds of the audio.
        sparse: stretches that seem to have too few words.
        collapsed: their times fell together and are estimated.
    """

    window: Window
    language: str
    hypothesis: Hypothesis
    text: str
    words: tuple[Word, ...]
    sparse: tuple[Span, ...]
    collapsed: bool

    @property
    def looping(self) -> bool:
        """Whether most of the text is repetition; counted in tokens, for any script."""
        tokens = self.hypothesis.tokens
        grams = [tokens[at : at + _GRAM] for at in range(len(tokens) - _GRAM + 1)]
        return len(grams) >= _FEWEST_GRAMS and len(set(grams)) < _NEW_SHARE * len(grams)

    @property
    def made_up(self) -> bool:
        """
        Whether probably nobody said it: unlikely words, and few for so much sound.

        The first rule is Whisper's own (openai/whisper: transcribe.py). Music, noise and hum that
        pass for speech get one or two words in many seconds, which people never do.
        """
        likelihood, no_speech = self.hypothesis.log_probability, self.hypothesis.no_speech
        if no_speech > _SILENT and likelihood < _POOR:
            return True
        seconds = total_seconds(self.window.speech)
        if seconds < _MADE_UP_SECONDS:
            return False
        rate = len(self.words) / seconds
        unlikely = likelihood < _UNLIKELY and rate < _FEW_WORDS
        return unlikely or (no_speech > _SURELY_SILENT and rate < _HARDLY_ANY_WORDS)

    @property
    def wrong(self) -> bool:
        """Whether decoding it in another way may help."""
        empty = not self.words and total_seconds(self.window.speech) >= _UNHEARD_SECONDS
        missing = sum(span.duration for span in self.sparse)
        return self.doubt > -_POOR or empty or missing >= _MOST_OF_IT * self.window.duration

    @property
    def doubt(self) -> float:
        """How unlikely the text is; 0 is certain, a text that cannot be right has 2 more."""
        broken = self.looping or not self.hypothesis.whole
        return -self.hypothesis.log_probability + 2.0 * broken + 1.0 * self.collapsed

    @property
    def believed(self) -> bool:
        """Whether a second look is likely enough to change what was heard first."""
        if self.looping or self.collapsed or not self.hypothesis.whole or self.made_up:
            return False
        return self.hypothesis.log_probability >= _BELIEVED


T = TypeVar("T")
R = TypeVar("R")

_HALVINGS = 3
_TWO_LANGUAGES = 6.0  # seconds that may hold two languages worth parting


class WindowDecoder:
    """
    Decodes windows of one stretch of audio; for one thread at a time.

    Args:
        context: tokens that stand for what was said before.
        batch_size: windows decoded together.
        chinese: the script to write Chinese in; None is simplified.
        done: hears how many more windows were decoded.
    """

    def __init__(
        self,
        model: SpeechModel,
        audio: Waveform,
        task: Task,
        context: Sequence[int],
        batch_size: int,
        chinese: str | None,
        done: Callable[[int], None],
    ) -> None:
        self._model = model
        self._audio = audio
        self._task = task
        self._context = list(context)
        self._batch_size = batch_size
        self._chinese = chinese
        self._done = done
        self._encoded: dict[Window, tuple[Encoded, int]] = {}

    def ask_languages(self, windows: Sequence[Window]) -> list[list[tuple[Window, Stretch]]]:
        """
        The languages of each window; one that may hold several is halved until it does not.

        What was encoded of the windows is kept for `hear`.
        """
        found = [[each] for each in self.ask(windows)]
        for _ in range(_HALVINGS):
            spoken = {stretch.language for group in found for _, stretch in group}
            halves = {
                window: pair
                for group in found
                for window, stretch in group
                if stretch.is_mixed(spoken) and window.duration >= _TWO_LANGUAGES
                if (pair := split_window(self._audio, window))
            }
            asked = iter(self._asked([half for pair in halves.values() for half in pair]))
            parts = {window: [next(asked), next(asked)] for window in halves}
            found = [
                [part for each in group for part in parts.get(each[0], [each])] for group in found
            ]
        return found

    def ask(self, windows: Sequence[Window]) -> list[tuple[Window, Stretch]]:
        """The language of each window; what was encoded of it is kept for `hear`."""
        return self._asked(windows, keep=True)

    def hear(self, windows: Sequence[tuple[Window, str]]) -> Iterator[Heard]:
        """What is said in windows whose language is known, in their order."""
        batches = [
            batch
            for encoded, group in groupby(windows, key=self._encoding_of)
            for batch in ([list(group)] if encoded else _grouped(list(group), self._count))
        ]
        for batch, found in self._each(self._heard, batches):
            self._done(len(batch))
            for window, _ in batch:
                self._encoded.pop(window, None)
            yield from found

    def forget(self) -> None:
        """Give up what was encoded and not heard."""
        self._encoded.clear()

    # -- batches ---------------------------------------------------------------------------

    @property
    def _count(self) -> Callable[[int], int]:
        """From a number of windows to that of batches: all of one size, every replica busy."""
        replicas, size = self._model.replicas, self._batch_size
        return lambda windows: min(-(-windows // (size * replicas)) * replicas, windows)

    def _each(
        self, work: Callable[[list[T]], R], batches: Sequence[list[T]]
    ) -> Iterator[tuple[list[T], R]]:
        """Batches with their results, in order, worked on side by side."""
        # one thread more than computes on a GPU, so that it never waits for features
        threads = self._model.replicas + (self._model.device != "cpu")
        with ThreadPoolExecutor(threads, thread_name_prefix="whisper") as pool:
            futures = [pool.submit(work, batch) for batch in batches]
            try:
                for batch, future in zip(batches, futures, strict=True):
                    yield batch, future.result()
            finally:
                for future in futures:
                    future.cancel()

    def _encoding_of(self, item: tuple[Window, str]) -> int:
        """Which of the kept encodings holds the window; 0 where none does."""
        encoded, _ = self._encoded.get(item[0], (None, 0))
        return id(encoded) if encoded is not None else 0

    def _asked(
        self, windows: Sequence[Window], *, keep: bool = False
    ) -> list[tuple[Window, Stretch]]:
        found: list[tuple[Window, Stretch]] = []
        for group, (encoded, odds) in self._each(self._languages, _grouped(windows, self._count)):
            for place, window in enumerate(group):
                found.append((window, Stretch(window.start, window.end, odds[place])))
                if keep:
                    self._encoded[window] = (encoded, place)
        return found

    def _languages(self, windows: list[Window]) -> tuple[Encoded, list[Mapping[str, float]]]:
        encoded = self._encode(windows)
        return encoded, self._model.detect_languages(encoded)

    def _encode(self, windows: Sequence[Window]) -> Encoded:
        return self._model.encode([window.cut_from(self._audio) for window in windows])

    def _heard(self, batch: list[tuple[Window, str]]) -> list[Heard]:
        windows = [window for window, _ in batch]
        encoded, _ = self._encoded.get(windows[0], (None, 0))
        if encoded is None:
            encoded = self._encode(windows)
        else:
            encoded = self._model.select(encoded, [self._encoded[each][1] for each in windows])
        prompts = [
            [*self._context, *self._start(language), self._model.tokens.without_times]
            for _, language in batch
        ]
        longest = max(window.duration for window in windows)
        found = self._model.decode(encoded, prompts, longest)
        alignments = self._aligned(encoded, batch, found)
        return [
            self._written(window, language, hypothesis, alignment)
            for (window, language), hypothesis, alignment in zip(
                batch, found, alignments, strict=True
            )
        ]

    def _start(self, language: str) -> list[int]:
        multilingual = len(self._model.languages) > 1
        return self._model.tokens.start(language if multilingual else None, self._task)

    def _aligned(
        self, encoded: Encoded, batch: Sequence[tuple[Window, str]], found: Sequence[Hypothesis]
    ) -> list[Alignment | None]:
        """The alignment of each text; those of one language are made together."""
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
                self._start(language),
                [found[place].tokens for place in places],
                [batch[place][0].duration for place in places],
            )
            for place, alignment in zip(places, alignments, strict=True):
                result[place] = alignment
        return result

    def _written(
        self, window: Window, language: str, hypothesis: Hypothesis, alignment: Alignment | None
    ) -> Heard:
        """Tokens and their times as words."""
        pieces = self._model.tokens.pieces(hypothesis.tokens)
        texts = [piece.text for piece in pieces]
        if language == "zh":
            texts = in_script(texts, self._chinese)
        raw: list[RawWord] = []
        at = 0
        for piece, text in zip(pieces, texts, strict=True):
            raw.append(_timed(text, window, alignment, at, at + piece.tokens))
            at += piece.tokens
        words = whole_words(raw)
        return Heard(
            window,
            language,
            hypothesis,
            "".join(texts),
            fit_words(words, window.speech) if words else (),
            tuple(sparse_spans(words, window.speech)) if words and alignment else (),
            collapsed(words),
        )


def _grouped(items: Sequence[T], count: Callable[[int], int]) -> list[list[T]]:
    """The items in as many groups of nearly equal size as `count` says."""
    if not items:
        return []
    groups = count(len(items))
    edges = [len(items) * at // groups for at in range(groups + 1)]
    return [list(items[low:high]) for low, high in pairwise(edges)]


def _timed(
    text: str, window: Window, alignment: Alignment | None, first: int, last: int
) -> RawWord:
    """A piece of text that tokens `first` to `last` make, in seconds of the audio."""
    if alignment is None:
        return RawWord(text)
    span = window.located(alignment.edges[first], alignment.edges[last])
    odds = alignment.probabilities[first:last]
    return RawWord(text, span.start, span.end, sum(odds) / len(odds) if odds else None)


_CONFIGS = {"zh-Hans": "t2s", "zh-Hant": "s2t"}


def in_script(texts: Sequence[str], script: str | None) -> list[str]:
    """
    Return pieces of Chinese text in one script, one for one.

    Whisper writes either script, whichever it was reminded of.

    Args:
        texts: in order; together they make the text.
        script: `zh-Hans` or `zh-Hant`; None is simplified, the likely script of `zh` (CLDR,
            likely subtags).
    """
    converter = _converter(_CONFIGS[script or "zh-Hans"])
    whole = "".join(texts)
    converted: str = converter.convert(whole)
    if len(converted) != len(whole):
        return [converter.convert(text) for text in texts]
    result, at = [], 0
    for text in texts:
        result.append(converted[at : at + len(text)])
        at += len(text)
    return result


@cache
def _converter(config: str) -> Any:
    import opencc  # noqa: PLC0415 - native code, loaded only where Chinese is spoken

    return opencc.OpenCC(config)
