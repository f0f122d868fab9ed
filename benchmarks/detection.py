"""Speech detection on a folder of recordings with references: NAME.wav beside NAME.rttm.

Run: python -m benchmarks.detection FOLDER [onset=0.4 offset=0.1 ...]
"""

import io
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from meet_transcriber.audio.decoder import PyavDecoder
from meet_transcriber.audio.vad import SileroDetector
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Span, Turn, merge_spans, total_seconds

_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".m4a")


@dataclass(frozen=True, slots=True)
class DetectionErrors:
    """Seconds of detected and missed speech, regardless of speaker; they add up with `+`."""

    detected: float = 0.0
    speech: float = 0.0
    false_alarm: float = 0.0
    non_speech: float = 0.0

    @property
    def detected_share(self) -> float:
        """Share of the reference's speech that was detected."""
        return self.detected / self.speech if self.speech else 1.0

    @property
    def false_alarm_share(self) -> float:
        """Share of the reference's non-speech that was taken for speech."""
        return self.false_alarm / self.non_speech if self.non_speech else 0.0

    def __add__(self, other: "DetectionErrors") -> "DetectionErrors":
        return DetectionErrors(
            self.detected + other.detected,
            self.speech + other.speech,
            self.false_alarm + other.false_alarm,
            self.non_speech + other.non_speech,
        )


def detection_errors(
    reference: Iterable[Turn | Span], hypothesis: Iterable[Turn | Span], duration: float
) -> DetectionErrors:
    """Compare speech and non-speech from 0 to `duration` seconds, regardless of speaker."""
    expected, actual = _within(reference, duration), _within(hypothesis, duration)
    either = total_seconds(merge_spans((*expected, *actual)))
    speech, found = total_seconds(expected), total_seconds(actual)
    return DetectionErrors(
        detected=speech + found - either,
        speech=speech,
        false_alarm=either - speech,
        non_speech=max(duration - speech, 0.0),
    )


def _within(spans: Iterable[Turn | Span], duration: float) -> tuple[Span, ...]:
    cut = (Span(max(span.start, 0.0), min(span.end, duration)) for span in spans)
    return merge_spans(span for span in cut if span.end > span.start)


def reference_spans(rttm: Path) -> tuple[Span, ...]:
    """Speech of an RTTM file (NIST: type file channel start duration ...)."""
    rows = (line.split() for line in rttm.read_text().splitlines() if line.startswith("SPEAKER"))
    return tuple(Span(float(row[3]), float(row[3]) + float(row[4])) for row in rows)


def score(recording: Path, rttm: Path, detector: SileroDetector) -> DetectionErrors:
    """Prepare a recording like a job, detect speech and compare."""
    decoder, working = PyavDecoder(), io.BytesIO()
    with recording.open("rb") as media:
        prepared, _ = decoder.prepare(media, working, Options(channels="mix"), lambda _: None)
    audio = decoder.open(working, prepared)
    spans = detector.detect(audio, 0, lambda _: None)
    return detection_errors(reference_spans(rttm), spans, audio.duration)


def _row(name: str, errors: DetectionErrors) -> str:
    return (
        f"{name:<20} {errors.speech:8.1f} s {errors.detected_share:9.1%} "
        f"{errors.non_speech:8.1f} s {errors.false_alarm_share:9.1%}"
    )


def main(folder: Path, settings: dict[str, float]) -> None:
    detector = SileroDetector(**settings)
    print(f"{'recording':<20} {'speech':>10} {'detected':>9} {'non-speech':>10} {'false':>9}")
    total = DetectionErrors()
    for rttm in sorted(folder.glob("*.rttm")):
        names = (rttm.with_suffix(suffix) for suffix in _SUFFIXES)
        recording = next(name for name in names if name.exists())
        errors = score(recording, rttm, detector)
        print(_row(rttm.stem, errors))
        total += errors
    print(_row("all together", total))


if __name__ == "__main__":
    pairs = (argument.split("=") for argument in sys.argv[2:])
    main(Path(sys.argv[1]), {name: float(value) for name, value in pairs})
