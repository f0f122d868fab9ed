"""meeteval, the scorer these formats are for, reads what we write."""

import json
from pathlib import Path

import meeteval
import pytest

from meet_transcriber.core.formats import export
from meet_transcriber.core.formats.readers import read_transcript
from meet_transcriber.core.transcript import Transcript

GOLDEN = Path(__file__).parents[1] / "golden" / "exports"


@pytest.fixture
def meeting() -> Transcript:
    return read_transcript(GOLDEN / "json.json")


def check_utterances(read: meeteval.io.SegLST, meeting: Transcript) -> None:
    assert [row["words"] for row in read] == [segment.text for segment in meeting.segments]
    assert [float(row["start_time"]) for row in read] == pytest.approx(
        [segment.start for segment in meeting.segments], abs=0.001
    )


def test_meeteval_reads_our_stm(meeting: Transcript, tmp_path: Path) -> None:
    path = tmp_path / "meeting.stm"
    path.write_bytes(export(meeting, "stm"))
    check_utterances(meeteval.io.STM.load(path).to_seglst(), meeting)


def test_meeteval_takes_our_seglst(meeting: Transcript) -> None:
    check_utterances(meeteval.io.SegLST(json.loads(export(meeting, "seglst"))), meeting)


def test_meeteval_reads_the_same_turns(meeting: Transcript, tmp_path: Path) -> None:
    path = tmp_path / "meeting.rttm"
    path.write_bytes(export(meeting, "rttm"))
    read = meeteval.io.RTTM.load(path)
    assert [float(line.duration) for line in read] == pytest.approx(
        [turn.duration for turn in meeting.turns], abs=0.001
    )
