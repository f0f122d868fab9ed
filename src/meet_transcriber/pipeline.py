"""The tasks of one recording: prepare -> recognize each part, diarize -> attribute.

Every task only reads and writes objects of its recording in the MediaStore, so parts and
diarization are independent and may run anywhere, in any order. A task whose result exists
returns it: a killed worker costs at most one part.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Generic, Protocol, TypeVar

from meet_transcriber.core.assembly import assemble, channels_as_speakers
from meet_transcriber.core.errors import DiarizationFailed, StorageError
from meet_transcriber.core.options import Options
from meet_transcriber.core.plan import TARGET_SECONDS, Part, PartResult, Plan, plan_parts
from meet_transcriber.core.serialization import from_json, to_json
from meet_transcriber.core.speaker_timeline import SPEAKER_TIMELINE, Timeline
from meet_transcriber.core.timeline_matching import name_speakers
from meet_transcriber.core.transcript import (
    Diarization,
    Removed,
    Segment,
    Span,
    Transcript,
    TranscriptWarning,
)
from meet_transcriber.core.voices import Named, with_known
from meet_transcriber.observability.logging import get_logger
from meet_transcriber.ports.engines import (
    AudioDecoder,
    AudioSource,
    Diarizer,
    Finding,
    Progress,
    Recognizer,
    SpeechDetector,
)
from meet_transcriber.ports.stores import MediaStore

log = get_logger(__name__)

T = TypeVar("T")
E_co = TypeVar("E_co", bound=Recognizer | Diarizer, covariant=True)


def ignore_progress(share: float) -> None:
    """A Progress that does nothing."""


@dataclass(frozen=True)
class Chosen(Generic[E_co]):
    """
    A selected engine, with warnings about fallbacks.

    Attributes:
        is_stopgap: it replaces an unavailable engine, which should be tried again.
    """

    engine: E_co
    notes: tuple[TranscriptWarning, ...] = ()
    is_stopgap: bool = False


class NoDiarizer:
    """A Diarizer without speakers, used if no weights are available."""

    name = ""

    def diarize(
        self,
        audio: AudioSource,  # noqa: ARG002 - see the port
        speech: Sequence[Span],  # noqa: ARG002
        options: Options,  # noqa: ARG002
        progress: Progress,  # noqa: ARG002
    ) -> Diarization:
        """Return no turns; see the port."""
        return Diarization()


class Checkpoints(Protocol):
    """Maps names of task results to keys in the store."""

    def find(self, name: str) -> str | None:
        """Return the key of an existing result; None if there is none."""
        ...

    def new(self, name: str) -> str:
        """Return the key for a new result."""
        ...


@dataclass(frozen=True)
class FolderCheckpoints:
    """Checkpoints for work in a single process: a result exists if its object does."""

    store: MediaStore
    prefix: str

    def find(self, name: str) -> str | None:
        key = self.new(name)
        return key if self.store.exists(key) else None

    def new(self, name: str) -> str:
        return f"{self.prefix}/{name}"


@dataclass(frozen=True)
class Pipeline:
    """The tasks of one recording, with its checkpoints in the store."""

    store: MediaStore
    checkpoints: Checkpoints
    options: Options
    decoder: AudioDecoder
    detector: SpeechDetector
    part_seconds: float = TARGET_SECONDS

    def prepare(self, media: BinaryIO, progress: Progress = ignore_progress) -> Plan:
        """
        Write the working audio, its peaks and the plan of parts.

        Raises:
            InvalidAudio: the recording cannot be used; the message says why.
        """
        if done := self._load("plan.json", Plan):
            progress(1.0)
            return done
        with tempfile.TemporaryFile() as working:
            audio, peaks = self.decoder.prepare(
                media, working, self.options, lambda share: progress(0.7 * share)
            )
            working.seek(0)
            self.store.put(self.checkpoints.new("working.flac"), working)
            self.store.put(
                self.checkpoints.new("peaks.dat"), bytes([peaks.per_second]) + peaks.data
            )
            source = self.decoder.open(working, audio)
            speech = tuple(
                self.detector.detect(
                    source, channel, _scale(progress, 0.7, 0.3, channel, audio.channels)
                )
                for channel in range(audio.channels)
            )
        plan = Plan(audio, speech, plan_parts(speech, audio.duration, self.part_seconds))
        self._save("plan.json", plan)
        return plan

    def recognize(
        self,
        plan: Plan,
        index: int,
        recognizer: Chosen[Recognizer],
        progress: Progress = ignore_progress,
    ) -> PartResult:
        """
        Recognize part `index` and save the result.

        Raises:
            EngineUnavailable, RecognitionFailed, InvalidOptions: from the recognizer.
        """
        name = f"parts/{index:04d}.json"
        if done := self._load(name, PartResult):
            progress(1.0)
            return done
        part = plan.parts[index]
        with self._source(plan) as source:
            waveform = source.read(part.start, part.end, part.channel)
        speech = [Span(span.start - part.start, span.end - part.start) for span in part.speech]
        engine = recognizer.engine
        findings = engine.recognize(waveform, speech, self.options, progress)
        result = _collect(part, engine.name, chain(recognizer.notes, findings))
        self._save(name, result)
        progress(1.0)
        return result

    def diarize(
        self, plan: Plan, diarizer: Chosen[Diarizer] | None, progress: Progress = ignore_progress
    ) -> Diarization:
        """
        Find the speakers and save the result.

        Split channels need no diarizer: each is one speaker. If the diarizer fails, the result
        is empty with a warning, so that no words are lost.
        """
        if done := self._load("diarization.json", Diarization):
            progress(1.0)
            return done
        if plan.audio.channels > 1:
            result = channels_as_speakers(plan.speech)
        elif diarizer is None:
            result = Diarization()
        else:
            found = self._run_diarizer(plan, diarizer.engine, progress)
            notes = (*diarizer.notes, *found.warnings)
            result = replace(found, warnings=notes, diarizer=diarizer.engine.name or None)
        # voices are personal data, which is never stored unencrypted
        self._save("diarization.json", replace(result, voices={}))
        progress(1.0)
        return result

    def _run_diarizer(self, plan: Plan, diarizer: Diarizer, progress: Progress) -> Diarization:
        try:
            with self._source(plan) as source:
                return diarizer.diarize(source, plan.speech[0], self.options, progress)
        except DiarizationFailed as error:
            log.warning("diarization_failed", error=str(error))
            message = f"Speakers are unknown, because diarization failed: {error}"
            return Diarization(warnings=(TranscriptWarning("diarization_failed", message),))

    def attribute(
        self,
        plan: Plan,
        parts: Sequence[PartResult],
        diarization: Diarization,
        timeline: Timeline | None = None,
        names: Mapping[str, str] | None = None,
        known: Named | None = None,
    ) -> Transcript:
        """
        Combine words and speakers into the transcript and save it.

        Args:
            parts: results of all parts, in any order.
            timeline: speaker timeline that names speakers.
            names: names set by users, by label; they take precedence.
            known: identified voices; their names have the lowest precedence.
        """
        transcript = assemble(plan, parts, diarization, self.options)
        if timeline is not None:
            transcript = _apply_timeline(transcript, timeline)
        transcript = replace(transcript, names={**transcript.names, **(names or {})})
        if known is not None:
            transcript = with_known(transcript, known)
        self._save("transcript.json", transcript)
        return transcript

    def load_results(self) -> tuple[Plan, list[PartResult], Diarization | None]:
        """
        Load the results of the other tasks, for `attribute`; diarization is optional.

        Raises:
            StorageError: a result is missing.
        """
        plan = self.load_plan()
        parts = [self._require(f"parts/{part.index:04d}.json", PartResult) for part in plan.parts]
        return plan, parts, self._load("diarization.json", Diarization)

    def load_timeline(self) -> Timeline | None:
        """Load the speaker timeline submitted with the recording, if any."""
        return self._load(SPEAKER_TIMELINE, Timeline)

    def load_plan(self) -> Plan:
        """Load the result of `prepare`; raises StorageError if it is missing."""
        return self._require("plan.json", Plan)

    def _load(self, name: str, kind: type[T]) -> T | None:
        key = self.checkpoints.find(name)
        return from_json(kind, self.store.get(key)) if key else None

    def _save(self, name: str, value: object) -> None:
        self.store.put(self.checkpoints.new(name), to_json(value))

    def _require(self, name: str, kind: type[T]) -> T:
        found = self._load(name, kind)
        if found is None:
            raise StorageError(f"{name} of this job is missing; submit the recording again.")
        return found

    @contextmanager
    def _source(self, plan: Plan) -> Iterator[AudioSource]:
        key = self.checkpoints.find("working.flac")
        if key is None:
            raise StorageError("The working audio is missing; submit the recording again.")
        with self.store.open(key) as file:
            yield self.decoder.open(file, plan.audio)


def run(
    pipeline: Pipeline,
    media: Path,
    recognizer: Chosen[Recognizer],
    diarizer: Chosen[Diarizer] | None,
    progress: "StageProgress | None" = None,
    timeline: Timeline | None = None,
) -> Transcript:
    """
    Run all tasks of one recording in this process.

    Args:
        media: the recording.
        diarizer: None to skip diarization.
        progress: receives stage and overall share.
        timeline: speaker timeline that names speakers.

    Raises:
        TranscriptionError: the message says what happened and what to do.
    """
    stages = progress or StageProgress(lambda _stage, _share: None)
    recognizer.engine.check(pipeline.options)
    with media.open("rb") as file:
        plan = pipeline.prepare(file, stages.stage("prepare", 0.0, 0.1))
    diarization = pipeline.diarize(plan, diarizer, stages.stage("diarize", 0.1, 0.1))
    # One after the other, as engines use all processors already.
    results = []
    for part in plan.parts:
        share = 0.8 / len(plan.parts)
        report = stages.stage("recognize", 0.2 + part.index * share, share)
        results.append(pipeline.recognize(plan, part.index, recognizer, report))
    transcript = pipeline.attribute(plan, results, diarization, timeline)
    stages.stage("done", 1.0, 0.0)(1.0)
    return transcript


class StageProgress:
    """Combines the progress of tasks into a stage and one share that never decreases."""

    def __init__(self, report: Callable[[str, float], None]) -> None:
        self._report = report
        self._reached = 0.0

    def stage(self, name: str, start: float, share: float) -> Progress:
        """Return a Progress for a task that covers `share` of all work from `start` on."""

        def progress(done: float) -> None:
            self._reached = max(self._reached, start + share * min(max(done, 0.0), 1.0))
            self._report(name, self._reached)

        return progress


def _apply_timeline(transcript: Transcript, timeline: Timeline) -> Transcript:
    """Add the names of a timeline and the warnings about them."""
    naming = name_speakers(timeline, transcript.turns, transcript.duration)
    log.info(
        "speaker_timeline_used",
        offset_seconds=round(naming.offset.seconds, 1),
        aligned=naming.offset.clear,
        named=len(naming.names),
    )
    warnings = (*transcript.warnings, *naming.warnings)
    return replace(transcript, names={**transcript.names, **naming.names}, warnings=warnings)


def _scale(progress: Progress, start: float, share: float, channel: int, channels: int) -> Progress:
    return lambda done: progress(start + share * (channel + done) / channels)


def _collect(part: Part, engine: str, findings: Iterable[Finding]) -> PartResult:
    """Collect a recognizer's findings, with times relative to the recording."""
    segments: list[Segment] = []
    removed: list[Removed] = []
    warnings: list[TranscriptWarning] = []
    for finding in findings:
        if isinstance(finding, Segment):
            words = tuple(word.shifted(part.start) for word in finding.words)
            segments.append(replace(finding, words=words))
        elif isinstance(finding, Removed):
            start, end = finding.start + part.start, finding.end + part.start
            removed.append(replace(finding, start=start, end=end))
        else:
            warnings.append(finding)
    segments.sort(key=lambda segment: segment.start)
    return PartResult(
        part.index,
        part.channel,
        engine,
        tuple(segments),
        tuple(removed),
        tuple(warnings),
        part.seam,
    )
