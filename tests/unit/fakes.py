"""Fakes of the ports: a decoder, engines, a queue, a clock and a webhook sender, all in memory."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

import numpy as np

from meet_transcriber.core.errors import UnsupportedFormat
from meet_transcriber.core.media import MediaInfo, Peaks, PreparedAudio
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Diarization, Removed, Segment, Span, Turn, Word
from meet_transcriber.ports.engines import AudioSource, Finding, Progress, Waveform
from meet_transcriber.ports.outbound import Delivery, Outcome


class FakeAudio:
    """An AudioSource whose samples all equal the number of their channel."""

    def __init__(self, channels: int = 1, duration: float = 600.0) -> None:
        self.duration = duration
        self.channels = channels

    def read(self, start: float, end: float, channel: int = 0) -> Waveform:
        return np.full(round((end - start) * 16_000), channel, dtype=np.float32)


class FakeDecoder:
    """An AudioDecoder of a format of its own: `tape` is ten minutes long, `tape:60;` 60 seconds."""

    def __init__(self, channels: int = 1) -> None:
        self.channels = channels

    def probe(self, media: BinaryIO) -> MediaInfo:
        label = media.read(16)
        if not label.startswith(b"tape"):
            raise UnsupportedFormat("This is not a tape.")
        seconds = float(label[5:].partition(b";")[0]) if label[4:5] == b":" else 600.0
        return MediaInfo("tape", "pcm", seconds, 16_000, self.channels)

    def prepare(
        self, media: BinaryIO, working: BinaryIO, options: Options, progress: Progress
    ) -> tuple[PreparedAudio, Peaks]:
        seconds = self.probe(media).duration or 0.0
        working.write(b"tape")
        progress(1.0)
        return PreparedAudio(seconds, self.channels, (0.0,) * self.channels), Peaks(20, b"\0\0")

    def open(self, working: object, prepared: PreparedAudio) -> AudioSource:
        return FakeAudio(self.channels, prepared.duration)


class FakeVad:
    """A speech detector that finds 8 of every 10 seconds, shifted by the number of the channel."""

    def detect(self, audio: AudioSource, channel: int, progress: Progress) -> tuple[Span, ...]:
        return tuple(
            Span(at + channel, at + channel + 8.0) for at in range(0, int(audio.duration) - 10, 10)
        )


class FakeRecognizer:
    """A Recognizer that yields one word per span and counts its calls."""

    name = "fake-recognizer"

    def __init__(self) -> None:
        self.parts = 0

    def check(self, options: Options) -> None:
        """Accepts all options."""

    def recognize(
        self, audio: Waveform, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Iterator[Finding]:
        self.parts += 1
        for number, span in enumerate(speech):
            yield Segment((Word(f"w{number}.", span.start, span.end, 0.9),), None, "en")
        yield Removed(1.0, 2.0, "silence", "you")


class FakeDiarizer:
    """A Diarizer that alternates two speakers, or raises `failure`."""

    name = "fake-diarizer"

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure

    def diarize(
        self, audio: AudioSource, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Diarization:
        if self.failure:
            raise self.failure
        turns = [Turn(span.start, span.end, f"SPEAKER_0{at % 2}") for at, span in enumerate(speech)]
        return Diarization(tuple(turns))


class FakeQueue:
    """A JobQueue that records notifications; tests decide which worker runs."""

    def __init__(self) -> None:
        self.notified: list[tuple[str, str, str]] = []

    def notify(self, queue: str, job_id: str, task: str) -> None:
        self.notified.append((queue, job_id, task))

    def length(self, queue: str) -> int:
        return sum(message[0] == queue for message in self.notified)

    def ping(self) -> None:
        """Always reachable."""

    def close(self) -> None:
        """Holds no resources."""


class FakeClock:
    """A Clock that only moves when a test sets `at`."""

    def __init__(self) -> None:
        self.at = 1_000_000.0

    def __call__(self) -> float:
        return self.at


class SentWebhook(NamedTuple):
    """A delivery attempt."""

    url: str
    body: bytes
    message_id: str


class FakeWebhookSender:
    """A WebhookSender that records deliveries; `outcomes` are used up in order."""

    def __init__(self) -> None:
        self.sent: list[SentWebhook] = []
        self.outcomes: list[Outcome] = []

    def send(
        self, url: str, body: bytes, *, message_id: str, timestamp: int, secret: str | None
    ) -> Delivery:
        self.sent.append(SentWebhook(url, body, message_id))
        return Delivery(self.outcomes.pop(0) if self.outcomes else "delivered", None, "")
