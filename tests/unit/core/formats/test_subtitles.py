import io
import re
import unicodedata
from itertools import pairwise

import srt
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st

from meet_transcriber.core.formats import export
from meet_transcriber.core.formats.subtitles import (
    LINE_WIDTH,
    MAX_LINES,
    MAX_SECONDS,
    MIN_SECONDS_IN_OVERLAP,
    build_cues,
    display_width,
    format_timestamp,
    wrap,
)
from meet_transcriber.core.languages import split_words
from meet_transcriber.core.transcript import Segment, Transcript, Word

Strategy = st.SearchStrategy[Transcript]
several = settings(max_examples=25)


def exported(transcript: Transcript, form: str) -> str:
    return export(transcript, form).decode()


def _words(text: str) -> list[str]:
    return text.split()


def said(*words: Word, speaker: str | None = None) -> Transcript:
    return Transcript((Segment(words, speaker),))


@several
@given(data=st.data(), labels=st.booleans())
def test_every_line_fits_and_no_cue_has_more_than_two(
    data: st.DataObject, labels: bool, transcripts: Strategy
) -> None:
    for cue in build_cues(data.draw(transcripts), labels):
        assert 1 <= len(cue.lines) <= MAX_LINES
        assert all(
            0 < display_width(line) <= LINE_WIDTH for line in cue.lines if line.isprintable()
        )


@several
@given(data=st.data(), labels=st.booleans())
def test_cues_are_ordered_disjoint_and_readable(
    data: st.DataObject, labels: bool, transcripts: Strategy
) -> None:
    cues = build_cues(data.draw(transcripts), labels)
    assert all(left.end <= right.start for left, right in pairwise(cues))
    assert all(cue.end - cue.start >= MIN_SECONDS_IN_OVERLAP - 1e-6 for cue in cues)
    assert all(cue.end - cue.start <= MAX_SECONDS + 1e-6 for cue in cues)


@several
@given(data=st.data())
def test_cues_hold_every_word(data: st.DataObject, transcripts: Strategy) -> None:
    transcript = data.draw(transcripts)
    shown = "".join("".join(cue.lines) for cue in build_cues(transcript))
    cleaned = re.sub(r"[\x00-\x1f\x7f-\x9f\ufeff\ufffe\uffff\ud800-\udfff]", "", transcript.text)
    assert sorted("".join(shown.split())) == sorted("".join(cleaned.split()))


@several
@given(data=st.data())
def test_the_srt_library_reads_back_what_was_written(
    data: st.DataObject, transcripts: Strategy
) -> None:
    transcript = data.draw(transcripts)
    cues = build_cues(transcript, labels=True)
    read = list(srt.parse(exported(transcript, "srt")))
    assert [item.content for item in read] == [
        re.sub("-{2,}>", "->", "\n".join(cue.lines)) for cue in cues
    ]
    assert all(left.end <= right.start for left, right in pairwise(read))


@several
@given(data=st.data())
def test_webvtt_reads_back_what_was_written(data: st.DataObject, transcripts: Strategy) -> None:
    transcript = data.draw(transcripts)
    read = webvtt.from_buffer(io.StringIO(exported(transcript, "vtt")))
    cues = build_cues(transcript)
    assert len(read) == len(cues)
    assert [item.start for item in read.captions] == [format_timestamp(cue.start) for cue in cues]
    assert [bool(item.voice) for item in read.captions] == [cue.speaker is not None for cue in cues]


def test_vtt_escapes_names_and_text(meeting: Transcript) -> None:
    text = exported(meeting, "vtt")
    assert "<v Ann &lt;Lee&gt;>Shall we start with the release?</v>" in text
    assert "&lt;printing&gt; &amp; --" in text
    assert text.count("-->") == text.count("\n\n")


def test_srt_names_a_speaker_only_where_the_speaker_changes() -> None:
    words = [Word(f"word{at}.", at * 2.0, at * 2 + 1, speaker="S") for at in range(3)]
    text = exported(said(*words, speaker="S"), "srt")
    assert text.count("S: ") == 1


def test_an_unknown_speaker_gets_no_label() -> None:
    transcript = said(Word("Hello", 0.0, 0.5))
    assert exported(transcript, "srt").endswith("\nHello\n")
    assert "<v" not in exported(transcript, "vtt")


def test_milliseconds_are_rounded_and_carried() -> None:
    assert format_timestamp(1.0006) == "00:00:01.001"
    assert format_timestamp(59.9996) == "00:01:00.000"
    assert format_timestamp(360_000.0, ",") == "100:00:00,000"


def test_two_lines_break_after_a_clause() -> None:
    words = _words("I can begin with the release, if that is okay with you.")
    assert wrap(words) == ("I can begin with the release,", "if that is okay with you.")


def test_two_lines_are_about_equally_long() -> None:
    top, bottom = wrap(_words("we fixed most of the open problems late last week"))
    assert abs(display_width(top) - display_width(bottom)) <= 6


def test_japanese_breaks_without_spaces_and_never_before_its_full_stop() -> None:
    sentence = (
        "リリースは木曜日です。検索ページの問題は来週の月曜日までに直します。よろしいですか。"
    )
    lines = [line for cue in build_cues(said(Word(sentence, 0, 9))) for line in cue.lines]
    assert "".join(lines) == sentence
    assert lines[0].endswith("。")
    assert not any(line.startswith("。") for line in lines)


def test_korean_counts_two_columns_and_keeps_its_spaces() -> None:
    assert display_width("안녕") == 4
    assert wrap(["안녕하세요", "여러분"]) == ("안녕하세요 여러분",)


def test_a_cue_stays_long_enough_to_be_read_where_time_allows() -> None:
    words = [Word("understandable", at * 0.1, at * 0.1 + 0.1) for at in range(4)]
    (cue,) = build_cues(said(*words))
    assert sum(display_width(line) for line in cue.lines) / (cue.end - cue.start) <= 17.1


THAI = (
    "สวัสดีครับทุกคน วันนี้เราจะคุยกันเรื่องงบประมาณของปีหน้า ก่อนอื่นขอให้ทุกคนแนะนำตัว "
    "แล้วค่อยเริ่มประชุมกันตามวาระ ถ้ามีคำถามถามได้เลยครับ ไม่ต้องรอให้จบก่อน"
)


def test_thai_breaks_at_the_spaces_that_were_written_and_never_before_a_mark() -> None:
    texts = split_words(THAI)
    words = tuple(Word(text, at * 0.15, at * 0.15 + 0.15) for at, text in enumerate(texts))
    transcript = Transcript((Segment(words, "S"),), duration=30.0, speakers=("S",))
    lines = [line for cue in build_cues(transcript, labels=True) for line in cue.lines]
    assert " ".join(lines).replace("S: ", "", 1) == THAI
    assert lines[0].startswith("S: ")
    assert not any(unicodedata.category(line[0]) == "Mn" for line in lines)
