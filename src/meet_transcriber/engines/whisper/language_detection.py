"""Which language is spoken when: a path with few changes through uncertain detections."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import log

_CHANGE_COST = 2.5  # natural logarithm of odds; a wrong stretch costs two changes
_MIN_PROBABILITY = 0.005  # lower ones are no evidence
_FULL_SECONDS = 4.0  # shorter stretches have less weight
_CANDIDATE_PROBABILITY = 0.1
# Probabilities of a second language, in long and in short stretches; see `may_be_mixed`.
_LONG_SECONDS = 16.0
_SHARE, _TRACE, _FAINT_TRACE = 0.04, 0.01, 0.002


@dataclass(frozen=True)
class DetectedLanguage:
    """
    Language probabilities of a stretch of audio.

    Attributes:
        start, end: in seconds of the audio.
        probabilities: by language code.
    """

    start: float
    end: float
    probabilities: Mapping[str, float]

    @property
    def language(self) -> str:
        """The likeliest language."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    def may_be_mixed(self, spoken: Collection[str]) -> bool:
        """
        Return whether another language may be spoken as well.

        Four seconds of a second language have a probability of 0.01 to 0.2 in thirty seconds, and
        much more in ten. Distant voices have it too; a shorter stretch tells them apart.

        Args:
            spoken: languages detected elsewhere, for which less probability is enough.
        """
        is_long = self.end - self.start >= _LONG_SECONDS
        anywhere, elsewhere = (_TRACE, _FAINT_TRACE) if is_long else (_SHARE, _TRACE)
        return any(
            probability >= (elsewhere if code in spoken else anywhere)
            for code, probability in self.probabilities.items()
            if code != self.language
        )

    def evidence(self, code: str) -> float:
        """Return the weighted log probability of a language."""
        weight = min((self.end - self.start) / _FULL_SECONDS, 1.0)
        return weight * log(max(self.probabilities.get(code, 0.0), _MIN_PROBABILITY))


def most_likely_languages(
    detected: Sequence[DetectedLanguage], allowed: Sequence[str], before: str | None = None
) -> list[str]:
    """
    Return the language of each stretch: the likeliest path with few changes (Viterbi).

    One deviating stretch between others does not change the language; a longer one does.

    Args:
        detected: in time order; at least one.
        allowed: codes to choose from.
        before: the language before the first stretch; None if unknown.
    """
    codes = _candidates(detected, allowed, before)
    scores = [0.0 if before in (None, code) else -_CHANGE_COST for code in codes]
    origins: list[list[int]] = []
    for stretch in detected:
        best = max(range(len(codes)), key=scores.__getitem__)
        changed = scores[best] - _CHANGE_COST
        came = [place if scores[place] >= changed else best for place in range(len(codes))]
        scores = [
            max(scores[place], changed) + stretch.evidence(code) for place, code in enumerate(codes)
        ]
        origins.append(came)
    place = max(range(len(codes)), key=scores.__getitem__)
    path = []
    for came in reversed(origins):
        path.append(codes[place])
        place = came[place]
    return path[::-1]


def _candidates(
    detected: Sequence[DetectedLanguage], allowed: Sequence[str], before: str | None
) -> list[str]:
    """Allowed languages that are likely in some stretch, or the likeliest of all."""
    total = dict.fromkeys(allowed, 0.0)
    for stretch in detected:
        for code in allowed:
            total[code] += (stretch.end - stretch.start) * stretch.probabilities.get(code, 0.0)
    likely = {
        code
        for stretch in detected
        for code, probability in stretch.probabilities.items()
        if probability >= _CANDIDATE_PROBABILITY and code in total
    }
    likely.add(max(allowed, key=total.__getitem__))
    if before in total:
        likely.add(before)
    return sorted(likely, key=lambda code: (-total[code], code))


def path_probability(detected: Sequence[DetectedLanguage], path: Sequence[str]) -> float:
    """Return the probability, in [0, 1], that only the path's languages are spoken."""
    chosen = set(path)
    seconds = sum(stretch.end - stretch.start for stretch in detected)
    agreed = sum(
        (stretch.end - stretch.start) * sum(stretch.probabilities.get(code, 0.0) for code in chosen)
        for stretch in detected
    )
    return agreed / seconds if seconds else 1.0
