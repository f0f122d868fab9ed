"""Windows of one stretch of audio to words: decoded in batches, looked at again where needed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import TypeVar

from meet_transcriber.core.options import Task
from meet_transcriber.core.scoring.words import normalized, word_errors
from meet_transcriber.core.timing import RawWord, collapsed, fit_words, pause_to_pause, sparse_spans, whole_words
from meet_transcriber.core.transcript import Span, Word, total_seconds
from meet_transcriber.engines.whisper.chinese import in_script
from meet_transcriber.engines.whisper.languages import Stretch
from meet_transcriber.engines.whisper.model import Alignment, Encoded, Hypothesis, SpeechModel
from meet_transcriber.engines.whisper.windows import Window, split_window
from meet_transcriber.ports.engines import Waveform

T = TypeVar("T")
R = TypeVar("R")

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
_LOOKS = 2  # how often a window that went wrong is halved
_BELIEVED = -0.8  # mean log probability of words that replace fewer ones
_SHORTEST_HOLE = 1.5  # seconds
_SAME_SHARE = 0.5  # of the words that were there, found again in what was heard instead
_SECONDS_PER_WORD, _SECONDS_PER_LETTER = 0.1, 0.05
_MOST_OF_IT = 0.8  # share of a window that has too few words
_HALVINGS = 3
_EDGE_SECONDS = 0.3
_SHORTEST_WORD = 0.05
_SURE = 0.7  # probability of a language in which speech is heard again
_TWO_LANGUAGES = 6.0  # seconds that may hold two languages worth parting
_UNHEARD_SECONDS = 2.0  # of speech without a single word


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


class WindowDecoder:
    """
    Decodes windows of one stretch of audio; for one thread at a time.

    Args:
        context: tokens that stand for what was said before.
        batch_size: windows decoded together.
        chinese: the script to write Chinese in; None is simplified.
        languages: those that may be found anew; empty where the language was given.
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
        languages: Sequence[str],
        done: Callable[[int], None],
    ) -> None:
        self._model = model
        self._audio = audio
        self._task = task
        self._context = list(context)
        self._batch_size = batch_size
        self._chinese = chinese
        self._allowed = languages
        self._done = done
        self._encoded: dict[Window, tuple[Encoded, int]] = {}

    def ask_languages(self, windows: Sequence[Window]) -> list[list[tuple[Window, Stretch]]]:
        """
        The languages of each window; one that may hold several is halved until it does not.

        What was encoded of the windows is kept for `hear`.
        """
        found = [[each] for each in self._asked(windows, keep=True)]
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

    def hear_well(self, windows: Sequence[tuple[Window, str]]) -> Iterator[Heard]:
        """As `hear`; windows that went wrong are halved, and speech without words decoded again."""
        heard = [[each] for each in self.hear(windows)]
        for _ in range(_LOOKS):
            heard = self._halved(heard)
        yield from self._filled([each for group in heard for each in group])
        self._encoded.clear()

    # -- a second look ---------------------------------------------------------------------

    def _halved(self, heard: Sequence[Sequence[Heard]]) -> list[list[Heard]]:
        """Halves in place of windows that went wrong, where they are less doubtful."""
        halves = {
            each.window: pair
            for group in heard
            for each in group
            if each.wrong and (pair := split_window(self._audio, each.window))
        }
        languages = {each.window: each.language for group in heard for each in group}
        again = self.hear(
            [(half, languages[window]) for window, pair in halves.items() for half in pair]
        )
        better = {}
        for window, first, second in zip(halves, again, again, strict=False):
            better[window] = [first, second]
        return [
            [part for each in group for part in _less_doubtful(each, better.get(each.window))]
            for group in heard
        ]

    def _filled(self, heard: Sequence[Heard]) -> list[Heard]:
        """
        Speech that has too few words heard by itself, where the decoder is sure of it.

        First in another language, if it sounds like one; then with all that is said between two
        pauses; where that has no more words, without what was heard around it.
        """
        sparse = [
            (place, span)
            for place, each in enumerate(heard)
            if not each.made_up
            for span in each.sparse
            if span.duration >= _SHORTEST_HOLE
        ]
        foreign = self._in_other_languages(heard, sparse)
        sparse = [each for each in sparse if each not in foreign]
        result = list(heard)
        wide = [(at, pause_to_pause(span, heard[at].window.speech)) for at, span in sparse]
        still = self._fill(result, wide)
        self._fill(
            result, [each for each, around in zip(sparse, wide, strict=True) if around in still]
        )
        parts = [[each] for each in result]
        for (at, _), found in foreign.items():
            parts[at] = [*_without(parts[at], found.window), found]
        return [
            part for group in parts for part in sorted(group, key=lambda part: part.window.start)
        ]

    def _fill(
        self, heard: list[Heard], sparse: Sequence[tuple[int, Span]]
    ) -> list[tuple[int, Span]]:
        """Put more words into sparse spans; returns those for which there are none."""
        windows = [
            (heard[place].window.between(span.start, span.end), heard[place].language)
            for place, span in sparse
        ]
        still = []
        for (place, span), found in zip(sparse, list(self.hear(windows)), strict=True):
            better = _with_more_words(heard[place], span, found)
            if better is heard[place]:
                still.append((place, span))
            heard[place] = better
        return still

    def _in_other_languages(
        self, heard: Sequence[Heard], sparse: Sequence[tuple[int, Span]]
    ) -> dict[tuple[int, Span], Heard]:
        """What was said in a language that the one of its window passed over, by its span."""
        if not self._allowed:
            return {}
        windows = [heard[at].window.between(span.start, span.end) for at, span in sparse]
        asked = self._asked(windows, keep=True)
        foreign = [
            (each, window, stretch.language)
            for each, (window, stretch) in zip(sparse, asked, strict=True)
            if stretch.language in self._allowed and stretch.language != heard[each[0]].language
            if stretch.odds[stretch.language] >= _SURE
        ]
        again = list(self.hear([(window, language) for _, window, language in foreign]))
        return {
            each: found
            for (each, _, _), found in zip(foreign, again, strict=True)
            if found.words and _is_believed(found)
        }

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


def _less_doubtful(whole: Heard, halves: list[Heard] | None) -> list[Heard]:
    """The halves, where they are likelier than the whole; weighed by their length."""
    if halves is None:
        return [whole]
    said = [half for half in halves if half.words]
    if not said:
        return [whole]
    tokens = sum(len(half.hypothesis.tokens) for half in said)
    doubt = sum(half.doubt * len(half.hypothesis.tokens) for half in said) / tokens
    return halves if not whole.words or doubt < whole.doubt else [whole]


def _with_more_words(heard: Heard, span: Span, found: Heard) -> Heard:
    """The words that were found within the span in place of fewer that were there."""
    if not _is_believed(found):
        return heard
    before = [word for word in heard.words if _middle(word) < span.start]
    old = [word for word in heard.words if span.start <= _middle(word) <= span.end]
    after = [word for word in heard.words if _middle(word) > span.end]
    new = _without_echo(before, list(found.words), after)
    shared = word_errors(_keys(old), _keys(new)).hits
    if len(new) <= len(old) or shared == len(_keys(new)):
        return heard
    if shared < _SAME_SHARE * len(old):
        new = _side_by_side(before, new, old, after, span)
    return replace(heard, words=(*before, *new, *after))


def _is_believed(found: Heard) -> bool:
    """Whether a second look is likely enough to change what was heard first."""
    if found.looping or found.collapsed or not found.hypothesis.whole or found.made_up:
        return False
    return found.hypothesis.log_probability >= _BELIEVED


def _without(parts: Sequence[Heard], window: Window) -> Iterator[Heard]:
    """What was heard before and after a window, each with its own words."""
    for part in parts:
        # the word that it begins with was only stretched over it
        before = tuple(word for word in part.words if word.start < window.start + _EDGE_SECONDS)
        after = tuple(word for word in part.words if word.start > window.end - _EDGE_SECONDS)
        if before:
            earlier = part.window.between(part.window.start, window.start)
            end = max(min(before[-1].end, window.start), before[-1].start + _SHORTEST_WORD)
            words = (*before[:-1], replace(before[-1], end=end))
            yield replace(part, window=earlier, words=words)
        if after:
            later = part.window.between(window.end, part.window.end)
            yield replace(part, window=replace(later, seam=None), words=after)


def _side_by_side(
    before: Sequence[Word], new: list[Word], old: list[Word], after: Sequence[Word], span: Span
) -> list[Word]:
    """
    What was found and what was there, since both were said.

    The old words had spread over what they skipped. They belong to the side on which speech
    goes on without a pause, and there they get as much time as they need.
    """
    needed = sum(_SECONDS_PER_WORD + _SECONDS_PER_LETTER * len(word.text) for word in old)
    needed = min(needed, span.duration / 2)
    pause_before = span.start - before[-1].end if before else span.duration
    pause_after = after[0].start - span.end if after else span.duration
    if pause_after <= pause_before:
        edge = span.end - needed
        return [*_moved(new, span.start, edge), *_moved(old, edge, span.end)]
    edge = span.start + needed
    return [*_moved(old, span.start, edge), *_moved(new, edge, span.end)]


def _moved(words: Sequence[Word], start: float, end: float) -> Iterator[Word]:
    """Words squeezed into a stretch of time where they do not lie in it."""
    low, high = words[0].start, words[-1].end
    if start <= low and high <= end:
        yield from words
        return
    scale = (end - start) / max(high - low, 1e-3)
    for word in words:
        moved = (start + (each - low) * scale for each in (word.start, word.end))
        yield replace(word, start=next(moved), end=next(moved), estimated=True)


def _without_echo(before: list[Word], new: list[Word], after: list[Word]) -> list[Word]:
    """New words without those at their ends that stand there already, two or more."""
    for size in range(min(len(before), len(new)), 1, -1):
        if _keys(before[-size:]) == _keys(new[:size]):
            new = new[size:]
            break
    for size in range(min(len(after), len(new)), 1, -1):
        if _keys(after[:size]) == _keys(new[-size:]):
            return new[:-size]
    return new


def _keys(words: Sequence[Word]) -> list[str]:
    return normalized(" ".join(word.text for word in words))


def _middle(word: Word) -> float:
    return (word.start + word.end) / 2
