import json
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from meet_transcriber.core.formats import export
from meet_transcriber.core.formats.documents import to_single_line
from meet_transcriber.core.formats.readers import read_json, read_rttm, read_stm
from meet_transcriber.core.transcript import Transcript

Strategy = st.SearchStrategy[Transcript]
several = settings(max_examples=25)

RTTM = re.compile(r"SPEAKER recording 1 \d+\.\d{3} \d+\.\d{3} <NA> <NA> [^\s;]+ <NA> <NA>")
STM = re.compile(r"recording 1 [^\s;]+ (\d+\.\d{3}) (\d+\.\d{3}) ?(.*)")


def lines(transcript: Transcript, form: str) -> list[str]:
    return export(transcript, form).decode().splitlines()


@several
@given(data=st.data())
def test_each_rttm_line_has_ten_fields(data: st.DataObject, transcripts: Strategy) -> None:
    written = lines(data.draw(transcripts), "rttm")
    assert all(RTTM.fullmatch(line) for line in written)


def test_rttm_writes_turns_with_names(meeting: Transcript) -> None:
    assert lines(meeting, "rttm")[0] == (
        "SPEAKER recording 1 1.000 2.500 <NA> <NA> Ann_<Lee> <NA> <NA>"
    )
    assert read_rttm(export(meeting, "rttm").decode()).turns[0].end == 3.5


@several
@given(data=st.data())
def test_stm_has_a_line_per_segment(data: st.DataObject, transcripts: Strategy) -> None:
    transcript = data.draw(transcripts)
    for line, segment in zip(lines(transcript, "stm"), transcript.segments, strict=True):
        match = STM.fullmatch(line)
        assert match is not None
        assert match[3] == to_single_line(segment.text)


def test_stm_reads_back_with_unknown_speakers(meeting: Transcript) -> None:
    found = read_stm(export(meeting, "stm").decode())
    assert [segment.speaker for segment in found.segments] == [
        "Ann_<Lee>",
        "SPEAKER_01",
        "Bo_&_Co",
        None,
        "Ann_<Lee>",
    ]
    assert found.text == meeting.text


def test_seglst_is_a_list_of_utterances(meeting: Transcript) -> None:
    first = json.loads(export(meeting, "seglst"))[0]
    assert first == {
        "session_id": "recording",
        "speaker": "Ann <Lee>",
        "start_time": 1.001,
        "end_time": 3.401,
        "words": "Shall we start with the release?",
    }
    assert read_json(export(meeting, "seglst").decode()).text == meeting.text
