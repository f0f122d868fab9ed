"""Decodes windows again where the first result is doubtful or speech has no words."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from meet_transcriber.core.repetition import find_missing_repetitions
from meet_transcriber.core.scoring import normalize, word_errors
from meet_transcriber.core.transcript import Span, Word
from meet_transcriber.core.word_timing import extend_to_pauses
from meet_transcriber.engines.whisper.window_decoder import WindowDecoder, WindowResult
from meet_transcriber.engines.whisper.windows import Window, split_window
from meet_transcriber.ports.engines import Waveform

_HALVINGS = 2  # 30 seconds become 8
_MIN_SPARSE_SECONDS = 1.5  # shorter stretches are not decoded again
_SAME_SHARE = 0.5  # of the old words among the new ones, for the new ones to replace them
_SECONDS_PER_WORD, _SECONDS_PER_LETTER = 0.1, 0.05
_EDGE_SECONDS = 0.3
_MIN_WORD_SECONDS = 0.05
_SURE_LANGUAGE = 0.7  # probability of a language in which speech is decoded again

_Sparse = tuple[int, Span]
"""Index of a result, and a stretch of it with too few words."""


class FallbackDecoder:
    """
    Decodes windows, and again where that may help; deterministic.

    Args:
        languages: those that speech may be decoded again in; empty if the language is fixed.
    """

    def __init__(self, decoder: WindowDecoder, audio: Waveform, languages: Sequence[str]) -> None:
        self._decoder = decoder
        self._audio = audio
        self._languages = languages

    def decode(self, windows: Sequence[tuple[Window, str]]) -> Iterator[WindowResult]:
        """
        Decode windows with known languages; results are in time order.

        Doubtful windows are halved. Speech without words is decoded again, and so are stretches
        between repetitions, which the decoder miscounts.
        """
        groups = [[each] for each in self._decoder.decode(windows)]
        for _ in range(_HALVINGS):
            groups = self._retry_halved(groups)
        results = self._recover_repetitions([each for group in groups for each in group])
        yield from self._fill_sparse(results)
        self._decoder.drop_encodings()

    def _retry_halved(self, groups: Sequence[Sequence[WindowResult]]) -> list[list[WindowResult]]:
        """Replace doubtful windows by their halves where those are better."""
        halves = {
            each.window: pair
            for group in groups
            for each in group
            if each.needs_fallback and (pair := split_window(self._audio, each.window))
        }
        languages = {each.window: each.language for group in groups for each in group}
        again = self._decoder.decode(
            [(half, languages[window]) for window, pair in halves.items() for half in pair]
        )
        # The same iterator twice: the results of the two halves follow each other.
        pairs = zip(halves, again, again, strict=False)
        better = {window: [first, second] for window, first, second in pairs}
        return [
            [part for each in group for part in _choose_halves(each, better.get(each.window))]
            for group in groups
        ]

    def _recover_repetitions(self, results: list[WindowResult]) -> list[WindowResult]:
        """Add repetitions of a word that the decoder passed over, as in a vote."""
        missing = [
            (place, span, text)
            for place, each in enumerate(results)
            for span, text in find_missing_repetitions(each.words, each.window.speech)
        ]
        again = self._decode_spans(results, [(place, span) for place, span, _ in missing])
        for (place, _, text), found in zip(missing, again, strict=True):
            # Other words are no repetition, but a second reading of speech that has its words.
            if _normalize(found.words) == normalize(text):
                words = sorted([*results[place].words, *found.words], key=lambda word: word.start)
                results[place] = replace(results[place], words=tuple(words))
        return results

    def _fill_sparse(self, results: Sequence[WindowResult]) -> list[WindowResult]:
        """
        Decode speech with too few words again, and take the words if they are reliable.

        First in another language, if one is likely; then together with all speech between two
        pauses; if that gives no more words, without the speech around it.
        """
        sparse = [
            (place, span)
            for place, each in enumerate(results)
            if not each.is_hallucination
            for span in each.sparse
            if span.duration >= _MIN_SPARSE_SECONDS
        ]
        foreign = self._decode_foreign(results, sparse)
        sparse = [each for each in sparse if each not in foreign]
        filled = list(results)
        wide = [(at, extend_to_pauses(span, results[at].window.speech)) for at, span in sparse]
        still = self._fill(filled, wide)
        self._fill(
            filled, [each for each, around in zip(sparse, wide, strict=True) if around in still]
        )
        parts = [[each] for each in filled]
        for (at, _), found in foreign.items():
            parts[at] = [*_cut_out(parts[at], found.window), found]
        return [
            part for group in parts for part in sorted(group, key=lambda part: part.window.start)
        ]

    def _fill(self, results: list[WindowResult], sparse: Sequence[_Sparse]) -> list[_Sparse]:
        """Merge new words into results in place; returns the spans that got none."""
        still = []
        again = list(self._decode_spans(results, sparse))
        for (place, span), found in zip(sparse, again, strict=True):
            merged = _merge_words(results[place], span, found)
            if merged is results[place]:
                still.append((place, span))
            results[place] = merged
        return still

    def _decode_spans(
        self, results: Sequence[WindowResult], spans: Sequence[_Sparse]
    ) -> Iterator[WindowResult]:
        """Decode parts of windows, in the windows' languages."""
        return self._decoder.decode(
            [
                (results[place].window.clip(span.start, span.end), results[place].language)
                for place, span in spans
            ]
        )

    def _decode_foreign(
        self, results: Sequence[WindowResult], sparse: Sequence[_Sparse]
    ) -> dict[_Sparse, WindowResult]:
        """Decode sparse spans in another language than their window's, if one is likely."""
        if not self._languages:
            return {}
        windows = [results[at].window.clip(span.start, span.end) for at, span in sparse]
        foreign = [
            (each, window, detected.language)
            for each, (window, detected) in zip(
                sparse, self._decoder.detect_languages(windows), strict=True
            )
            if detected.language in self._languages
            if detected.language != results[each[0]].language
            if detected.probabilities[detected.language] >= _SURE_LANGUAGE
        ]
        again = self._decoder.decode([(window, language) for _, window, language in foreign])
        return {
            each: found
            for (each, _, _), found in zip(foreign, list(again), strict=True)
            if found.words and found.is_reliable
        }


def _choose_halves(whole: WindowResult, halves: list[WindowResult] | None) -> list[WindowResult]:
    """Return the halves if their penalty, weighted by tokens, is less than the whole's."""
    if halves is None:
        return [whole]
    with_words = [half for half in halves if half.words]
    if not with_words:
        return [whole]
    tokens = sum(len(half.hypothesis.tokens) for half in with_words)
    penalty = sum(half.penalty * len(half.hypothesis.tokens) for half in with_words) / tokens
    return halves if not whole.words or penalty < whole.penalty else [whole]


def _merge_words(result: WindowResult, span: Span, found: WindowResult) -> WindowResult:
    """Replace the words within the span by those found there, if they are more and reliable."""
    if not found.is_reliable:
        return result
    before = [word for word in result.words if word.middle < span.start]
    old = [word for word in result.words if span.start <= word.middle <= span.end]
    after = [word for word in result.words if word.middle > span.end]
    new = _drop_echo(before, list(found.words), after)
    shared = word_errors(_normalize(old), _normalize(new)).hits
    # All of `new` was known: it has merely been found again.
    if len(new) <= len(old) or shared == len(_normalize(new)):
        return result
    if shared < _SAME_SHARE * len(old):
        new = _place_side_by_side(before, new, old, after, span)
    return replace(result, words=(*before, *new, *after))


def _cut_out(parts: Sequence[WindowResult], window: Window) -> Iterator[WindowResult]:
    """Yield the parts of results before and after a window, each with its own words."""
    for part in parts:
        # a word at the window's start was only stretched over it
        before = tuple(word for word in part.words if word.start < window.start + _EDGE_SECONDS)
        after = tuple(word for word in part.words if word.start > window.end - _EDGE_SECONDS)
        if before:
            earlier = part.window.clip(part.window.start, window.start)
            end = max(min(before[-1].end, window.start), before[-1].start + _MIN_WORD_SECONDS)
            words = (*before[:-1], replace(before[-1], end=end))
            yield replace(part, window=earlier, words=words)
        if after:
            later = part.window.clip(window.end, part.window.end)
            yield replace(part, window=replace(later, seam=None), words=after)


def _place_side_by_side(
    before: Sequence[Word], new: list[Word], old: list[Word], after: Sequence[Word], span: Span
) -> list[Word]:
    """
    Keep both new and old words of a span, since both were said.

    The old words had spread over the speech that was skipped. They belong to the side where
    speech continues without a pause, and get as much time there as they need.
    """
    needed = sum(_SECONDS_PER_WORD + _SECONDS_PER_LETTER * len(word.text) for word in old)
    needed = min(needed, span.duration / 2)
    pause_before = span.start - before[-1].end if before else span.duration
    pause_after = after[0].start - span.end if after else span.duration
    if pause_after <= pause_before:
        edge = span.end - needed
        return [*_squeeze(new, span.start, edge), *_squeeze(old, edge, span.end)]
    edge = span.start + needed
    return [*_squeeze(old, span.start, edge), *_squeeze(new, edge, span.end)]


def _squeeze(words: Sequence[Word], start: float, end: float) -> Iterator[Word]:
    """Scale the times of words to a stretch unless they already lie in it."""
    low, high = words[0].start, words[-1].end
    if start <= low and high <= end:
        yield from words
        return
    scale = (end - start) / max(high - low, 1e-3)
    for word in words:
        moved = (start + (each - low) * scale for each in (word.start, word.end))
        yield replace(word, start=next(moved), end=next(moved), estimated=True)


def _drop_echo(before: list[Word], new: list[Word], after: list[Word]) -> list[Word]:
    """Drop two or more words at either end of `new` that repeat the words next to them."""
    for size in range(min(len(before), len(new)), 1, -1):
        if _normalize(before[-size:]) == _normalize(new[:size]):
            new = new[size:]
            break
    for size in range(min(len(after), len(new)), 1, -1):
        if _normalize(after[:size]) == _normalize(new[-size:]):
            return new[:-size]
    return new


def _normalize(words: Sequence[Word]) -> list[str]:
    return normalize(" ".join(word.text for word in words))
