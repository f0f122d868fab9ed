"""Windows contain all speech and are cut where it is quietest."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.core.transcript import Span, merge_spans
from meet_transcriber.engines.whisper.windows import (
    MAX_WINDOW_SECONDS,
    OVERLAP_SECONDS,
    Window,
    plan_windows,
    quietest_moment,
    split_window,
)
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Waveform

lengths = st.lists(st.tuples(st.floats(0.2, 70), st.floats(0.1, 8)), min_size=1, max_size=12)


HISS = np.random.default_rng(7).normal(0, 0.1, 10 * SAMPLE_RATE_HZ).astype(np.float32)


def noise(seconds: float) -> Waveform:
    return np.resize(HISS, round(seconds * SAMPLE_RATE_HZ))


def spans(found: list[tuple[float, float]]) -> list[Span]:
    speech, at = [], 0.5
    for seconds, pause in found:
        speech.append(Span(at, at + seconds))
        at += seconds + pause
    return speech


@given(lengths)
def test_windows_contain_all_speech_and_fit_the_encoder(
    found: list[tuple[float, float]],
) -> None:
    speech = spans(found)
    windows = plan_windows(noise(speech[-1].end + 1), speech)
    held = list(merge_spans(span for window in windows for span in window.speech))
    assert [s.start for s in held] == pytest.approx([s.start for s in speech])
    assert [s.end for s in held] == pytest.approx([s.end for s in speech])
    assert all(window.duration <= MAX_WINDOW_SECONDS + 1e-6 for window in windows)


@given(lengths)
def test_only_running_speech_is_in_two_windows(found: list[tuple[float, float]]) -> None:
    speech = spans(found)
    for before, after in pairwise(plan_windows(noise(speech[-1].end + 1), speech)):
        if after.seam is None:
            assert before.speech[-1].end < after.speech[0].start
        else:
            assert after.speech[0].start == pytest.approx(after.seam - OVERLAP_SECONDS)
            assert before.speech[-1].end >= after.seam


def test_windows_are_cut_in_the_longest_pause() -> None:
    speech = [Span(0, 9), Span(9.3, 19), Span(22, 31), Span(31.2, 40)]
    first, second = plan_windows(noise(41), speech)
    assert (first.speech, second.speech) == (tuple(speech[:2]), tuple(speech[2:]))


def test_a_long_pause_inside_a_window_is_shortened() -> None:
    (window,) = plan_windows(noise(30), [Span(1, 3), Span(20, 22)])
    assert window.duration == pytest.approx(2 + 2 + 0.6 + 0.4)


def test_speech_without_a_pause_is_cut_at_the_quietest_moment() -> None:
    audio = noise(48)
    audio[round(21.0 * 16_000) : round(21.2 * 16_000)] *= 0.01
    first, second = plan_windows(audio, [Span(0, 48)])
    assert second.seam == pytest.approx(21.1, abs=0.05)
    assert first.end == pytest.approx(21.1 + OVERLAP_SECONDS + 0.2, abs=0.05)


@given(st.floats(0, 4.9))
def test_the_quietest_moment_is_found(at: float) -> None:
    audio = noise(6)
    audio[round((at + 0.5) * 16_000) : round((at + 0.66) * 16_000)] = 0
    assert quietest_moment(audio, 0.2, 5.9) == pytest.approx(at + 0.58, abs=0.03)


@given(lengths, st.floats(0, 1))
def test_audio_time_survives_conversion_to_window_time(
    found: list[tuple[float, float]], share: float
) -> None:
    speech = spans(found)
    for window in plan_windows(noise(speech[-1].end + 1), speech):
        span = window.speech[-1]
        moment = span.start + share * span.duration
        offset = window.to_window_time(moment)
        assert 0 <= offset <= window.duration + 1e-6
        assert window.to_audio_time(offset, offset).start == pytest.approx(moment, abs=0.31)


def test_a_window_is_split_in_its_longest_pause_or_at_the_quietest_moment() -> None:
    parts = (Span(0, 4), Span(4.3, 8), Span(9.5, 14))
    (window,) = plan_windows(noise(15), parts)
    first, second = split_window(noise(15), window) or (None, None)
    assert first
    assert second
    assert (first.speech, second.speech, second.seam) == (parts[:2], parts[2:], None)
    (running,) = plan_windows(noise(12), [Span(0, 10)])
    left, right = split_window(noise(12), running) or (None, None)
    assert left
    assert right
    assert right.seam is not None
    assert left.end > right.seam > right.start


def test_a_short_window_is_not_split() -> None:
    assert split_window(noise(3), Window((Span(0, 2),), (Span(0, 2),))) is None
