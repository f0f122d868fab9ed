"""A worker's part in speaker identification: stores a meeting's voices and names known people."""

import base64
import io
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from meet_transcriber.core.assembly import channel_labels
from meet_transcriber.core.errors import (
    DiarizationFailed,
    EngineUnavailable,
    InvalidAudio,
    VoiceNotFound,
    VoicesSealed,
)
from meet_transcriber.core.jobs import Job
from meet_transcriber.core.options import Options
from meet_transcriber.core.plan import Plan
from meet_transcriber.core.serialization import from_json, to_json
from meet_transcriber.core.transcript import Diarization, Span, TranscriptWarning, Voice
from meet_transcriber.core.transitions import check_accepts_results
from meet_transcriber.core.voices import (
    KNOWN_NAMES,
    KNOWN_SPEAKERS,
    LONGEST_REFERENCE_SECONDS,
    TO_REMEMBER,
    VOICES,
    Book,
    Heard,
    Named,
    Person,
    References,
    Sample,
    Wanted,
    clear_names,
    compact,
    matches,
    named_by,
    with_clip_sample,
    without_clip,
    without_taken,
)
from meet_transcriber.observability.logging import get_logger
from meet_transcriber.pipeline import Checkpoints, Chosen, Pipeline, ignore_progress
from meet_transcriber.ports.engines import AudioSource, Diarizer, Progress, VoiceEmbedder, Waveform
from meet_transcriber.service.context import ServiceContext
from meet_transcriber.service.voices import (
    VoiceBook,
    clip_context,
    heard_in,
    sealed,
    unsealed,
)

log = get_logger(__name__)

CHANNEL_SPEECH_SECONDS = 150.0
"""Seconds of speech of a channel that suffice for its voice."""
_MISSED = "The voices of this meeting could not be analysed, so that no speaker is named by voice"


class SpeakerIdentification:
    """Stores and matches the voices of one job."""

    def __init__(self, context: ServiceContext, job: Job) -> None:
        self._context = context
        self._job = job

    # -- beside the diarization --------------------------------------------------------------

    def keep(
        self,
        pipeline: Pipeline,
        plan: Plan,
        found: Diarization,
        diarizer: Callable[[], Chosen[Diarizer] | None],
        checkpoints: Checkpoints,
        progress: Progress = ignore_progress,
    ) -> None:
        """
        Store the voices, sealed, and the labels that match the request's references.

        An engine that fails here adds a warning; the diarization is kept.

        Args:
            found: the diarization.
            diarizer: returns this worker's diarizer, which may embed voices.
            progress: its exceptions pass through.
        """
        if self._context.sealer is None and KNOWN_SPEAKERS not in self._job.objects:
            return
        embedder, voices, named = _embedder(diarizer), dict(found.voices), Named()

        def report(_share: float) -> None:
            progress(1.0)  # the diarization is done

        try:
            # The diarizer has not run for separate channels, so they have no voices yet.
            if plan.audio.channels > 1 and embedder is not None:
                voices = channel_voices(pipeline, plan, embedder, report)
            if KNOWN_SPEAKERS in self._job.objects:
                named = self._match_references(pipeline, voices, embedder, report)
        except (DiarizationFailed, EngineUnavailable) as error:
            log.warning("voices_missed", error=str(error))
            named = Named({}, (TranscriptWarning("voices_missed", f"{_MISSED}: {error}"),))
        self._store(voices, named, checkpoints)

    def _store(self, voices: Mapping[str, Voice], named: Named, checkpoints: Checkpoints) -> None:
        if named != Named():
            self._context.media.put(checkpoints.new(KNOWN_NAMES), to_json(named))
        if self._context.sealer is not None and voices:
            heard = Heard({label: compact(voice) for label, voice in voices.items()})
            data = sealed(self._context.sealer, heard, f"job:{self._job.id}")
            self._context.media.put(checkpoints.new(VOICES), data)

    def _match_references(
        self,
        pipeline: Pipeline,
        voices: Mapping[str, Voice],
        embedder: VoiceEmbedder | None,
        progress: Progress,
    ) -> Named:
        if embedder is None:
            return Named({}, (_warning("the diarizer of this server does not compute voices"),))
        stored = self._context.media.get(self._job.objects[KNOWN_SPEAKERS])
        known: dict[str, Voice] = {}
        warnings = []
        for person in from_json(References, stored).people:
            try:
                file = io.BytesIO(base64.b64decode(person.audio))
                voice = voice_of(pipeline, file, embedder, LONGEST_REFERENCE_SECONDS, progress)
            except InvalidAudio:
                voice = None
            if voice is None:
                warnings.append(_warning("one of the references has too little speech"))
            else:
                known[person.name] = voice
        return Named(named_by(voices, known), tuple(dict.fromkeys(warnings)))

    # -- beside the attribution --------------------------------------------------------------

    def known(self) -> Named:
        """
        The known people of this job by label: by the request's references, else by clear matches
        with stored voices. A clip's speaker is stored first.
        """
        key = self._job.objects.get(KNOWN_NAMES)
        by_reference = from_json(Named, self._context.media.get(key)) if key else Named()
        try:
            warnings = self._remember_clip()
            by_voice = self._named_by_voices()
        except VoicesSealed as error:
            warnings, by_voice = (TranscriptWarning(error.code, str(error)),), {}
        free = without_taken(by_voice, by_reference.names)
        names = {**free, **by_reference.names}
        return Named(names, (*by_reference.warnings, *warnings))

    def _named_by_voices(self) -> dict[str, str]:
        if not (voices := heard_in(self._context, self._job)):
            return {}
        people = VoiceBook(self._context, self._job.tenant).read().people
        return clear_names(matches(voices, people))

    def _remember_clip(self) -> tuple[TranscriptWarning, ...]:
        context, job = self._context, self._job
        key = job.objects.get(TO_REMEMBER)
        if key is None or context.sealer is None:
            return ()
        data = context.media.get(key)
        wanted = unsealed(context.sealer, Wanted, data, clip_context(job.tenant))
        book, voices = VoiceBook(context, job.tenant), heard_in(context, job)
        if not voices:
            book.change(partial(without_clip, job_id=job.id))
            return (_not_kept("the clip has too little speech, or the diarizer hears no voices."),)
        # Whoever speaks longest in the clip; another one may be heard in the background.
        label = max(voices, key=lambda each: voices[each].seconds)
        sample = Sample(voices[label], job.id, label, wanted.consent, clip=True)
        try:
            book.change(partial(self._with_sample, sample=sample))
        except VoiceNotFound:
            return (_not_kept("the person was deleted before the clip was done."),)
        return ()

    def _with_sample(self, book: Book, sample: Sample) -> tuple[Book, Person]:
        # Under the book's lock: a voice must not be stored after its clip was deleted.
        check_accepts_results(self._context.jobs.get(self._job.id))
        return with_clip_sample(book, sample)


@dataclass(frozen=True)
class Excerpt:
    """The beginning of one channel of a recording as an audio source.

    Attributes:
        seconds: from the start.
    """

    source: AudioSource
    channel: int
    seconds: float
    channels: int = 1

    @property
    def duration(self) -> float:
        """Seconds of audio."""
        return min(self.seconds, self.source.duration)

    def read(self, start: float, end: float, channel: int = 0) -> Waveform:
        """The samples; see `AudioSource.read`."""
        return self.source.read(start, min(end, self.duration), self.channel + channel)


def first_speech(speech: Sequence[Span], seconds: float) -> list[Span]:
    """The first seconds of speech, cut at this length."""
    kept: list[Span] = []
    left = seconds
    for span in speech:
        if left <= 0:
            break
        kept.append(Span(span.start, min(span.end, span.start + left)))
        left -= kept[-1].end - kept[-1].start
    return kept


def channel_voices(
    pipeline: Pipeline, plan: Plan, embedder: VoiceEmbedder, progress: Progress = ignore_progress
) -> dict[str, Voice]:
    """
    The voices by label of a recording in which each channel is one speaker.

    Raises:
        DiarizationFailed, EngineUnavailable: from the embedder.
    """
    key = pipeline.checkpoints.find("working.flac")
    if key is None:
        return {}
    with pipeline.store.open(key) as file:
        source = pipeline.decoder.open(file, plan.audio)
        voices: dict[str, Voice | None] = {}
        for channel, label in channel_labels(plan.speech).items():
            # More speech makes a voice hardly clearer, and embedding takes as long as it lasts.
            speech = first_speech(plan.speech[channel], CHANNEL_SPEECH_SECONDS)
            excerpt = Excerpt(source, channel, speech[-1].end if speech else 0.0)
            voices[label] = embedder.voice(excerpt, speech, progress)
    return {label: voice for label, voice in voices.items() if voice is not None}


def voice_of(
    pipeline: Pipeline,
    media: BinaryIO,
    embedder: VoiceEmbedder,
    seconds: float,
    progress: Progress = ignore_progress,
) -> Voice | None:
    """
    The voice of a separate recording of one person.

    Args:
        seconds: used from its start; its header may state fewer than it has.

    Raises:
        InvalidAudio: it cannot be used.
        DiarizationFailed, EngineUnavailable: from the embedder.
    """
    with tempfile.TemporaryFile() as working:
        mixed = Options(channels="mix")
        prepared, _ = pipeline.decoder.prepare(media, working, mixed, progress)
        working.seek(0)
        source = Excerpt(pipeline.decoder.open(working, prepared), 0, seconds)
        speech = pipeline.detector.detect(source, 0, progress)
        heard = [Span(each.start, min(each.end, source.duration)) for each in speech]
        return embedder.voice(source, [each for each in heard if each.start < each.end], progress)


def _embedder(diarizer: Callable[[], Chosen[Diarizer] | None]) -> VoiceEmbedder | None:
    try:
        chosen = diarizer()
    except EngineUnavailable:  # not needed where each channel is one speaker
        return None
    return chosen.engine if chosen and isinstance(chosen.engine, VoiceEmbedder) else None


def _not_kept(why: str) -> TranscriptWarning:
    return TranscriptWarning("voice_not_kept", f"No voice was stored: {why}")


def _warning(why: str) -> TranscriptWarning:
    message = f"Some known speakers cannot be identified: {why}."
    return TranscriptWarning("known_speakers_missed", message)
