"""The tasks of one recording: prepare -> recognize each part, diarize -> attribute.

Every task reads and writes objects of its recording in the MediaStore and nothing else, so
parts and diarization share nothing and may run anywhere, in any order. A task whose result
is already there returns it: a killed worker costs at most one part.
"""

import json
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
from meet_transcriber.core.serialization import from_plain, to_plain
from meet_transcriber.core.speaker_timeline import SPEAKER_TIMELINE, Timeline, name_speakers
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
    """A Progress that nobody watches."""


@dataclass(frozen=True)
class Chosen(Generic[E_co]):
    """
    An engine that was chosen, and what fell back on the way to it.

    Attributes:
        is_stopgap: it stands in for one that could not be had, and should be looked for again.
    """

    engine: E_co
    notes: tuple[TranscriptWarning, ...] = ()
    is_stopgap: bool = False


class NoDiarizer:
    """A Diarizer that knows no speakers, for want of weights."""

    name = ""

    def diarize(
        self,
        audio: AudioSource,  # noqa: ARG002 - see the port
        speech: Sequence[Span],  # noqa: ARG002
        options: Options,  # noqa: ARG002
        progress: Progress,  # noqa: ARG002
    ) -> Diarization:
        """No turns; see the port."""
        return Diarization()


class Checkpoints(Protocol):
    """Where a task finds what other tasks left, and where it leaves its own."""

    def find(self, name: str) -> str | None:
        """The key of what was left under this name; None when nothing was."""
        ...

    def new(self, name: str) -> str:
        """The key for what will be left under this name."""
        ...


@dataclass(frozen=True)
class FolderCheckpoints:
    """Checkpoints of work that one process does alone: what is in the folder counts."""

    store: MediaStore
    prefix: str

    def find(self, name: str) -> str | None:
        key = self.new(name)
        return key if self.store.exists(key) else None

    def new(self, name: str) -> str:
        return f"{self.prefix}/{name}"


@dataclass(frozen=True)
class Pipeline:
    """The tasks of one recording, bound to its checkpoints in the store."""

    store: MediaStore
    checkpoints: Checkpoints
    options: Options
    decoder: AudioDecoder
    detector: SpeechDetector
    part_seconds: float = TARGET_SECONDS

    # -- prepare ---------------------------------------------------------------------------

    def prepare(self, media: BinaryIO, progress: Progress = ignore_progress) -> Plan:
        """
        Write the working audio, its outline and the plan of parts.

        Raises:
            InvalidAudio: the recording cannot be used; the sentence says why.
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

    # -- recognize -------------------------------------------------------------------------

    def recognize(
        self,
        plan: Plan,
        index: int,
        recognizer: Chosen[Recognizer],
        progress: Progress = ignore_progress,
    ) -> PartResult:
        """
        Recognize part `index` and keep the result as a checkpoint.

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

    # -- diarize ---------------------------------------------------------------------------

    def diarize(
        self, plan: Plan, diarizer: Chosen[Diarizer] | None, progress: Progress = ignore_progress
    ) -> Diarization:
        """
        Find the speakers and keep the result as a checkpoint.

        Channels that were split need no diarizer: each is one speaker. A diarizer that breaks
        costs no words: the result is empty and says so in a warning.
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
        # voices are personal data and must not lie in a plain object
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

    # -- attribute -------------------------------------------------------------------------

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
        Put words and speakers together into the transcript, and keep it.

        Args:
            parts: every part's result, in any order.
            timeline: whose names voices get, where they fit.
            names: given by people, by label; they count whatever else is known.
            known: whom the voices were found to be; these names come last.
        """
        transcript = assemble(plan, parts, diarization, self.options)
        if timeline is not None:
            transcript = _apply_timeline(transcript, timeline)
        transcript = replace(transcript, names={**transcript.names, **(names or {})})
        if known is not None:
            transcript = with_known(transcript, known)
        self._save("transcript.json", transcript)
        return transcript

    def gather(self) -> tuple[Plan, list[PartResult], Diarization | None]:
        """
        What the other tasks left, for `attribute`; no diarization where nobody looked.

        Raises:
            StorageError: something is missing.
        """
        plan = self.plan()
        parts = [self._left(f"parts/{part.index:04d}.json", PartResult) for part in plan.parts]
        return plan, parts, self._load("diarization.json", Diarization)

    def speaker_timeline(self) -> Timeline | None:
        """The speaker timeline that came with the recording."""
        return self._load(SPEAKER_TIMELINE, Timeline)

    def plan(self) -> Plan:
        """The plan that `prepare` left; raises StorageError when there is none."""
        return self._left("plan.json", Plan)

    # -- objects ---------------------------------------------------------------------------

    def _load(self, name: str, kind: type[T]) -> T | None:
        key = self.checkpoints.find(name)
        return from_plain(kind, json.loads(self.store.get(key))) if key else None

    def _save(self, name: str, value: object) -> None:
        self.store.put(self.checkpoints.new(name), json.dumps(to_plain(value)).encode())

    def _left(self, name: str, kind: type[T]) -> T:
        found = self._load(name, kind)
        if found is None:
            raise StorageError(f"{name} of this job is gone; submit the recording again.")
        return found

    @contextmanager
    def _source(self, plan: Plan) -> Iterator[AudioSource]:
        key = self.checkpoints.find("working.flac")
        if key is None:
            raise StorageError("The working audio is gone; submit the recording again.")
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
    Take one recording through all its tasks in this process.

    Args:
        media: the recording.
        diarizer: None when speakers are not wanted.
        progress: hears stage and share of all the work.
        timeline: whose names the speakers get, where they fit.

    Raises:
        TranscriptionError: with a sentence that says what happened and what to do.
    """
    tell = progress or StageProgress(lambda _stage, _share: None)
    recognizer.engine.check(pipeline.options)
    with media.open("rb") as file:
        plan = pipeline.prepare(file, tell.stage("prepare", 0.0, 0.1))
    diarization = pipeline.diarize(plan, diarizer, tell.stage("diarize", 0.1, 0.1))
    results = []
    for part in plan.parts:
        share = 0.8 / len(plan.parts)
        watch = tell.stage("recognize", 0.2 + part.index * share, share)
        results.append(pipeline.recognize(plan, part.index, recognizer, watch))
    transcript = pipeline.attribute(plan, results, diarization, timeline)
    tell.stage("done", 1.0, 0.0)(1.0)
    return transcript


class StageProgress:
    """Folds the progress of tasks into a stage and one share that only rises."""

    def __init__(self, tell: Callable[[str, float], None]) -> None:
        self._tell = tell
        self._reached = 0.0

    def stage(self, name: str, start: float, share: float) -> Progress:
        """A Progress for a task that is `share` of all work and begins at `start`."""

        def progress(done: float) -> None:
            self._reached = max(self._reached, start + share * min(max(done, 0.0), 1.0))
            self._tell(name, self._reached)

        return progress


def _apply_timeline(transcript: Transcript, timeline: Timeline) -> Transcript:
    """The transcript with the names of a timeline, and what is in doubt about them."""
    taken = name_speakers(timeline, transcript.turns, transcript.duration)
    log.info(
        "speaker_timeline_used",
        offset_seconds=round(taken.offset.seconds, 1),
        aligned=taken.offset.clear,
        named=len(taken.names),
    )
    warnings = (*transcript.warnings, *taken.warnings)
    return replace(transcript, names={**transcript.names, **taken.names}, warnings=warnings)


def _scale(progress: Progress, start: float, share: float, channel: int, channels: int) -> Progress:
    return lambda done: progress(start + share * (channel + done) / channels)


def _collect(part: Part, engine: str, findings: Iterable[Finding]) -> PartResult:
    """Sort a recognizer's findings and move them to the time of the recording."""
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
