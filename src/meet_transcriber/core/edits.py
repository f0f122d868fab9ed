"""
What people change in a transcript afterwards, kept beside the machine's words.

An edit names a segment by its place among the segments as they are at that moment. The log of
edits is never rewritten: undoing is an edit too. Edits that were made together are one step,
which is undone as a whole.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import groupby
from math import inf
from typing import Literal, NamedTuple

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.languages import (
    SPACELESS,
    is_spaceless,
    join_words,
    needs_space,
    split_words,
)
from meet_transcriber.core.transcript import Segment, Transcript, Turn, Word

EditKind = Literal[
    "text", "speaker", "split", "merge", "replace", "reassign", "name", "undo", "redo"
]

LONGEST_TEXT = 10_000
LONGEST_NAME = 200
LONGEST_FIND = 200
MOST_LOG_BYTES = 16 << 20
"""Of a transcript's history, which is read and written whole."""
LABEL = re.compile(r"SPEAKER_[0-9]{2,3}")
"""Of a speaker without a name."""
_EDGES = rf"(?:(?<!\w)|(?<=[{SPACELESS}]))", rf"(?:(?!\w)|(?=[{SPACELESS}]))"


@dataclass(frozen=True, slots=True)
class Edit:
    """One change.

    Attributes:
        kind: `text` puts other words in, `speaker` gives the segment to somebody else, `split`
            cuts it before word `at`, `merge` joins the next one to it, `replace` puts `text` in
            wherever `find` stands, `reassign` gives all that `source` said to `speaker`, `name`
            says who a speaker is, `undo` takes back the latest step that still stands, `redo`
            brings back what was undone last.
        segment: the segment's place, counted from 0.
        text: the new text, or the person's name.
        speaker: a label of this recording, or a new one; None for an unknown speaker.
        at: the first word of the second half of a split, counted from 0.
        made_at: seconds since 1970.
        joined: it belongs to the step of the edit before it.
        author: name of the API key that it came with; None without a key, and in old logs.
    """

    kind: EditKind
    segment: int = 0
    text: str = ""
    speaker: str | None = None
    at: int = 0
    made_at: float = 0.0
    find: str = ""
    source: str | None = None
    joined: bool = False
    author: str | None = None


@dataclass(frozen=True, slots=True)
class EditLog:
    """Everything that was changed since the machine wrote the transcript, in order."""

    edits: tuple[Edit, ...] = ()

    def standing(self) -> list[Edit]:
        """The edits that were not undone."""
        return [self.edits[place] for step in self.steps()[0] for place in step]

    def steps(self) -> tuple[list[list[int]], list[list[int]]]:
        """
        Places of edits by step: those that stand, and those that can be brought back, last
        undone last.
        """
        standing: list[list[int]] = []
        undone: list[list[int]] = []
        for place, edit in enumerate(self.edits):
            if edit.kind == "undo":
                undone += [standing.pop()] if standing else []
            elif edit.kind == "redo":
                standing += [undone.pop()] if undone else []
            elif edit.joined and standing:
                standing[-1].append(place)
            else:
                standing.append([place])
                undone.clear()
        return standing, undone


def edited(transcript: Transcript, log: EditLog) -> Transcript:
    """
    The transcript as people left it, the names they gave included.

    All of a speaker goes to another one with words and turns. Where single words did, turns are
    the times of segments, and the turns of speakers who never had words. Speakers are those of
    words and turns.

    Raises:
        InvalidOptions: an edit does not fit; says which and why.
    """
    segments, by_segments = list(transcript.segments), False
    names, turns = dict(transcript.names), transcript.turns
    for edit in log.standing():
        if edit.kind == "name":
            _name(speakers_left(transcript.speakers, segments, turns), names, edit)
            continue
        _refuse_nobody(segments, turns, edit)
        moved = _moves_words(segments, turns, edit)
        turns, by_segments = _turns_after(segments, turns, edit, moved), by_segments or moved
        APPLY[edit.kind](segments, edit)
    if by_segments:
        turns = turns_by_segments(segments, turns)
    return replace(
        transcript,
        segments=tuple(segments),
        names=names,
        speakers=speakers_left(transcript.speakers, segments, turns),
        turns=turns,
    )


def _moves_words(segments: Sequence[Segment], turns: Sequence[Turn], edit: Edit) -> bool:
    """Whether words, but no turns, go to another speaker by it."""
    match edit.kind:
        case "merge":
            return len({each.speaker for each in segments[edit.segment :][:2]}) > 1
        case "speaker":
            given = segments[edit.segment : edit.segment + 1]
            return any(each.speaker != edit.speaker for each in given)
        case "reassign":
            return all(turn.speaker != edit.source for turn in turns)
    return False


def _refuse_nobody(segments: Sequence[Segment], turns: Sequence[Turn], edit: Edit) -> None:
    if edit.kind == "reassign" and not any(_of(edit.source, said) for said in (segments, turns)):
        raise InvalidOptions(f"Nothing in this transcript was said by {edit.source or 'unknown'}.")


def _turns_after(
    segments: Sequence[Segment], turns: Sequence[Turn], edit: Edit, moved: bool
) -> tuple[Turn, ...]:
    """What an edit leaves of turns; after words moved, they count where there are no words."""
    if moved:
        turns = turns_without_words(segments, turns)
    if edit.kind == "reassign":
        turns = turns_given(turns, edit.source, edit.speaker)
    return tuple(turns)


@dataclass(frozen=True, slots=True)
class Splice:
    """A run of segments that changed: from place `at` on, `removed` became `inserted`."""

    at: int
    removed: int
    inserted: tuple[Segment, ...]


def splices(before: Sequence[Segment], after: Sequence[Segment]) -> list[Splice]:
    """The splices that turn one list of segments into another, made in order."""
    shorter = min(len(before), len(after))
    head = next((at for at in range(shorter) if before[at] != after[at]), shorter)
    tail = 0
    while tail < shorter - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    old, new = before[head : len(before) - tail], after[head : len(after) - tail]
    if len(old) != len(new):
        return [Splice(head, len(old), tuple(new))]
    runs = groupby(range(len(new)), key=lambda at: old[at] != new[at])
    changed = [[*places] for differs, places in runs if differs]
    return [Splice(head + run[0], len(run), tuple(new[run[0] : run[-1] + 1])) for run in changed]


def with_edits(
    transcript: Transcript, log: EditLog, before: Transcript, edits: Sequence[Edit]
) -> tuple[EditLog, Transcript]:
    """
    The log with one more step, and the transcript that it gives.

    Args:
        transcript: as the machine wrote it.
        before: as the log left it.

    Raises:
        InvalidOptions: an edit does not fit, or there is nothing to undo or to bring back.
    """
    standing, undone = log.steps()
    if edits[0].kind == "undo" and not standing:
        raise InvalidOptions("There is nothing to undo: no edit stands.")
    if edits[0].kind == "redo" and not undone:
        raise InvalidOptions("There is nothing to bring back: nothing was undone last.")
    _refuse_made_up_labels(before, edits)
    step = (replace(edit, joined=at > 0) for at, edit in enumerate(edits))
    longer = EditLog((*log.edits, *step))
    return longer, edited(transcript, longer)


def count(transcript: Transcript, edit: Edit) -> int:
    """
    In how many places a `replace` or `reassign` would change something, which are turns where a
    speaker has no words; 1 for others.
    """
    match edit.kind:
        case "replace":
            pattern = _whole_words(edit.find)
            return sum(
                spot.hits for each in transcript.segments for spot in _spots(each.words, pattern)
            )
        case "reassign":
            said = (transcript.segments, transcript.turns)
            return next(filter(None, (_of(edit.source, each) for each in said)), 0)
    return 1


def _of(speaker: str | None, said: Sequence[Segment | Turn]) -> int:
    return sum(each.speaker == speaker for each in said)


def _refuse_made_up_labels(transcript: Transcript, edits: Sequence[Edit]) -> None:
    for edit in edits:
        label = edit.speaker
        known = label is None or label in transcript.speakers or label in transcript.names
        if edit.kind in {"speaker", "reassign"} and not known and not LABEL.fullmatch(label or ""):
            raise InvalidOptions(
                f"{str(label)[:40]!r} is no speaker of this recording; there are: "
                f"{', '.join(transcript.speakers) or 'none'}. For somebody new use a label such "
                "as SPEAKER_07, and name it with PATCH .../speakers."
            )


def _name(speakers: Sequence[str], names: dict[str, str], edit: Edit) -> None:
    label = edit.speaker or ""
    if label not in speakers and label not in names:
        raise InvalidOptions(
            f"There is no speaker {label!r} in this recording; there are: "
            f"{', '.join(speakers) or 'none'}."
        )
    if text := edit.text.strip():
        names[label] = text
    else:
        names.pop(label, None)


def _at(segments: Sequence[Segment], place: int) -> Segment:
    if not 0 <= place < len(segments):
        raise InvalidOptions(
            f"There is no segment {place}; the transcript has {len(segments)}, counted from 0."
        )
    return segments[place]


def _text(segments: list[Segment], edit: Edit) -> None:
    segment = _at(segments, edit.segment)
    texts = split_new_text(edit.text)
    segments[edit.segment] = replace(segment, words=tuple(retimed(segment.words, texts)))


def _speaker(segments: list[Segment], edit: Edit) -> None:
    segment = _at(segments, edit.segment)
    words = tuple(replace(word, speaker=edit.speaker) for word in segment.words)
    segments[edit.segment] = replace(segment, speaker=edit.speaker, words=words)


def _split(segments: list[Segment], edit: Edit) -> None:
    segment = _at(segments, edit.segment)
    if not 0 < edit.at < len(segment.words):
        raise InvalidOptions(
            f"Segment {edit.segment} has {len(segment.words)} words; it can be split before "
            f"word 1 to {len(segment.words) - 1}, not {edit.at}."
        )
    halves = segment.words[: edit.at], segment.words[edit.at :]
    segments[edit.segment : edit.segment + 1] = [replace(segment, words=half) for half in halves]


def _merge(segments: list[Segment], edit: Edit) -> None:
    first = _at(segments, edit.segment)
    if edit.segment + 1 == len(segments):
        raise InvalidOptions("The last segment has no next one to merge with.")
    words = [*first.words]
    for word in segments[edit.segment + 1].words:
        start = max(word.start, words[-1].start)  # people may have talked at once
        end = max(word.end, start)
        words.append(replace(word, start=start, end=end, speaker=first.speaker))
    segments[edit.segment : edit.segment + 2] = [replace(first, words=tuple(words))]


def _replace_everywhere(segments: list[Segment], edit: Edit) -> None:
    pattern, found = _whole_words(edit.find), False
    for place, segment in enumerate(segments):
        if spots := _spots(segment.words, pattern):
            found = True
            words = tuple(_replaced(segment.words, spots, pattern, edit))
            segments[place] = replace(segment, words=words)
    if not found:
        raise InvalidOptions(f"{edit.find!r} does not stand in this transcript as whole words.")


def _reassign(segments: list[Segment], edit: Edit) -> None:
    for place, segment in enumerate(segments):
        if segment.speaker == edit.source:
            _speaker(segments, replace(edit, segment=place))


def _whole_words(find: str) -> re.Pattern[str]:
    """What finds a text in any case, between whatever marks; spaces part its words."""
    begin, end = (_EDGES if _parts(char) else ("", "") for char in (find[0], find[-1]))
    text = r"\s+".join(map(re.escape, find.split()))
    return re.compile(begin[0] + text + end[1], re.IGNORECASE)


def _parts(char: str) -> bool:
    """Whether a text that ends with this character stands alone only where a word does."""
    return char.isalnum() and not is_spaceless(char)


class _Spot(NamedTuple):
    """Neighbouring words that hold what was found: from `first` to `last`, exclusive."""

    first: int
    last: int
    hits: int


def _spots(words: Sequence[Word], pattern: re.Pattern[str]) -> list[_Spot]:
    starts, text = [], ""
    for word in words:
        text += " " if needs_space(text, word.text) else ""
        starts.append(len(text))
        text += word.text
    spots: list[_Spot] = []
    for hit in pattern.finditer(text):
        first, last = bisect_right(starts, hit.start()) - 1, bisect_right(starts, hit.end() - 1)
        if spots and spots[-1].last > first:  # two in one word
            spots[-1] = _Spot(spots[-1].first, last, spots[-1].hits + 1)
        else:
            spots.append(_Spot(first, last, 1))
    return spots


def _replaced(
    words: Sequence[Word], spots: Sequence[_Spot], pattern: re.Pattern[str], edit: Edit
) -> Iterator[Word]:
    done = 0
    for spot in spots:
        yield from words[done : spot.first]
        old = words[spot.first : spot.last]
        text = pattern.sub(
            lambda hit: _in_case_of(hit.group(), edit), join_words(word.text for word in old)
        )
        until = words[spot.last].start if spot.last < len(words) else inf
        space = " " if old[0].text[:1].isspace() else ""
        yield from retimed(old, split_words(space + text), until)
        done = spot.last
    yield from words[done:]


def _in_case_of(found: str, edit: Edit) -> str:
    """The new text, with capitals where what was found has more of them than what was sought."""
    if found == edit.find or not edit.text:
        return edit.text
    if found.isupper() and len(found) > 1 and not edit.find.isupper():
        return edit.text.upper()
    if found[0].isupper() and edit.find[0].islower():
        return edit.text[0].upper() + edit.text[1:]
    return edit.text


APPLY: Mapping[str, Callable[[list[Segment], Edit], None]] = {
    "text": _text,
    "speaker": _speaker,
    "split": _split,
    "merge": _merge,
    "replace": _replace_everywhere,
    "reassign": _reassign,
}
"""What each kind of edit does to segments; a name does nothing to them."""


def split_new_text(text: str) -> list[str]:
    """The words that shall stand in a segment; raises InvalidOptions for none or too many."""
    texts = split_words(text.strip())
    if not texts or len(text) > LONGEST_TEXT:
        raise InvalidOptions(
            f"The text of a segment must have 1 to {LONGEST_TEXT} characters; to drop a "
            "segment, merge it with its neighbour."
        )
    return texts


def labels_given(transcript: Transcript, log: EditLog) -> frozenset[str | None]:
    """
    Labels to which edits gave what somebody else had said, as far as they still stand.

    Args:
        transcript: as the machine wrote it.
    """
    segments, given = list(transcript.segments), set[str | None]()
    for edit in log.standing():
        if edit.kind == "name":
            continue
        given |= _receiver(segments, edit)
        APPLY[edit.kind](segments, edit)
    return frozenset(given)


def _receiver(segments: Sequence[Segment], edit: Edit) -> set[str | None]:
    match edit.kind:
        case "reassign":
            return {edit.speaker} - {edit.source}
        case "speaker":
            return {edit.speaker} - {segments[edit.segment].speaker}
        case "merge":
            joined = segments[edit.segment : edit.segment + 2]
            return {joined[0].speaker} if len({each.speaker for each in joined}) > 1 else set()
    return set()


def speakers_left(
    known: Sequence[str], segments: Sequence[Segment], turns: Sequence[Turn]
) -> tuple[str, ...]:
    """Labels that have words or turns: those that were known in their order, then new ones."""
    heard = (segment.speaker for segment in segments if segment.speaker)
    left = [*heard, *(turn.speaker for turn in turns)]
    there = set(left)
    return tuple(dict.fromkeys([*(label for label in known if label in there), *left]))


def turns_by_segments(segments: Sequence[Segment], turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Times of segments whose speaker is known, and the turns of those who have no words."""
    spoken = [Turn(each.start, each.end, each.speaker) for each in segments if each.speaker]
    both = [*spoken, *turns_without_words(segments, turns)]
    return tuple(sorted(both, key=lambda turn: (turn.start, turn.end)))


def turns_without_words(segments: Sequence[Segment], turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Turns of speakers who have no segment."""
    heard = {segment.speaker for segment in segments}
    return tuple(turn for turn in turns if turn.speaker not in heard)


def turns_given(turns: Sequence[Turn], source: str | None, to: str | None) -> tuple[Turn, ...]:
    """Turns where all of `source` are those of `to`; nobody known has none."""
    if to is None:
        return tuple(turn for turn in turns if turn.speaker != source)
    return tuple(replace(each, speaker=to) if each.speaker == source else each for each in turns)


def retimed(words: Sequence[Word], texts: Sequence[str], until: float = inf) -> Iterator[Word]:
    """
    New words in the time of the old: what stayed keeps its time, the rest shares the gaps.

    Args:
        until: when the word behind them begins.
    """
    matcher = SequenceMatcher(None, [word.text for word in words], texts, autojunk=False)
    for tag, old, old_end, new, new_end in matcher.get_opcodes():
        if tag == "equal":
            yield from words[old:old_end]
        elif new_end - new == old_end - old:
            for word, text in zip(words[old:old_end], texts[new:new_end], strict=True):
                yield replace(word, text=text, probability=None)
        else:
            following = words[old_end].start if old_end < len(words) else until
            yield from _spread(words, slice(old, old_end), texts[new:new_end], following)


def _spread(
    words: Sequence[Word], replaced: slice, texts: Sequence[str], following: float
) -> Iterator[Word]:
    """
    These texts, evenly over the words they replace, or over the gap they were put into; none
    begins after the word behind them, which may run into the one before.
    """
    place, old = replaced.start, words[replaced]
    inserted = not old and place > 0
    start = min(words[place - 1].end, following) if inserted else words[place].start
    end = min(max(word.end for word in old or words), following)
    speaker = words[min(place, len(words) - 1)].speaker
    step = (end - start) / max(len(texts), 1)
    for number, text in enumerate(texts):
        begin = start + number * step
        yield Word(text, begin, begin + step, None, speaker, estimated=True)
