"""
What people change in a transcript afterwards, kept beside the machine's words.

An edit names a segment by its place among the segments as they are at that moment. The log of
edits is never rewritten: undoing is an edit too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Literal

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.scripts import is_spaceless
from meet_transcriber.core.transcript import Segment, Transcript, Word

EditKind = Literal["text", "speaker", "split", "merge", "undo", "name"]

LONGEST_TEXT = 10_000
LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Edit:
    """One change.

    Attributes:
        kind: `text` puts other words in, `speaker` gives the segment to somebody else, `split`
            cuts it before word `at`, `merge` joins the next one to it, `undo` takes back the
            latest edit that still stands, `name` says who a speaker is.
        segment: the segment's place, counted from 0.
        text: the new text, or the person's name.
        speaker: a label of this recording; None for an unknown speaker.
        at: the first word of the second half of a split, counted from 0.
        made_at: seconds since 1970.
    """

    kind: EditKind
    segment: int = 0
    text: str = ""
    speaker: str | None = None
    at: int = 0
    made_at: float = 0.0


@dataclass(frozen=True, slots=True)
class EditLog:
    """Everything that was changed since the machine wrote the transcript, in order."""

    edits: tuple[Edit, ...] = ()

    def standing(self) -> list[Edit]:
        """The edits that were not undone."""
        kept: list[Edit] = []
        for edit in self.edits:
            if edit.kind != "undo":
                kept.append(edit)
            elif kept:
                kept.pop()
        return kept


def edited(transcript: Transcript, log: EditLog) -> Transcript:
    """
    The transcript as people left it, the names they gave included.

    Raises:
        InvalidOptions: an edit does not fit; says which and why.
    """
    segments = list(transcript.segments)
    names = dict(transcript.names)
    for edit in log.standing():
        if edit.kind == "name":
            _name(transcript.speakers, names, edit)
        else:
            _APPLY[edit.kind](segments, edit)
    return replace(
        transcript,
        segments=tuple(segments),
        names=names,
        speakers=_speakers(transcript.speakers, segments),
    )


def with_edit(transcript: Transcript, log: EditLog, edit: Edit) -> tuple[EditLog, Transcript]:
    """
    The log with one more edit, and the transcript that it gives.

    Raises:
        InvalidOptions: the edit does not fit, or there is nothing to undo.
    """
    if edit.kind == "undo" and not log.standing():
        raise InvalidOptions("There is nothing to undo: no edit stands.")
    longer = EditLog((*log.edits, edit))
    return longer, edited(transcript, longer)


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
    segments[edit.segment] = replace(segment, words=tuple(_retimed(segment.words, texts)))


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
    second = segments[edit.segment + 1]
    words = tuple(replace(word, speaker=first.speaker) for word in second.words)
    segments[edit.segment : edit.segment + 2] = [replace(first, words=(*first.words, *words))]


_APPLY: Mapping[str, Callable[[list[Segment], Edit], None]] = {
    "text": _text,
    "speaker": _speaker,
    "split": _split,
    "merge": _merge,
}


def split_new_text(text: str) -> list[str]:
    """The words that shall stand in a segment; raises InvalidOptions for none or too many."""
    texts = split_text(text)
    if not texts or len(text) > LONGEST_TEXT:
        raise InvalidOptions(
            f"The text of a segment must have 1 to {LONGEST_TEXT} characters; to drop a "
            "segment, merge it with its neighbour."
        )
    return texts


def refuse_long_names(names: Mapping[str, str | None]) -> None:
    """Raise InvalidOptions where a speaker's name is longer than anybody's."""
    if long := [name for name in names.values() if name and len(name) > LONGEST_NAME]:
        raise InvalidOptions(f"{long[0][:40]!r}... is longer than {LONGEST_NAME} characters.")


def split_text(text: str) -> list[str]:
    """Words of a text, and single characters where the script has no spaces."""
    words: list[str] = []
    for piece in text.split():
        run = ""
        for char in piece:
            if is_spaceless(char):
                words += [run] if run else []
                words.append(char)
                run = ""
            else:
                run += char
        words += [run] if run else []
    return words


def _retimed(words: Sequence[Word], texts: Sequence[str]) -> Iterator[Word]:
    """New words in the time of the old: what stayed keeps its time, the rest shares the gaps."""
    matcher = SequenceMatcher(None, [word.text for word in words], texts, autojunk=False)
    for tag, old, old_end, new, new_end in matcher.get_opcodes():
        if tag == "equal":
            yield from words[old:old_end]
        elif new_end - new == old_end - old:
            for word, text in zip(words[old:old_end], texts[new:new_end], strict=True):
                yield replace(word, text=text, probability=None)
        else:
            yield from _spread(words, old, old_end, texts[new:new_end])


def _spread(words: Sequence[Word], old: int, old_end: int, texts: Sequence[str]) -> Iterator[Word]:
    """These texts, evenly over the words they replace, or over the gap they were put into."""
    if old < old_end:
        start, end = words[old].start, max(word.end for word in words[old:old_end])
    else:
        start = words[old - 1].end if old else words[0].start
        end = words[old].start if old < len(words) else words[-1].end
        end = max(start, end)
    speaker = words[min(old, len(words) - 1)].speaker
    step = (end - start) / max(len(texts), 1)
    for place, text in enumerate(texts):
        begin = start + place * step
        yield Word(text, begin, begin + step, None, speaker, estimated=True)


def _speakers(known: Sequence[str], segments: Sequence[Segment]) -> tuple[str, ...]:
    """The speakers that are left, those that an edit brought in last."""
    heard = [segment.speaker for segment in segments if segment.speaker]
    return tuple(dict.fromkeys([label for label in known if label in set(heard)] + heard))
