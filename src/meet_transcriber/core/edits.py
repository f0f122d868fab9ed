"""
Users' edits of a transcript, stored as a log beside the recognized words.

An edit names a segment by its index at the time of the edit. The log only grows: undo is an edit
too. Edits that are made together are one step, which is undone as a whole.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from itertools import groupby, islice
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
LONGEST_SEGMENT = 2 * LONGEST_TEXT
"""Characters of a segment that a merge or a replacement makes."""
MOST_ADDED = 200_000
"""
Characters by which edits may make a transcript longer, about four hours of speech.

A replacement multiplies, so a log of a few lines could otherwise stand for gigabytes of words.
"""
LONGEST_NAME = 200
MOST_NAMED = 10_000
"""Characters of all names, which every list of jobs contains."""
LONGEST_FIND = 200
MOST_LOG_BYTES = 16 << 20
"""Largest edit log, which is read and written whole."""
SNAPSHOT_EDITS = 32
"""Edits in effect between two snapshots."""
_RECENT = 4  # states of large transcripts, which share most words
LABEL = re.compile(r"SPEAKER_[0-9]{2,3}")
"""Labels that the diarizer gives, and that a user may give to a new speaker."""
_EDGES = rf"(?:(?<!\w)|(?<=[{SPACELESS}]))", rf"(?:(?!\w)|(?=[{SPACELESS}]))"


@dataclass(frozen=True, slots=True)
class Edit:
    """One change.

    Attributes:
        kind: `text` replaces a segment's words; `speaker` assigns the segment to `speaker`;
            `split` cuts it before word `at`; `merge` appends the next segment to it; `replace`
            replaces `find` by `text` everywhere; `reassign` assigns all that `source` said to
            `speaker`; `name` names `speaker`; `undo` reverts the latest step in effect; `redo`
            repeats the step that was undone last.
        segment: index of the segment.
        text: the new text, or the person's name.
        speaker: a label of this recording, or a new one; None for an unknown speaker.
        at: index of the first word of the second half of a split.
        made_at: seconds since 1970.
        joined: whether it belongs to the same step as the edit before it.
        author: name of the API key that made it; None without a key, and in old logs.
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
    """All edits of a transcript, in order."""

    edits: tuple[Edit, ...] = ()

    def standing(self) -> list[Edit]:
        """The edits in effect."""
        return [self.edits[index] for step in self.steps()[0] for index in step]

    def steps(self) -> tuple[list[list[int]], list[list[int]]]:
        """Indices of edits by step: of the steps in effect, and of those that can be redone."""
        standing: list[list[int]] = []
        undone: list[list[int]] = []
        for index, edit in enumerate(self.edits):
            if edit.kind == "undo":
                undone += [standing.pop()] if standing else []
            elif edit.kind == "redo":
                standing += [undone.pop()] if undone else []
            elif edit.joined and standing:
                standing[-1].append(index)
            else:
                standing.append([index])
                undone.clear()
        return standing, undone

    def snapshots_to_keep(self, stored: Iterable[int] = ()) -> set[int]:
        """
        The snapshots that later edits, undos and redos start from, as `Snapshot.place`.

        Of the edits in effect they are 32 apart at the end, and twice as far from each to the one
        before it, so that their number stays small and an undo finds one within reach.

        Args:
            stored: places of existing snapshots; those of the next undone steps are kept, too.
        """
        standing, undone = self.steps()
        ends = [step[-1] for step in standing]
        redone = {step[-1] for step in undone[-SNAPSHOT_EDITS:]}
        return {ends[at - 1] for at in _snapshot_positions(standing)} | (redone & set(stored))


def _snapshot_positions(steps: Sequence[Sequence[int]]) -> list[int]:
    """Numbers of steps after which a snapshot is kept, in order."""
    total, made, positions = sum(map(len, steps)), 0, []
    for position, step in enumerate(steps, start=1):
        before, made = made, made + len(step)
        span = SNAPSHOT_EDITS
        if made // span == before // span:
            continue
        while made // (2 * span) > before // (2 * span):
            span *= 2
        if total - made < 2 * span:
            positions.append(position)
    return positions


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state after a step and all that were in effect before it, as `Edited` describes it.

    A step has the same ones before it whenever it is in effect, so its last edit's index, its
    `place`, identifies the state.
    """

    transcript: Transcript
    known: tuple[str, ...]
    words_moved: bool = False
    labels_given: tuple[str | None, ...] = ()
    added: int = 0


Snapshots = Mapping[int, Callable[[], Snapshot | None]]
"""Place -> reads the snapshot; None where it is lost."""


@dataclass(frozen=True, slots=True)
class Edited:
    """A transcript with its edits.

    Attributes:
        machine: returns it as it was recognized, which is seldom needed.
        log: all edits.
        transcript: after the edits in effect.
        known: the speakers that were recognized.
        words_moved: an edit in effect moved words to another speaker without the turns. Turns are
            then the times of segments, and the turns of speakers without words.
        labels_given: labels to which the edits in effect assigned words of another speaker.
        added: characters by which the edits in effect made words longer.
        texts: of the segments, kept for the next edit; empty before the first one.
        recent: states before the latest edits by place, so that undo and redo apply no edits.
        unsaved: snapshots to keep that were made since the last edit, by place.
        applied: how many edits were applied to make this state from another one.
    """

    machine: Callable[[], Transcript] = field(compare=False, repr=False)
    log: EditLog
    transcript: Transcript
    known: tuple[str, ...]
    words_moved: bool = False
    labels_given: frozenset[str | None] = frozenset()
    added: int = 0
    texts: tuple[str, ...] = field(default=(), compare=False, repr=False)
    recent: Mapping[int, Snapshot] = field(default_factory=dict, compare=False, repr=False)
    unsaved: Mapping[int, Snapshot] = field(default_factory=dict, compare=False, repr=False)
    applied: int = field(default=0, compare=False)

    @property
    def text(self) -> str:
        """The text of the transcript."""
        return join_words(self.texts) if self.texts else self.transcript.text

    def snapshot(self) -> Snapshot:
        """This state without the log."""
        given = tuple(sorted(self.labels_given, key=str))
        return Snapshot(self.transcript, self.known, self.words_moved, given, self.added)


_NO_SNAPSHOTS: Snapshots = {}


def edited(machine: Transcript, log: EditLog) -> Edited:
    """Apply a log to the transcript as it was recognized; raises as `with_edits` does."""
    return edited_since(lambda: machine, log, {})


def edited_since(
    machine: Callable[[], Transcript],
    log: EditLog,
    snapshots: Snapshots,
    recent: Mapping[int, Snapshot] | None = None,
) -> Edited:
    """
    Apply the edits of a log that the latest usable snapshot lacks.

    Args:
        machine: returns the transcript as it was recognized; called without a usable snapshot.
        recent: further snapshots.
    """
    standing, unsaved, recent = log.steps()[0], {}, recent or {}
    places = [step[-1] for step in standing]
    at, start = _start(recent, snapshots, places)
    if start is not None:  # an undo starts from it as well
        recent = {**recent, places[at - 1]: start}
    start = start or _recognized(machine())
    state = Edited(
        machine,
        log,
        start.transcript,
        start.known,
        start.words_moved,
        frozenset(start.labels_given),
        start.added,
        recent=recent,
        applied=sum(map(len, standing[at:])),
    )
    for position in sorted({*_snapshot_positions(standing), len(standing)}):
        if position > at:
            edits = [log.edits[index] for step in standing[at:position] for index in step]
            state, at = _applied(state, edits), position
            unsaved[places[at - 1]] = state.snapshot()
    return _with_unsaved(state, unsaved)


def _recognized(machine: Transcript) -> Snapshot:
    return Snapshot(machine, machine.speakers)


def _with_unsaved(state: Edited, made: Mapping[int, Snapshot]) -> Edited:
    keep = state.log.snapshots_to_keep()
    known = {**state.unsaved, **made}
    return replace(state, unsaved={place: known[place] for place in keep & known.keys()})


def _start(
    recent: Mapping[int, Snapshot], stored: Snapshots, places: Sequence[int]
) -> tuple[int, Snapshot | None]:
    """The number of steps in the latest snapshot of steps in effect, and the snapshot."""
    for position in range(len(places), 0, -1):
        place = places[position - 1]
        found = recent.get(place) or (stored[place]() if place in stored else None)
        if found is not None:
            return position, found
    return 0, None


def with_edits(
    edited_before: Edited, edits: Sequence[Edit], snapshots: Snapshots = _NO_SNAPSHOTS
) -> Edited:
    """
    Append one step to the log and apply it.

    Args:
        snapshots: of earlier states, to undo and redo without repeating the log.

    Raises:
        InvalidOptions: an edit does not fit, or there is nothing to undo or to redo.
    """
    log = edited_before.log
    standing, undone = log.steps()
    if edits[0].kind == "undo" and not standing:
        raise InvalidOptions("There is nothing to undo: no edit is in effect.")
    if edits[0].kind == "redo" and not undone:
        raise InvalidOptions("There is nothing to redo: the latest edit is not an undo.")
    _check_labels(edited_before.transcript, edits)
    step = tuple(replace(edit, joined=at > 0) for at, edit in enumerate(edits))
    longer = EditLog((*log.edits, *step))
    recent = _recent(edited_before, standing)
    if any(edit.kind in {"undo", "redo"} for edit in edits):
        after = edited_since(edited_before.machine, longer, snapshots, recent)
        after = _with_unsaved(after, {**edited_before.unsaved, **after.unsaved})
    else:  # only this step: repeating the log would take longer with every edit
        before = replace(edited_before, log=longer, recent=recent)
        after = replace(_applied(before, step), applied=len(step))
        after = _with_unsaved(after, {len(longer.edits) - 1: after.snapshot()})
    return replace(after, texts=_texts(edited_before, after.transcript.segments))


def _recent(state: Edited, standing: Sequence[Sequence[int]]) -> Mapping[int, Snapshot]:
    """The latest states with this one."""
    if not standing:
        return state.recent
    place = standing[-1][-1]
    others = [each for each in state.recent.items() if each[0] != place]
    return dict([*others, (place, state.snapshot())][-_RECENT:])


def _texts(before: Edited, after: Sequence[Segment]) -> tuple[str, ...]:
    """The texts of segments; only those of changed segments are joined."""
    head, old, new = _difference(before.transcript.segments, after)
    texts = before.texts or tuple(each.text for each in before.transcript.segments)
    return (*texts[:head], *(each.text for each in new), *texts[head + len(old) :])


def _applied(state: Edited, edits: Sequence[Edit]) -> Edited:
    """Apply edits to the transcript; `reassign` moves a speaker's turns with the words."""
    before, known = state.transcript, state.known
    segments, names, turns = list(before.segments), dict(before.names), before.turns
    words_moved, stale_turns, given = state.words_moved, False, set(state.labels_given)
    added, left = state.added, None
    for edit in edits:
        if edit.kind == "name":
            left = left or speakers_left(known, segments, turns)
            _name(left, names, edit)
            continue
        left = None
        receivers = _receivers(segments, edit)
        given |= receivers
        if edit.kind == "reassign":
            moved = _count_of(edit.source, turns) == 0
            if moved and not _count_of(edit.source, segments):
                who = edit.source or "unknown"
                raise InvalidOptions(f"Nothing in this transcript was said by {who}.")
        else:
            moved = bool(receivers)
        if moved:
            turns, words_moved = turns_without_words(segments, turns), True
        if edit.kind == "reassign":
            turns = _reassigned_turns(turns, edit.source, edit.speaker)
        stale_turns |= moved or edit.kind == "reassign"
        longer = _APPLY[edit.kind](segments, edit)
        added += longer
        if longer > 0:
            _check_added(added)
    speakers, (_, old, new) = before.speakers, _difference(before.segments, segments)
    if stale_turns or _spoken(old) != _spoken(new):
        turns = _turns_by_segments(segments, turns) if words_moved else turns
        speakers = speakers_left(known, segments, turns)
    after = replace(before, segments=tuple(segments), names=names, speakers=speakers, turns=turns)
    return replace(
        state,
        transcript=after,
        words_moved=words_moved,
        labels_given=frozenset(given),
        added=added,
    )


def _receivers(segments: Sequence[Segment], edit: Edit) -> set[str | None]:
    """The speaker, if any, to whom an edit assigns words of another one."""
    match edit.kind:
        case "reassign":
            return {edit.speaker} - {edit.source}
        case "speaker":
            return {edit.speaker} - {_at(segments, edit.segment).speaker}
        case "merge":
            first = _at(segments, edit.segment)
            following = {each.speaker for each in segments[edit.segment + 1 : edit.segment + 2]}
            return {first.speaker} if following - {first.speaker} else set()
    return set()


@dataclass(frozen=True, slots=True)
class Splice:
    """A run of segments that changed: from index `at` on, `removed` segments became `inserted`."""

    at: int
    removed: int
    inserted: tuple[Segment, ...]


def splices(before: Sequence[Segment], after: Sequence[Segment]) -> list[Splice]:
    """The splices that turn one list of segments into another, to be applied in order."""
    head, old, new = _difference(before, after)
    if len(old) != len(new):
        return [Splice(head, len(old), tuple(new))]
    runs = groupby(range(len(new)), key=lambda at: old[at] != new[at])
    changed = [[*places] for differs, places in runs if differs]
    return [Splice(head + run[0], len(run), tuple(new[run[0] : run[-1] + 1])) for run in changed]


def _difference(
    before: Sequence[Segment], after: Sequence[Segment]
) -> tuple[int, Sequence[Segment], Sequence[Segment]]:
    """The first index at which two lists differ, and what differs without the common end."""
    shorter, tail = min(len(before), len(after)), 0
    # An edit leaves most segments as the same objects, which need not be compared by value.
    pairs = enumerate(zip(before, after, strict=False))
    # The end is compared only behind the head, so that no segment counts for both.
    head = next((at for at, (old, new) in pairs if old is not new and old != new), shorter)
    for old, new in islice(zip(reversed(before), reversed(after), strict=False), shorter - head):
        if old is not new and old != new:
            break
        tail += 1
    return head, before[head : len(before) - tail], after[head : len(after) - tail]


def count(transcript: Transcript, edit: Edit) -> int:
    """
    Number of places that a `replace` or `reassign` changes; 1 for other edits.

    For a speaker without words that is the number of turns.
    """
    match edit.kind:
        case "replace":
            pattern = _whole_words(edit.find)
            return sum(
                spot.hits for each in transcript.segments for spot in _spots(each.words, pattern)
            )
        case "reassign":
            in_segments = _count_of(edit.source, transcript.segments)
            return in_segments or _count_of(edit.source, transcript.turns)
    return 1


def _count_of(speaker: str | None, said: Sequence[Segment | Turn]) -> int:
    return sum(each.speaker == speaker for each in said)


def _check_labels(transcript: Transcript, edits: Sequence[Edit]) -> None:
    """Raise InvalidOptions if words are assigned to a label that is neither known nor new."""
    for edit in edits:
        label = edit.speaker
        known = label is None or label in transcript.speakers or label in transcript.names
        if edit.kind in {"speaker", "reassign"} and not known and not LABEL.fullmatch(label or ""):
            raise InvalidOptions(
                f"{str(label)[:40]!r} is no speaker of this recording; there are: "
                f"{', '.join(transcript.speakers) or 'none'}. For another person use a new label "
                "such as SPEAKER_07, and name it with PATCH .../speakers."
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
        if (size := sum(map(len, names.values()))) > MOST_NAMED:
            raise InvalidOptions(f"The names have {size} characters; the most is {MOST_NAMED}.")
    else:
        names.pop(label, None)


def _at(segments: Sequence[Segment], index: int) -> Segment:
    if not 0 <= index < len(segments):
        raise InvalidOptions(
            f"There is no segment {index}; the transcript has {len(segments)}, counted from 0."
        )
    return segments[index]


def _text(segments: list[Segment], edit: Edit) -> int:
    segment = _at(segments, edit.segment)
    texts = split_new_text(edit.text)
    segments[edit.segment] = replace(segment, words=tuple(_retimed(segment.words, texts)))
    return sum(map(len, texts)) - _characters(segment.words)


def _characters(words: Iterable[Word]) -> int:
    """The characters of words, without the spaces between them."""
    return sum(len(word.text) for word in words)


def _speaker(segments: list[Segment], edit: Edit) -> int:
    segment = _at(segments, edit.segment)
    words = tuple(replace(word, speaker=edit.speaker) for word in segment.words)
    segments[edit.segment] = replace(segment, speaker=edit.speaker, words=words)
    return 0


def _split(segments: list[Segment], edit: Edit) -> int:
    segment = _at(segments, edit.segment)
    if not 0 < edit.at < len(segment.words):
        raise InvalidOptions(
            f"Segment {edit.segment} has {len(segment.words)} words; it can be split before "
            f"word 1 to {len(segment.words) - 1}, not {edit.at}."
        )
    halves = segment.words[: edit.at], segment.words[edit.at :]
    segments[edit.segment : edit.segment + 1] = [replace(segment, words=half) for half in halves]
    return 0


def _merge(segments: list[Segment], edit: Edit) -> int:
    first = _at(segments, edit.segment)
    if edit.segment + 1 == len(segments):
        raise InvalidOptions("The last segment has no next one to merge with.")
    _check_length(sum(_characters(each.words) for each in segments[edit.segment :][:2]))
    words = [*first.words]
    for word in segments[edit.segment + 1].words:
        start = max(word.start, words[-1].start)  # the speakers may overlap
        end = max(word.end, start)
        words.append(replace(word, start=start, end=end, speaker=first.speaker))
    segments[edit.segment : edit.segment + 2] = [replace(first, words=tuple(words))]
    return 0


def _replace_everywhere(segments: list[Segment], edit: Edit) -> int:
    pattern, added, found = _whole_words(edit.find), 0, False
    for index, segment in enumerate(segments):
        if spots := _spots(segment.words, pattern):
            found = True
            before = _characters(segment.words)
            longer = sum(spot.hits for spot in spots) * (len(edit.text) - len(edit.find))
            if longer > 0:  # before the words are made
                _check_length(before + longer)
                _check_added(added + longer)
            words = tuple(_replaced(segment.words, spots, pattern, edit))
            segments[index] = replace(segment, words=words)
            added += _characters(words) - before
    if not found:
        raise InvalidOptions(f"{edit.find!r} is not in this transcript as whole words.")
    return added


def _check_length(characters: int) -> None:
    if characters > LONGEST_SEGMENT:
        raise InvalidOptions(
            f"A segment would have {characters} characters; the most is {LONGEST_SEGMENT}."
        )


def _check_added(characters: int) -> None:
    if characters > MOST_ADDED:
        raise InvalidOptions(
            f"The edits would make this transcript {characters} characters longer; the most is "
            f"{MOST_ADDED}."
        )


def _reassign(segments: list[Segment], edit: Edit) -> int:
    for index, segment in enumerate(segments):
        if segment.speaker == edit.source:
            _speaker(segments, replace(edit, segment=index))
    return 0


def _whole_words(find: str) -> re.Pattern[str]:
    """A pattern for a text in any case, between any punctuation, with any space between words."""
    # Not \b, which finds no edge between a word and the letters of a script without spaces.
    begin, end = (_EDGES if _needs_edge(char) else ("", "") for char in (find[0], find[-1]))
    text = r"\s+".join(map(re.escape, find.split()))
    return re.compile(begin[0] + text + end[1], re.IGNORECASE)


def _needs_edge(char: str) -> bool:
    """Whether a text that ends with this character must end where a word does."""
    return char.isalnum() and not is_spaceless(char)


class _Spot(NamedTuple):
    """The words from `first` to `last`, exclusive, that contain `hits` matches."""

    first: int
    last: int
    hits: int


def _spots(words: Sequence[Word], pattern: re.Pattern[str]) -> list[_Spot]:
    if pattern.search(join_words(word.text for word in words)) is None:
        return []  # as in most segments, whose words need not be located
    # As `join_words` does, with the place of each word in the text.
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
        yield from _retimed(old, split_words(space + text), until)
        done = spot.last
    yield from words[done:]


def _in_case_of(found: str, edit: Edit) -> str:
    """The new text, capitalized where the found text has more capitals than the query."""
    if found == edit.find or not edit.text:
        return edit.text
    if found.isupper() and len(found) > 1 and not edit.find.isupper():
        return edit.text.upper()
    if found[0].isupper() and edit.find[0].islower():
        return edit.text[0].upper() + edit.text[1:]
    return edit.text


_APPLY: Mapping[str, Callable[[list[Segment], Edit], int]] = {
    "text": _text,
    "speaker": _speaker,
    "split": _split,
    "merge": _merge,
    "replace": _replace_everywhere,
    "reassign": _reassign,
}
"""What each kind of edit does to segments; returns the characters that it adds."""


def split_new_text(text: str) -> list[str]:
    """The words of a segment's new text; raises InvalidOptions if it is empty or too long."""
    texts = [] if len(text) > LONGEST_TEXT else split_words(text.strip())
    if not texts:
        raise InvalidOptions(
            f"The text of a segment must have 1 to {LONGEST_TEXT} characters; to remove a "
            "segment, merge it with its neighbour."
        )
    return texts


def speakers_left(
    known: Sequence[str], segments: Sequence[Segment], turns: Sequence[Turn]
) -> tuple[str, ...]:
    """Labels with words or turns: known ones in their order, then new ones."""
    left = dict.fromkeys(segment.speaker for segment in segments if segment.speaker)
    left |= dict.fromkeys(turn.speaker for turn in turns)
    return tuple(dict.fromkeys([*(label for label in known if label in left), *left]))


def _spoken(segments: Iterable[Segment]) -> list[Turn]:
    """The times of segments with a speaker."""
    return [Turn(each.start, each.end, each.speaker) for each in segments if each.speaker]


def _turns_by_segments(segments: Sequence[Segment], turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The times of segments with a speaker, and the turns of speakers without words."""
    both = [*_spoken(segments), *turns_without_words(segments, turns)]
    return tuple(sorted(both, key=lambda turn: (turn.start, turn.end)))


def turns_without_words(segments: Sequence[Segment], turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Turns of speakers who have no segment."""
    heard = {segment.speaker for segment in segments}
    return tuple(turn for turn in turns if turn.speaker not in heard)


def _reassigned_turns(
    turns: Sequence[Turn], source: str | None, to: str | None
) -> tuple[Turn, ...]:
    """Assign the turns of `source` to `to`; an unknown speaker has no turns."""
    if to is None:
        return tuple(turn for turn in turns if turn.speaker != source)
    return tuple(replace(each, speaker=to) if each.speaker == source else each for each in turns)


def _retimed(words: Sequence[Word], texts: Sequence[str], until: float = inf) -> Iterator[Word]:
    """
    New words in the time of the old ones: words that stay keep their times, others share the gaps.

    Args:
        until: when the following word begins.
    """
    old = new = 0
    for old_at, new_at, size in _matching_blocks([word.text for word in words], texts):
        yield from _changed(words, slice(old, old_at), texts[new:new_at], until)
        yield from words[old_at : old_at + size]
        old, new = old_at + size, new_at + size


def _changed(
    words: Sequence[Word], replaced: slice, texts: Sequence[str], until: float
) -> Iterator[Word]:
    """New words in place of some old ones: each in the time of one where there are as many."""
    old = words[replaced]
    # A word each, as where spelling is corrected: no time has to be made up.
    if len(old) == len(texts):
        for word, text in zip(old, texts, strict=True):
            yield replace(word, text=text, probability=None)
    elif texts:
        following = words[replaced.stop].start if replaced.stop < len(words) else until
        yield from _spread(words, replaced, texts, following)


_MOST_PAIRS = 2500
"""
Of words that `SequenceMatcher` compares: its worst case is cubic, 0.5 ms for 50 by 50, and a
replacement does this at each place.
"""


def _matching_blocks(old: Sequence[str], new: Sequence[str]) -> Sequence[tuple[int, int, int]]:
    """Index in both and length of the runs that stay; the last one is empty, at both ends."""
    if len(old) * len(new) <= _MOST_PAIRS:
        return SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    shorter = min(len(old), len(new))
    head = next((at for at in range(shorter) if old[at] != new[at]), shorter)
    left = range(shorter - head)
    tail = next((at for at in left if old[-1 - at] != new[-1 - at]), len(left))
    middle = old[head : len(old) - tail], new[head : len(new) - tail]
    inner = [(head + at, head + to, 1) for at, to in _common_subsequence(*middle)]
    ends = (len(old) - tail, len(new) - tail, tail), (len(old), len(new), 0)
    return [(0, 0, head), *inner, *ends]


def _common_subsequence(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """
    The indices of a longest common subsequence, in order.

    Bit-parallel, with a row of the table in one integer (Hyyrö, "Bit-parallel LCS-length
    computation revisited", 2004): 10,000 by 10,000 words take about 0.1 s.
    """
    places: dict[str, int] = {}
    for at, text in enumerate(old):
        places[text] = places.get(text, 0) | 1 << at
    full = row = (1 << len(old)) - 1
    rows = []
    for text in new:
        matches = row & places.get(text, 0)
        row = (row + matches | row - matches) & full
        rows.append(row)  # a bit is 0 where the subsequence of old[: bit + 1] is longer
    pairs = []
    at, to = len(old), len(new)
    while at and to:
        if rows[to - 1] >> at - 1 & 1:
            at -= 1
        elif to > 1 and not rows[to - 2] >> at - 1 & 1:
            to -= 1
        else:
            at, to = at - 1, to - 1
            pairs.append((at, to))
    return pairs[::-1]


def _spread(
    words: Sequence[Word], replaced: slice, texts: Sequence[str], following: float
) -> Iterator[Word]:
    """
    Spread texts evenly over the words that they replace, or over the gap that they fill.

    None begins after the following word, which may overlap the one before.
    """
    index, old = replaced.start, words[replaced]
    inserted = not old and index > 0
    start = min(words[index - 1].end, following) if inserted else words[index].start
    last = old or (words if index == len(words) else [words[index]])
    end = min(max(word.end for word in last), following)
    speaker = words[min(index, len(words) - 1)].speaker
    step = (end - start) / max(len(texts), 1)
    for number, text in enumerate(texts):
        begin = start + number * step
        yield Word(text, begin, begin + step, None, speaker, estimated=True)
