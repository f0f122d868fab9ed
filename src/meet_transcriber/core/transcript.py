"""The values that make up a transcript: words, segments, turns, speakers.

All are frozen. Times are float seconds from the start of the recording.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from meet_transcriber.core.languages import join_words


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, `start <= end`, in seconds."""

    start: float
    end: float

    @property
    def duration(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Word:
    """The smallest timed unit of a transcript.

    Attributes:
        text: the word with its punctuation, without surrounding space; in scripts without spaces
            it keeps a space that was written before it (see `core.languages`).
        start, end: seconds from the start of the recording.
        probability: the engine's confidence in [0, 1]; None if it gives none.
        speaker: `SPEAKER_00`, or None when unknown; never a made-up label.
        estimated: the times were interpolated because the engine gave none.
        overlap: another speaker spoke at the same time.
    """

    text: str
    start: float
    end: float
    probability: float | None = None
    speaker: str | None = None
    estimated: bool = False
    overlap: bool = False

    @property
    def middle(self) -> float:
        """Seconds from the start of the recording."""
        return (self.start + self.end) / 2

    def shifted(self, seconds: float) -> "Word":
        """Return the word `seconds` later."""
        return replace(self, start=self.start + seconds, end=self.end + seconds)


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive words shown together; after attribution, of one speaker.

    `words` is never empty, so a segment always has a start, an end and a text.
    """

    words: tuple[Word, ...]
    speaker: str | None = None
    language: str | None = None

    def __post_init__(self) -> None:
        if not self.words:
            raise ValueError("a segment needs at least one word")

    @property
    def start(self) -> float:
        return self.words[0].start

    @property
    def end(self) -> float:
        return max(word.end for word in self.words)

    @property
    def text(self) -> str:
        return join_words(word.text for word in self.words)

    def without_words(self) -> dict[str, str | float | None]:
        """Its JSON object in a transcript without the times of words."""
        return {
            "start": self.start,
            "end": self.end,
            "speaker": self.speaker,
            "language": self.language,
            "text": self.text,
        }


@dataclass(frozen=True, slots=True)
class Turn:
    """A stretch of speech by one speaker, from diarization; turns may overlap."""

    start: float
    end: float
    speaker: str

    @property
    def duration(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Removed:
    """A span whose words were removed, with the reason and the text.

    `reason` is one of `silence`, `loop`, `hallucination`, `prompt`.
    """

    start: float
    end: float
    reason: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class TranscriptWarning:
    """A fallback or a doubt about the result: a stable code and a sentence."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Voice:
    """The embedding of a voice. It is personal data: never logged, stored only encrypted.

    Attributes:
        model: the network that made the vector; vectors of different models are not comparable.
        vector: the embedding, of length 1.
        seconds: duration of the speech it was made from.
    """

    model: str
    vector: tuple[float, ...] = field(repr=False)
    seconds: float


@dataclass(frozen=True, slots=True)
class Diarization:
    """Who spoke when.

    Attributes:
        turns: all turns by start time; they may overlap.
        exclusive: turns without overlap, one speaker at a time; empty if the diarizer gives none.
        diarizer: name of the engine; None without diarization.
        voices: voice of each speaker, by label; empty if the diarizer gives none.
    """

    turns: tuple[Turn, ...] = ()
    exclusive: tuple[Turn, ...] = ()
    warnings: tuple[TranscriptWarning, ...] = ()
    diarizer: str | None = None
    voices: Mapping[str, Voice] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Transcript:
    """Who said what, when, with warnings about doubtful results.

    Attributes:
        segments: in time order; together they hold every recognized word.
        language: code of the most frequent language by words; None when unknown.
        duration: of the recording, in seconds.
        speakers: labels of words and turns in order of first speech; those added by edits last.
        names: label to a person's name; every exporter applies it.
        turns: who spoke when, possibly overlapping: the diarization, or times of segments whose
            speaker was edited.
        engine, diarizer: names of the engines, for example `whisper base int8 cpu`.
        warnings: every fallback and doubt.
        coverage: share of the detected speech that has words, in [0, 1].
        removed: spans removed as silence, loop or hallucination.
    """

    segments: tuple[Segment, ...] = ()
    language: str | None = None
    duration: float = 0.0
    speakers: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    turns: tuple[Turn, ...] = ()
    engine: str = ""
    diarizer: str | None = None
    warnings: tuple[TranscriptWarning, ...] = ()
    coverage: float = 1.0
    removed: tuple[Removed, ...] = ()

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages of segments, the most frequent by words first."""
        return languages_of(self.segments)

    @property
    def words(self) -> tuple[Word, ...]:
        return tuple(word for segment in self.segments for word in segment.words)

    @property
    def text(self) -> str:
        return join_words(segment.text for segment in self.segments)

    def name_of(self, speaker: str | None) -> str | None:
        """Return the name of a speaker: the label itself if unnamed, None for None."""
        return None if speaker is None else self.names.get(speaker) or speaker


def languages_of(segments: Iterable[Segment]) -> tuple[str, ...]:
    """Return the codes of the languages of segments, the most frequent by words first."""
    counts: Counter[str] = Counter()
    for segment in segments:
        if segment.language:
            counts[segment.language] += len(segment.words)
    return tuple(code for code, _ in counts.most_common())


def total_seconds(spans: Iterable[Span | Turn]) -> float:
    """Return the sum of durations; overlaps count twice."""
    return sum(span.end - span.start for span in spans)


def merge_spans(spans: Iterable[Span], bridge: float = 0.0) -> tuple[Span, ...]:
    """Return the union of spans, in order; gaps of up to `bridge` seconds are closed."""
    result: list[Span] = []
    for span in sorted(spans, key=lambda span: span.start):
        if result and span.start - result[-1].end <= bridge:
            result[-1] = Span(result[-1].start, max(result[-1].end, span.end))
        else:
            result.append(span)
    return tuple(result)
