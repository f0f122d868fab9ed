"""Assigns words from recognition to speakers from diarization."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from meet_transcriber.core.segmentation import ends_clause, ends_sentence, gap_after
from meet_transcriber.core.transcript import Diarization, Turn, Word

MAX_GAP = 1.0  # seconds; turns farther from a word are ignored

# Costs are seconds of words outside their speaker's turns; a change of speaker costs:
_CHANGE_IN_SENTENCE = 0.7
_CHANGE_AT_CLAUSE = 0.5
_BREAK_PAUSE = 0.6  # after a pause this long a change costs nothing, as after a full stop

_DISTANCE_WEIGHT = 0.7  # per second between word and turn
_ESTIMATED_WEIGHT = 0.5  # for words with estimated times
_MIN_SECONDS, _MAX_SECONDS = 0.1, 1.0  # bounds of the duration that a word counts with
_EXCLUSIVE_SHARE = 0.25

_INTERJECTION_SECONDS = 1.2  # maximum length of an interjection into a longer turn
_INTERJECTION_COVER = 0.6
_INTERJECTION_SHARE = 0.4

_Costs = Mapping[str, float]


def attribute_words(words: Sequence[Word], diarization: Diarization) -> tuple[Word, ...]:
    """
    Assign a speaker to every word and mark words that others speak over.

    Candidates of a word are speakers with turns within `MAX_GAP` seconds. The assignment
    minimizes the seconds of words outside their speaker's turns plus the cost of changes of
    speaker: nothing after a sentence or a pause, 0.7 s within a sentence. So an error of a few
    tenths of a second in a turn does not split a sentence, and a short turn that contains a
    sentence keeps it. A word without candidates gets the speaker of the rest of its sentence,
    or None.

    Args:
        words: in time order.
        diarization: turns in any order; they may overlap.

    Returns:
        The words in the same order, with `speaker` and `overlap` set. Takes near-linear time in
        words plus turns.
    """
    speakers = _continued(words, _cheapest(words, _costs_of(words, diarization)))
    overlaps = _spoken_over(words, _by_start(diarization.turns), voices=2)
    return tuple(
        replace(word, speaker=speaker, overlap=overlap)
        for word, speaker, overlap in zip(words, speakers, overlaps, strict=True)
    )


def attribute_channel(
    words: Sequence[Word], speaker: str | None, turns: Sequence[Turn]
) -> tuple[Word, ...]:
    """
    Assign all words of a channel to its speaker and mark words that others speak over.

    Args:
        words: of one channel, in time order.
        turns: of all channels, in any order.
    """
    others = _by_start([turn for turn in turns if turn.speaker != speaker])
    return tuple(
        replace(word, speaker=speaker, overlap=overlap)
        for word, overlap in zip(words, _spoken_over(words, others, voices=1), strict=True)
    )


def _by_start(turns: Sequence[Turn]) -> list[Turn]:
    return sorted(turns, key=lambda turn: turn.start)


def _near(
    words: Sequence[Word], turns: Sequence[Turn], margin: float = 0.0
) -> Iterator[tuple[Word, list[Turn]]]:
    """Yield each word with the turns within `margin` seconds; both are sorted by start."""
    active: list[Turn] = []
    upcoming = 0
    for word in words:
        while upcoming < len(turns) and turns[upcoming].start <= word.end + margin:
            active.append(turns[upcoming])
            upcoming += 1
        # Sorted by start, turns may end in any order: an early one may be active long after later
        # ones.
        active = [turn for turn in active if turn.end >= word.start - margin]
        yield word, [turn for turn in active if turn.start <= word.end + margin]


def _spoken_over(words: Sequence[Word], turns: Sequence[Turn], voices: int) -> list[bool]:
    """Return for each word whether at least `voices` speakers have turns at its middle."""
    return [
        len({turn.speaker for turn in near if turn.start <= word.middle <= turn.end}) >= voices
        for word, near in _near(words, turns)
    ]


def _costs_of(words: Sequence[Word], diarization: Diarization) -> list[_Costs]:
    """Return for each word the cost of each nearby speaker, in seconds."""
    turns = _by_start(diarization.turns or diarization.exclusive)
    exclusive = _by_start(diarization.exclusive)
    costs: list[_Costs] = []
    alone = _near(words, exclusive, MAX_GAP)
    for (word, near), (_, only) in zip(_near(words, turns, MAX_GAP), alone, strict=True):
        outside = _outside(word, near)
        # Without exclusive turns, an interjection shows only as a short turn inside a long one.
        if only:
            costs.append(_mixed(outside, _outside(word, only)))
        else:
            costs.append(outside if exclusive else _with_interjections(outside, word, near))
    return costs


def _outside(word: Word, near: Sequence[Turn]) -> _Costs:
    """Return per speaker the seconds of the word outside their turns, and the distance to them."""
    low, high = _extent(word)
    inside: dict[str, float] = {}
    distance: dict[str, float] = {}
    for turn in near:
        shared = min(high, turn.end) - max(low, turn.start)
        inside[turn.speaker] = inside.get(turn.speaker, 0.0) + max(shared, 0.0)
        distance[turn.speaker] = min(distance.get(turn.speaker, MAX_GAP), max(-shared, 0.0))
    # An estimated time may be off by more than the word is long; its neighbours decide instead.
    trust = _ESTIMATED_WEIGHT if word.estimated else 1.0
    weight = min(high - low, _MAX_SECONDS)
    return {
        speaker: trust
        * (weight * max(1 - seconds / (high - low), 0.0) + _DISTANCE_WEIGHT * distance[speaker])
        for speaker, seconds in inside.items()
    }


def _extent(word: Word) -> tuple[float, float]:
    """Return start and end, extended to the minimum duration."""
    half = max(word.end - word.start, _MIN_SECONDS) / 2
    return word.middle - half, word.middle + half


def _mixed(every: _Costs, alone: _Costs) -> _Costs:
    """Combine costs by all turns with those by exclusive turns, which decide in overlap."""
    most = max(alone.values())
    return {
        speaker: (1 - _EXCLUSIVE_SHARE) * cost + _EXCLUSIVE_SHARE * alone.get(speaker, most)
        for speaker, cost in every.items()
    }


def _with_interjections(costs: _Costs, word: Word, near: Sequence[Turn]) -> _Costs:
    """Prefer the speaker of a short turn over the speaker of a long turn around it."""
    low, high = _extent(word)
    over = [
        turn
        for turn in near
        if min(high, turn.end) - max(low, turn.start) > _INTERJECTION_COVER * (high - low)
    ]
    shortest = min(over, key=lambda turn: turn.duration, default=None)
    if shortest is None or shortest.duration > _INTERJECTION_SECONDS:
        return costs
    long = {turn.speaker for turn in over if turn.duration > 2 * shortest.duration}
    extra = _INTERJECTION_SHARE * min(high - low, _MAX_SECONDS)
    return {
        speaker: cost + (extra if speaker in long - {shortest.speaker} else 0.0)
        for speaker, cost in costs.items()
    }


def _change_cost(words: Sequence[Word], index: int) -> float:
    """Return the cost of a change of speaker before word `index`, in seconds."""
    text = words[index - 1].text
    if ends_sentence(text):
        return 0.0
    cost = _CHANGE_AT_CLAUSE if ends_clause(text) else _CHANGE_IN_SENTENCE
    pause = max(gap_after(words, index - 1), 0.0)
    return cost * max(1 - pause / _BREAK_PAUSE, 0.0)


def _continued(words: Sequence[Word], speakers: Sequence[str | None]) -> list[str | None]:
    """Give words without a speaker that of the word before, else after, in their sentence."""
    result = list(speakers)
    # Where a change is free, a sentence has ended and another speaker may go on.
    joints = [index for index in range(1, len(words)) if _change_cost(words, index) > 0]
    for index in joints:
        result[index] = result[index] or result[index - 1]
    for index in reversed(joints):
        result[index - 1] = result[index - 1] or result[index]
    return result


def _cheapest(words: Sequence[Word], costs: Sequence[_Costs]) -> list[str | None]:
    """Return each word's speaker on the path with the lowest total cost (Viterbi)."""
    befores: list[Mapping[str, str]] = []
    totals: list[_Costs] = []
    for index, own in enumerate(costs):
        found = _step(totals[-1] if totals else {}, own, _change_cost(words, index))
        totals.append(found[0])
        befores.append(found[1])
    # trace back from the last word of each run of words that have candidates
    speakers: list[str | None] = []
    following: str | None = None
    for total, before in zip(reversed(totals), reversed(befores), strict=True):
        if following is None and total:
            following = min(total, key=lambda speaker: (total[speaker], speaker))
        speakers.append(following if total else None)
        following = before.get(following) if following is not None and total else None
    return speakers[::-1]


def _step(until: _Costs, own: _Costs, change: float) -> tuple[dict[str, float], dict[str, str]]:
    """Return the lowest total cost by speaker of a word, and the word before's speaker for each."""
    if not until:
        return dict(own), {}
    # A change costs the same whoever spoke before, so only the cheapest speaker can be that one.
    # Ties go by label, as turns come in no fixed order.
    cheapest = min(until, key=lambda speaker: (until[speaker], speaker))
    total: dict[str, float] = {}
    before: dict[str, str] = {}
    for speaker, cost in own.items():
        stays = speaker in until and until[speaker] <= until[cheapest] + change
        before[speaker] = speaker if stays else cheapest
        total[speaker] = cost + (until[speaker] if stays else until[cheapest] + change)
    return total, before
