"""Labels to which edits assigned words of other speakers."""

import pytest

from meet_transcriber.core.edits import Edit, EditLog, edited
from meet_transcriber.core.transcript import Segment, Transcript, Word

SAID = Transcript(
    speakers=("A", "B"),
    segments=tuple(
        Segment((Word("one", at, at + 0.4), Word("two", at + 0.5, at + 0.9)), speaker)
        for at, speaker in enumerate("ABB")
    ),
)


@pytest.mark.parametrize(
    ("edits", "given"),
    [
        ([], set()),
        ([Edit("name", speaker="A", text="Ann")], set()),
        ([Edit("text", 0, "other")], set()),
        ([Edit("speaker", 0, speaker="A")], set()),
        ([Edit("speaker", 0, speaker="B")], {"B"}),
        ([Edit("speaker", 0, speaker=None)], {None}),
        ([Edit("split", 1, at=1), Edit("speaker", 2, speaker="A")], {"A"}),
        ([Edit("merge", 0)], {"A"}),
        ([Edit("merge", 1)], set()),
        ([Edit("reassign", source="B", speaker="A")], {"A"}),
        ([Edit("reassign", source="B", speaker="B")], set()),
        ([Edit("reassign", source="B", speaker="A"), Edit("undo")], set()),
    ],
)
def test_labels_that_received_words_of_other_speakers(
    edits: list[Edit], given: set[str | None]
) -> None:
    assert edited(SAID, EditLog(tuple(edits))).labels_given == given
