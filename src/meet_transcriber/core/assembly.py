"""Assembles the transcript from recognized parts and diarization."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, groupby

from meet_transcriber.core.attribution import attribute_channel, attribute_words
from meet_transcriber.core.options import Options
from meet_transcriber.core.plan import PartResult, Plan
from meet_transcriber.core.repetition import cut_loops
from meet_transcriber.core.scoring import normalize
from meet_transcriber.core.segmentation import build_segments
from meet_transcriber.core.transcript import (
    Diarization,
    Removed,
    Segment,
    Span,
    Transcript,
    TranscriptWarning,
    Turn,
    Word,
    languages_of,
    merge_spans,
    total_seconds,
)
from meet_transcriber.core.word_timing import measure_coverage

CHANNELS = "channels"  # name of the diarizer if each channel is one speaker

_LOW_COVERAGE = 0.7  # of speech with words, below which a warning is given
# A speaker with less than both, in seconds and of all turns, may be an error of the diarizer.
_GHOST_SECONDS, _GHOST_SHARE = 3.0, 0.02
_TURN_GAP = 0.5  # seconds; spans of one channel that are closer form one turn


def assemble(
    plan: Plan, parts: Sequence[PartResult], diarization: Diarization, options: Options
) -> Transcript:
    """
    Assign speakers to words, build segments, and add warnings about doubtful results.

    Args:
        parts: the results of all parts, in any order.
        diarization: result of the diarizer. With several channels, each channel is one speaker
            and only the warnings of the diarization are used.
    """
    labels: Mapping[int, str] = {}
    if plan.audio.channels > 1:
        labels = channel_labels(plan.speech)
        found = channels_as_speakers(plan.speech)
        diarization = replace(found, warnings=diarization.warnings)
    segments, loops = _segments(sorted(parts, key=lambda part: part.index), diarization, labels)
    removed = [*(cut for part in parts for cut in part.removed), *loops]
    words = [word for segment in segments for word in segment.words]
    transcript = Transcript(
        segments=segments,
        language=next(iter(languages_of(segments)), None),
        duration=plan.audio.duration,
        speakers=_speakers(diarization.turns, words),
        turns=diarization.turns,
        engine=parts[0].engine if parts else "",
        diarizer=diarization.diarizer,
        coverage=measure_coverage([*chain.from_iterable(plan.speech)], words),
        removed=tuple(sorted(removed, key=lambda cut: cut.start)),
    )
    notes = (
        *plan.audio.warnings,
        *(note for part in parts for note in part.warnings),
        *diarization.warnings,
        *_warnings(transcript, options),
    )
    return replace(transcript, warnings=tuple(dict.fromkeys(notes)))


def channels_as_speakers(speech: Sequence[Sequence[Span]]) -> Diarization:
    """Return a diarization in which each channel is one speaker, in order of first speech."""
    labels = channel_labels(speech)
    turns = [
        Turn(span.start, span.end, labels[channel])
        for channel, spans in enumerate(speech)
        for span in merge_spans(spans, _TURN_GAP)
    ]
    in_order = sorted(turns, key=lambda turn: (turn.start, turn.end))
    return Diarization(tuple(in_order), diarizer=CHANNELS)


def channel_labels(speech: Sequence[Sequence[Span]]) -> dict[int, str]:
    """Return the speaker label of each channel that has speech."""
    speaking = [channel for channel, spans in enumerate(speech) if spans]
    speaking.sort(key=lambda channel: speech[channel][0].start)
    return {channel: f"SPEAKER_{place:02d}" for place, channel in enumerate(speaking)}


def _segments(
    parts: Sequence[PartResult], diarization: Diarization, labels: Mapping[int, str]
) -> tuple[tuple[Segment, ...], list[Removed]]:
    """
    Return segments with speakers of all channels in time order, and the loops that were cut.

    Args:
        labels: speaker of each channel; empty if one channel has all speakers.
    """
    found: list[Segment] = []
    removed: list[Removed] = []
    for channel in {part.channel for part in parts}:
        pieces = _pieces([part for part in parts if part.channel == channel])
        recognized = _with_rising_starts([word for _, word in pieces])
        if labels:
            words = attribute_channel(recognized, labels.get(channel), diarization.turns)
        else:
            words = attribute_words(recognized, diarization)
        kept, cuts = cut_loops(words)
        removed.extend(cuts)
        # By identity, as equal words may be of several languages; cutting loops keeps the objects.
        languages = {id(word): language for (language, _), word in zip(pieces, words, strict=True)}
        for language, group in groupby(kept, key=lambda word: languages[id(word)]):
            found.extend(build_segments(tuple(group), language))
    return tuple(sorted(found, key=lambda segment: (segment.start, segment.end))), removed


def _pieces(parts: Sequence[PartResult]) -> list[tuple[str | None, Word]]:
    """Return the words of one channel with their languages; overlapping parts are joined."""
    pieces: list[tuple[str | None, Word]] = []
    for part in parts:
        own = [(segment.language, word) for segment in part.segments for word in segment.words]
        if part.seam is not None:
            before, after = join_at_seam(
                [word for _, word in pieces], [word for _, word in own], part.seam
            )
            pieces = pieces[: len(before)]
            own = own[len(own) - len(after) :]
        pieces += own
    return pieces


def _with_rising_starts(words: Sequence[Word]) -> list[Word]:
    """Make start times monotonic; engines round times at the edges of their windows."""
    ordered: list[Word] = []
    latest = 0.0
    for word in words:
        latest = max(latest, word.start)
        ordered.append(replace(word, start=latest, end=max(word.end, latest)))
    return ordered


def _speakers(turns: Sequence[Turn], words: Sequence[Word]) -> tuple[str, ...]:
    """Return labels in order of first speech."""
    first: dict[str, float] = {}
    for start, speaker in [(turn.start, turn.speaker) for turn in turns] + [
        (word.start, word.speaker) for word in words if word.speaker
    ]:
        first[speaker] = min(start, first.get(speaker, start))
    return tuple(sorted(first, key=lambda speaker: (first[speaker], speaker)))


def _warnings(transcript: Transcript, options: Options) -> Iterator[TranscriptWarning]:
    if transcript.coverage < _LOW_COVERAGE:
        cut = f"{len(transcript.removed)} spans were removed, see `removed` for the reasons; "
        yield TranscriptWarning(
            "low_coverage",
            f"Only {transcript.coverage:.0%} of the detected speech has words; "
            f"{cut if transcript.removed else ''}the rest was not recognized.",
        )
    total = total_seconds(transcript.turns)
    for speaker in transcript.speakers:
        seconds = total_seconds(turn for turn in transcript.turns if turn.speaker == speaker)
        if 0 < seconds < min(_GHOST_SECONDS, _GHOST_SHARE * total):
            yield TranscriptWarning(
                "ghost_speaker",
                f"{speaker} has only {seconds:.1f} seconds of speech and may not exist.",
            )
    low, high = options.speaker_range
    found = len(transcript.speakers)
    if transcript.turns and not low <= found <= high:
        requested = str(low) if low == high else f"{low} to {high}"
        yield TranscriptWarning(
            "speakers_differ", f"{requested} speakers were requested and {found} were found."
        )


_MAX_DISTANCE = 1.0  # seconds between the middles of a word in both parts


def join_at_seam(
    left: Sequence[Word], right: Sequence[Word], seam: float
) -> tuple[list[Word], list[Word]]:
    """
    Return what to keep of two overlapping parts, so that no word is duplicated or lost.

    The parts are joined at the word in both that is nearest to the seam, words with matching
    neighbours first. If there is none, each part keeps its own side.

    Args:
        left, right: words of the parts before and after the seam, in time order.
        seam: seconds.
    """
    start, end = (right[0].start, left[-1].end) if left and right else (seam, seam)
    tail = [at for at, word in enumerate(left) if word.end > start - _MAX_DISTANCE]
    head = [at for at, word in enumerate(right) if word.start < end + _MAX_DISTANCE]
    pairs = [(one, two) for one in tail for two in head if _same(left[one], right[two])]
    if pairs:

        def distance(pair: tuple[int, int]) -> float:
            one, two = pair
            neighbours = sum(
                0 <= one + step < len(left)
                and 0 <= two + step < len(right)
                and _same(left[one + step], right[two + step])
                for step in (-2, -1, 1, 2)
            )
            # A matching neighbour outweighs a second: a common word alone may match by chance.
            return abs(left[one].middle - seam) - neighbours

        one, two = min(pairs, key=distance)
        return list(left[:one]), list(right[two:])
    return (
        [word for word in left if word.middle < seam],
        [word for word in right if word.middle >= seam],
    )


def _same(one: Word, two: Word) -> bool:
    near = abs(one.middle - two.middle) <= _MAX_DISTANCE
    return near and bool(key := normalize(one.text)) and key == normalize(two.text)
