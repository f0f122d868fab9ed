"""Which language is spoken when: many uncertain answers made into few changes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import log

_SWITCH = 2.5  # what a change costs, in natural logarithms of odds; a wrong stretch costs two
_FLOOR = 0.005  # probability below which an answer says nothing more
_FULL_SECONDS = 4.0  # a shorter stretch counts for less
_CANDIDATE = 0.1
_LONG_SECONDS = 16.0
_SHARE, _TRACE, _FAINT_TRACE = 0.04, 0.01, 0.002


@dataclass(frozen=True)
class Stretch:
    """
    Some seconds of speech, and what language the model takes them for.

    Attributes:
        start, end: in seconds of the audio.
        odds: probability of each language code.
    """

    start: float
    end: float
    odds: Mapping[str, float]

    @property
    def language(self) -> str:
        """The likeliest."""
        return max(self.odds, key=self.odds.__getitem__)

    def is_mixed(self, spoken: Collection[str]) -> bool:
        """
        Whether another language may be spoken in it, too.

        Four seconds of a second language show in thirty as 0.01 to 0.2, in ten as much more. So
        do distant voices, for which a shorter look is enough to tell that it was nothing.

        Args:
            spoken: languages that are spoken elsewhere, of which less is asked.
        """
        full = self.end - self.start >= _LONG_SECONDS
        anywhere, elsewhere = (_TRACE, _FAINT_TRACE) if full else (_SHARE, _TRACE)
        return any(
            odds >= (elsewhere if code in spoken else anywhere)
            for code, odds in self.odds.items()
            if code != self.language
        )

    def evidence(self, code: str) -> float:
        """How much speaks for a language, in natural logarithms."""
        weight = min((self.end - self.start) / _FULL_SECONDS, 1.0)
        return weight * log(max(self.odds.get(code, 0.0), _FLOOR))


def likeliest_languages(
    stretches: Sequence[Stretch], allowed: Sequence[str], before: str | None = None
) -> list[str]:
    """
    Return the language of each stretch, as the likeliest path with few changes (Viterbi).

    One odd stretch between others does not change the language, a longer one does.

    Args:
        stretches: in time order; at least one.
        allowed: codes to choose from.
        before: the language that was spoken before the first of them; None if unknown.
    """
    codes = _candidates(stretches, allowed, before)
    scores = [0.0 if before in (None, code) else -_SWITCH for code in codes]
    origins: list[list[int]] = []
    for stretch in stretches:
        best = max(range(len(codes)), key=scores.__getitem__)
        jump = scores[best] - _SWITCH
        came = [place if scores[place] >= jump else best for place in range(len(codes))]
        scores = [
            max(scores[place], jump) + stretch.evidence(code) for place, code in enumerate(codes)
        ]
        origins.append(came)
    place = max(range(len(codes)), key=scores.__getitem__)
    path = []
    for came in reversed(origins):
        path.append(codes[place])
        place = came[place]
    return path[::-1]


def _candidates(
    stretches: Sequence[Stretch], allowed: Sequence[str], before: str | None
) -> list[str]:
    """The allowed languages that matter: likely somewhere, or the likeliest of all."""
    total = dict.fromkeys(allowed, 0.0)
    for stretch in stretches:
        for code in allowed:
            total[code] += (stretch.end - stretch.start) * stretch.odds.get(code, 0.0)
    likely = {
        code
        for stretch in stretches
        for code, odds in stretch.odds.items()
        if odds >= _CANDIDATE and code in total
    }
    likely.add(max(allowed, key=total.__getitem__))
    if before in total:
        likely.add(before)
    return sorted(likely, key=lambda code: (-total[code], code))


def certainty(stretches: Sequence[Stretch], path: Sequence[str]) -> float:
    """How likely it is that nothing but the languages of the path is spoken, in [0, 1]."""
    chosen = set(path)
    seconds = sum(stretch.end - stretch.start for stretch in stretches)
    agreed = sum(
        (stretch.end - stretch.start) * sum(stretch.odds.get(code, 0.0) for code in chosen)
        for stretch in stretches
    )
    return agreed / seconds if seconds else 1.0
