"""Corrects the times of recognized words and measures how much of the speech they cover."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from meet_transcriber.core.languages import attaches, is_spaceless
from meet_transcriber.core.transcript import Span, Word, merge_spans, total_seconds

_MIN_SECONDS = 0.04  # per word; two steps of Whisper's encoder
_BASE_SECONDS = 1.0  # maximum duration of a word, plus _SECONDS_PER_LETTER
_SECONDS_PER_LETTER = 0.12
_MISSING_SECONDS = 1.0  # excess duration of words next to skipped ones
_SKIPPED_BASE_SECONDS = 0.4
_SKIPPED_SECONDS_PER_LETTER = 0.06
_SLACK = 0.05
_CROWD = 4  # this many consecutive words faster than human speech have collapsed
_LETTERS_PER_SECOND = 45.0
_SPACELESS_PER_SECOND = 16.0  # a character of these scripts is a syllable or a letter
_OPENING = "([{<«‹“‘¿¡「『（【《〈"


@dataclass(frozen=True, slots=True)
class RawWord:
    """A piece of text from a decoder, with its leading space; times may be missing."""

    text: str
    start: float | None = None
    end: float | None = None
    probability: float | None = None


def join_pieces(pieces: Sequence[RawWord]) -> list[RawWord]:
    """
    Join pieces of text into words.

    A piece without a leading space belongs to the word before (`twenty` `-five`), except in
    scripts without spaces, where each piece is a word. Combining marks stay with their letter and
    punctuation with its word. A space written in such a script stays in front of its word.
    Punctuation takes no time: a pause before it is not part of the word.
    """
    words: list[RawWord] = []
    space = False
    for piece in pieces:
        text = piece.text.strip()
        space = space or piece.text[:1].isspace()
        if text:
            if words and not _begins_word(words[-1].text, text, space):
                words[-1] = _joined(words[-1], text, piece)
            else:
                # the space before it, in scripts written without spaces
                kept = words and (is_spaceless(text[0]) or is_spaceless(words[-1].text[-1]))
                words.append(replace(piece, text=f" {text}" if space and kept else text))
            space = False
        space = space or (piece.text[-1:].isspace() and bool(piece.text.strip()))
    return words


def fit_words(words: Sequence[RawWord], speech: Sequence[Span]) -> tuple[Word, ...]:
    """
    Return words with valid times: in order, disjoint, within the speech, start < end.

    Missing times are interpolated. Collapsed words, several at one instant, share the time around
    them in proportion to their length. Both are marked `estimated`. Words that are too long are
    shortened.

    Args:
        speech: spans that contain all words, in order and disjoint; not empty.
    """
    timed = _Timed(words, SpeechClock(speech))
    timed.cut_long_words()
    timed.spread_crowds()
    return timed.words()


def find_sparse_spans(words: Sequence[RawWord], speech: Sequence[Span]) -> list[Span]:
    """
    Return the spans in which words are probably missing.

    A decoder that skips a sentence stretches the words around it, so words much longer than their
    letters require indicate missing words.

    Args:
        words: with times, in order.
        speech: spans that contain all words, in order and disjoint; not empty.
    """
    clock = SpeechClock(speech)
    starts = [clock.at(word.start) for word in words if word.start is not None]
    edges = [0.0, *starts[1:], clock.length]
    found: list[tuple[float, float]] = []
    began, missing = 0.0, 0.0
    for word, start, end in zip(words, edges, edges[1:], strict=False):
        spare = end - start - _plausible(word.text)
        # A word that is not stretched ends the run: what is missing lies within one stretch.
        began, missing = (start, 0.0) if spare <= 0 or not missing else (began, missing)
        missing += max(spare, 0.0)
        if missing >= _MISSING_SECONDS:
            if found and found[-1][0] == began:
                found.pop()
            found.append((began, end))
    return [clock.reach(*stretch) for stretch in found]


def extend_to_pauses(stretch: Span, speech: Sequence[Span]) -> Span:
    """Extend a span to the edges of the spans of speech that it touches."""
    touched = [span for span in speech if span.start < stretch.end and span.end > stretch.start]
    return Span(touched[0].start, touched[-1].end) if touched else stretch


class SpeechClock:
    """Converts between time and seconds of speech, in which pauses take no time."""

    def __init__(self, speech: Sequence[Span]) -> None:
        self._speech = speech
        self._starts = [0.0, *accumulate(span.duration for span in speech)]
        self.length = self._starts[-1]

    def at(self, seconds: float) -> float:
        """Return the seconds of speech before a time; inside a pause those at its edge."""
        place = bisect_right(self._speech, seconds, key=lambda span: span.start) - 1
        if place < 0:
            return 0.0
        span = self._speech[place]
        return self._starts[place] + min(seconds - span.start, span.duration)

    def reach(self, start: float, end: float) -> Span:
        """Return the span between two clock values, including pauses."""
        first = min(bisect_right(self._starts, start + _SLACK), len(self._speech)) - 1
        last = max(bisect_left(self._starts, end - _SLACK) - 1, first)
        return Span(
            self._speech[first].start + start - self._starts[first],
            min(self._speech[last].start + end - self._starts[last], self._speech[last].end),
        )

    def span(self, start: float, end: float) -> Span:
        """Return the span between two clock values; across a pause only the larger side."""
        first = min(bisect_right(self._starts, start), len(self._speech)) - 1
        best: tuple[float, Span] | None = None
        for place in range(first, len(self._speech)):
            low, high = max(start, self._starts[place]), min(end, self._starts[place + 1])
            shift = self._speech[place].start - self._starts[place]
            # The margin keeps the earlier side where both are as long but for rounding.
            if best is None or high - low > best[0] + 1e-6:
                best = high - low, Span(low + shift, max(high, low) + shift)
            if end <= self._starts[place + 1]:
                break
        return best[1] if best else Span(self._speech[-1].end, self._speech[-1].end)


class _Timed:
    """Words with their times in seconds of speech, while they are corrected."""

    def __init__(self, words: Sequence[RawWord], clock: SpeechClock) -> None:
        self._words = words
        self._clock = clock
        self._starts: list[float] = []
        self._ends: list[float] = []
        self._estimated = [word.start is None or word.end is None for word in words]
        latest = 0.0
        for place, word in enumerate(self._words):
            if word.start is None or word.end is None:
                known = self._next_known(place)
                share = (known[1] - latest) / (known[0] - place)
                start, end = latest, latest + max(share, 0.0)
            else:
                start, end = self._clock.at(word.start), self._clock.at(word.end)
            self._starts.append(max(start, latest))
            self._ends.append(max(end, self._starts[-1]))
            latest = self._ends[-1]

    def _next_known(self, place: int) -> tuple[int, float]:
        """Return the next word that has times and its start; the end of speech if there is none."""
        for later in range(place, len(self._words)):
            start, end = self._words[later].start, self._words[later].end
            if start is not None and end is not None:
                return later, self._clock.at(start)
        return len(self._words), self._clock.length

    def cut_long_words(self) -> None:
        for place, word in enumerate(self._words):
            limit = _BASE_SECONDS + _SECONDS_PER_LETTER * len(word.text)
            if self._ends[place] - self._starts[place] > limit:
                if place == 0:  # alignment starts the first word with the audio
                    self._starts[place] = self._ends[place] - limit
                else:
                    self._ends[place] = self._starts[place] + limit

    def spread_crowds(self) -> None:
        """Give collapsed words the time around them."""
        place = 0
        while place < len(self._words):
            last = place
            while last + 1 < len(self._words) and self._crowded(place, last + 1):
                last += 1
            if last - place + 1 >= _CROWD or self._ends[place] - self._starts[place] < _MIN_SECONDS:
                place = self._spread(place, last) + 1
            else:
                place += 1

    def _crowded(self, first: int, last: int) -> bool:
        letters = sum(_weight(word.text) for word in self._words[first : last + 1])
        return letters > _LETTERS_PER_SECOND * (self._ends[last] - self._starts[first])

    def _spread(self, first: int, last: int) -> int:
        """Share time by length in a run, widened until it suffices; return its last index."""
        crowd = last - first + 1 >= _CROWD
        while True:
            low = self._ends[first - 1] if first else 0.0
            high = self._starts[last + 1] if last + 1 < len(self._words) else self._clock.length
            weights = [_weight(word.text) for word in self._words[first : last + 1]]
            wanted = max(sum(weights) / _LETTERS_PER_SECOND, _MIN_SECONDS * len(weights))
            if high - low >= wanted - 1e-9 or (first == 0 and last + 1 == len(self._words)):
                break
            if last + 1 < len(self._words):
                last += 1
            else:
                first -= 1
        low, high = self._narrowed(first, last, low, high, wanted)
        step, at = (high - low) / max(sum(weights), 1e-9), low
        for place, weight in zip(range(first, last + 1), weights, strict=True):
            self._starts[place], at = at, at + step * weight
            self._ends[place] = at
            self._estimated[place] = self._estimated[place] or crowd
        return last

    def _narrowed(
        self, first: int, last: int, low: float, high: float, wanted: float
    ) -> tuple[float, float]:
        """Limit the time to what the words need, around their original position."""
        spare = (high - low) - max(wanted, self._ends[last] - self._starts[first])
        if spare <= 0:
            return low, high
        # Where alignment put them, as far as the widened stretch allows.
        start = min(max(self._starts[first], low), low + spare)
        return start, min(start + (high - low) - spare, high)

    def words(self) -> tuple[Word, ...]:
        """Return the words in seconds of the recording."""
        spans = map(self._clock.span, self._starts, self._ends)
        return tuple(
            Word(
                word.text,
                span.start,
                span.end,
                None if word.probability is None else min(max(word.probability, 0.0), 1.0),
                estimated=estimated,
            )
            for word, span, estimated in zip(self._words, spans, self._estimated, strict=True)
        )


def have_collapsed(words: Sequence[RawWord]) -> bool:
    """Return whether several consecutive words are faster than human speech."""
    run = 0
    for word in words:
        known = word.start is not None and word.end is not None
        seconds = (word.end or 0.0) - (word.start or 0.0)
        run = run + 1 if known and _weight(word.text) > _LETTERS_PER_SECOND * seconds else 0
        if run >= _CROWD:
            return True
    return False


def _plausible(text: str) -> float:
    """Return the seconds that a slow speaker needs for a word."""
    letters = _weight(text) / (1.0 if text.isascii() else 1.4)
    return _SKIPPED_BASE_SECONDS + _SKIPPED_SECONDS_PER_LETTER * letters


def _begins_word(before: str, text: str, space: bool) -> bool:
    if attaches("", text[0]):
        return False
    if space:
        return True
    if attaches(before[-1], text[0]):
        return False
    if _is_punctuation(text) and text[0] not in _OPENING:
        return False
    if _is_punctuation(before):
        return False
    return is_spaceless(text[0]) or is_spaceless(before[-1])


def _is_punctuation(text: str) -> bool:
    return not any(character.isalnum() for character in text)


def _joined(word: RawWord, text: str, piece: RawWord) -> RawWord:
    known = [odd for odd in (word.probability, piece.probability) if odd is not None]
    silent = _is_punctuation(text)
    bare = _is_punctuation(word.text)  # an opening bracket before its word
    return RawWord(
        word.text + text,
        piece.start if bare else word.start,
        word.end if silent or piece.end is None else piece.end,
        word.probability if silent else min(known, default=None),
    )


def _weight(text: str) -> float:
    """Return the length of a word in letters of an alphabetic script."""
    ratio = _LETTERS_PER_SECOND / _SPACELESS_PER_SECOND
    return sum(ratio if is_spaceless(character) else 1.0 for character in text.strip())


_ROUNDING = 1e-9  # seconds; a shorter hole comes from computing with floats
BRIDGE = 1.0  # pauses between words up to this many seconds count as covered


def find_uncovered(speech: Sequence[Span], words: Sequence[Word]) -> tuple[Span, ...]:
    """
    Return the spans of speech that have no words.

    Pauses of up to `BRIDGE` seconds between words are covered, and half of that before the first
    and after the last word, since detectors pad speech.
    """
    runs = merge_spans((Span(word.start, word.end) for word in words), BRIDGE)
    spoken = [Span(run.start - BRIDGE / 2, run.end + BRIDGE / 2) for run in runs]
    holes: list[Span] = []
    for span in merge_spans(speech):
        first = bisect_right(spoken, span.start, key=lambda run: run.end)
        last = bisect_left(spoken, span.end, key=lambda run: run.start)
        at = span.start
        for run in spoken[first:last]:
            holes.append(Span(at, run.start))
            at = run.end
        holes.append(Span(at, span.end))
    return tuple(hole for hole in holes if hole.duration >= _ROUNDING)


def measure_coverage(speech: Sequence[Span], words: Sequence[Word]) -> float:
    """Return the share of speech that has words, in [0, 1]; 1 without speech."""
    total = total_seconds(merge_spans(speech))
    if total == 0:
        return 1.0
    return min(max(1.0 - total_seconds(find_uncovered(speech, words)) / total, 0.0), 1.0)
