"""To whom edits gave words of other speakers; pure."""

from collections.abc import Sequence

from meet_transcriber.core.edits import APPLY, Edit, EditLog
from meet_transcriber.core.transcript import Segment, Transcript


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
