"""The scores of the benchmark of speech detection."""

from benchmarks.detection import DetectionErrors, detection_errors
from meet_transcriber.core.transcript import Span, Turn


def test_detection_reports_shares_of_speech_and_of_the_rest() -> None:
    errors = detection_errors([Turn(0, 8, "A"), Turn(4, 10, "B")], [Span(2, 12)], duration=20)
    assert errors == DetectionErrors(detected=8, speech=10, false_alarm=2, non_speech=10)
    assert (errors.detected_share, errors.false_alarm_share) == (0.8, 0.2)


def test_detection_ignores_what_lies_outside_the_recording() -> None:
    errors = detection_errors([Turn(12, 14, "A")], [Span(-1, 1), Span(11, 13)], duration=10)
    assert errors == DetectionErrors(false_alarm=1, non_speech=10)


def test_detection_without_speech_or_without_silence_has_shares() -> None:
    assert detection_errors([], [], duration=5).detected_share == 1
    assert detection_errors([Span(0, 5)], [Span(0, 5)], duration=5).false_alarm_share == 0


def test_detection_adds_up_over_recordings() -> None:
    both = DetectionErrors(8, 10, 2, 10) + DetectionErrors(1, 10, 0, 10)
    assert (both.detected_share, both.false_alarm_share) == (0.45, 0.1)
