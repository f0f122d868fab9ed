"""A second look at windows that went wrong and at speech that was left without words."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from meet_transcriber.core.repetition import unheard_repetitions
from meet_transcriber.core.scoring.wer import normalized, word_errors
from meet_transcriber.core.transcript import Span, Word
from meet_transcriber.core.word_timing import pause_to_pause
from meet_transcriber.engines.whisper.window_decoder import Heard, WindowDecoder
from meet_transcriber.engines.whisper.windows import Window, split_window
from meet_transcriber.ports.engines import Waveform

_LOOKS = 2  # how often a window that went wrong is halved
_SHORTEST_HOLE = 1.5  # seconds
_SAME_SHARE = 0.5  # of the words that were there, found again in what was heard instead
_SECONDS_PER_WORD, _SECONDS_PER_LETTER = 0.1, 0.05
_EDGE_SECONDS = 0.3
_SHORTEST_WORD = 0.05
_SURE = 0.7  # probability of a language in which speech is heard again


class CarefulDecoder:
    """
    Decodes windows and looks again where that may help; the same windows give the same words.

    Args:
        languages: those that may be found anew; empty where the language was given.
    """

    def __init__(self, decoder: WindowDecoder, audio: Waveform, languages: Sequence[str]) -> None:
        self._decoder = decoder
        self._audio = audio
        self._allowed = languages

    def hear(self, windows: Sequence[tuple[Window, str]]) -> Iterator[Heard]:
        """
        What is said in windows whose language is known, in their order.

        Windows that went wrong are halved, and speech without words is decoded again. So is a
        stretch among repetitions, of which the decoder loses count.
        """
        heard = [[each] for each in self._decoder.hear(windows)]
        for _ in range(_LOOKS):
            heard = self._halved(heard)
        yield from self._filled(self._repeated([each for group in heard for each in group]))
        self._decoder.forget()

    def _halved(self, heard: Sequence[Sequence[Heard]]) -> list[list[Heard]]:
        """Halves in place of windows that went wrong, where they are less doubtful."""
        halves = {
            each.window: pair
            for group in heard
            for each in group
            if each.wrong and (pair := split_window(self._audio, each.window))
        }
        languages = {each.window: each.language for group in heard for each in group}
        again = self._decoder.hear(
            [(half, languages[window]) for window, pair in halves.items() for half in pair]
        )
        better = {}
        for window, first, second in zip(halves, again, again, strict=False):
            better[window] = [first, second]
        return [
            [part for each in group for part in _less_doubtful(each, better.get(each.window))]
            for group in heard
        ]

    def _repeated(self, heard: list[Heard]) -> list[Heard]:
        """Where a word is said over and over, as in a vote, the ones that were passed over too."""
        missing = [
            (place, span, text)
            for place, each in enumerate(heard)
            for span, text in unheard_repetitions(each.words, each.window.speech)
        ]
        windows = [
            (heard[place].window.between(span.start, span.end), heard[place].language)
            for place, span, _ in missing
        ]
        for (place, _, text), found in zip(missing, self._decoder.hear(windows), strict=True):
            if _keys(found.words) == normalized(text):
                words = sorted([*heard[place].words, *found.words], key=lambda word: word.start)
                heard[place] = replace(heard[place], words=tuple(words))
        return heard

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
        for (place, span), found in zip(sparse, list(self._decoder.hear(windows)), strict=True):
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
        asked = self._decoder.ask(windows)
        foreign = [
            (each, window, stretch.language)
            for each, (window, stretch) in zip(sparse, asked, strict=True)
            if stretch.language in self._allowed and stretch.language != heard[each[0]].language
            if stretch.odds[stretch.language] >= _SURE
        ]
        again = list(self._decoder.hear([(window, language) for _, window, language in foreign]))
        return {
            each: found
            for (each, _, _), found in zip(foreign, again, strict=True)
            if found.words and found.believed
        }


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
    if not found.believed:
        return heard
    before = [word for word in heard.words if word.middle < span.start]
    old = [word for word in heard.words if span.start <= word.middle <= span.end]
    after = [word for word in heard.words if word.middle > span.end]
    new = _without_echo(before, list(found.words), after)
    shared = word_errors(_keys(old), _keys(new)).hits
    if len(new) <= len(old) or shared == len(_keys(new)):
        return heard
    if shared < _SAME_SHARE * len(old):
        new = _side_by_side(before, new, old, after, span)
    return replace(heard, words=(*before, *new, *after))


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
