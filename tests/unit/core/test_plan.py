"""Parts of a recording."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.core.plan import TARGET_SECONDS, plan_parts
from meet_transcriber.core.transcript import Span, merge_spans


def test_silence_makes_no_part() -> None:
    assert plan_parts([()], 600) == ()


def test_a_short_recording_is_one_part_with_some_silence_around_it() -> None:
    (part,) = plan_parts([(Span(5, 60),)], 70)
    assert (part.start, part.end) == (4.7, 60.3)


def test_parts_end_at_the_longest_silence_near_the_target() -> None:
    speech = [Span(at, at + 9.5) for at in range(0, 900, 10)]
    speech[32] = Span(323, 329.5)  # a silence of 3.5 s before it
    first, second, *_ = plan_parts([speech], 900)
    assert first.speech[-1] == Span(310, 319.5)
    assert second.seam is None


def test_speech_without_a_pause_is_cut_at_the_target() -> None:
    parts = plan_parts([(Span(0, 1000),)], 1000)
    assert max(part.end - part.start for part in parts) <= TARGET_SECONDS + 3
    assert [part.seam for part in parts] == [None, 250.0, 500.0, 750.0]


def test_parts_overlap_at_a_cut_through_speech() -> None:
    parts = plan_parts([(Span(0, 1000),)], 1000)
    for before, after in pairwise(parts):
        assert after.seam is not None
        assert before.speech[-1].end == after.seam + 1.0
        assert after.speech[0].start == after.seam - 1.0
        assert before.end >= before.speech[-1].end
        assert after.start <= after.speech[0].start


def test_each_channel_has_its_own_parts() -> None:
    parts = plan_parts([(Span(0, 1),), (Span(2, 3),)], 10)
    assert [(part.index, part.channel) for part in parts] == [(0, 0), (1, 1)]


@given(st.lists(st.tuples(st.floats(0.2, 200), st.floats(0.2, 60)), min_size=1, max_size=60))
def test_all_speech_is_in_exactly_one_part(lengths: list[tuple[float, float]]) -> None:
    speech, at = [], 0.0
    for seconds, pause in lengths:
        speech.append(Span(at, at + seconds))
        at += seconds + pause
    parts = plan_parts([speech], at)
    twice = 2.0 * sum(part.seam is not None for part in parts)
    total = sum(span.duration for part in parts for span in part.speech)
    assert abs(total - twice - sum(span.duration for span in speech)) < 1e-6
    assert list(merge_spans(span for part in parts for span in part.speech)) == speech
