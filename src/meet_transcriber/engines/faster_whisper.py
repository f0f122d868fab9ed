"""Whisper through faster-whisper and CTranslate2: the recognizer for real work."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from meet_transcriber.core.coverage import uncovered
from meet_transcriber.core.errors import EngineUnavailable, InvalidOptions, RecognitionFailed
from meet_transcriber.core.loops import cut_loops
from meet_transcriber.core.options import Options
from meet_transcriber.core.scoring.words import normalized
from meet_transcriber.core.timing import RawWord, outside_speech, tidy_words
from meet_transcriber.core.transcript import Removed, Segment, Span, TranscriptWarning, Word
from meet_transcriber.engines.hub import missing_files
from meet_transcriber.logs import get_logger
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Finding, Waveform

log = get_logger(__name__)

WINDOW_SECONDS = 28.0
"""Speech decoded at a time; Whisper looks at 30 seconds."""

_BATCH = 8
_HOLE_SECONDS = 1.5  # speech without words, this long, is decoded once more
_SURE_LANGUAGE = 0.5
_SILENT = 0.6  # no-speech probability, together with _POOR (openai/whisper: transcribe.py)
_POOR = -1.0  # mean log probability
_REPETITIVE = 2.4  # zlib compression ratio


@dataclass(frozen=True)
class RawSegment:
    """What Whisper says about one stretch, in seconds from the start of its audio."""

    text: str
    start: float
    end: float
    words: tuple[RawWord, ...]
    average_log_probability: float
    no_speech_probability: float
    compression_ratio: float

    @property
    def doubtful(self) -> bool:
        """Whether a second look with other temperatures may help."""
        return self.average_log_probability < _POOR or self.compression_ratio > _REPETITIVE

    @property
    def made_up(self) -> bool:
        """Whether it was probably said by nobody."""
        silent = self.no_speech_probability > _SILENT and self.average_log_probability < _POOR
        return silent or self.compression_ratio > 2 * _REPETITIVE


class Decoder(Protocol):
    """The model as the recognizer uses it; a seam for running out of memory on purpose."""

    name: str
    multilingual: bool
    known: Sequence[str]

    def languages(self, audio: Waveform) -> list[tuple[str, float]]:
        """Language codes with probabilities, the likeliest first."""
        ...

    def batch(
        self, audio: Waveform, windows: Sequence[Span], language: str, options: Options
    ) -> list[list[RawSegment]]:
        """Decode windows side by side; a list of segments per window."""
        ...

    def careful(self, audio: Waveform, language: str, options: Options) -> list[RawSegment]:
        """Decode one stretch by itself, trying higher temperatures where it goes wrong."""
        ...


class FasterWhisperRecognizer:
    """
    A Recognizer on a CTranslate2 Whisper model.

    Args:
        model: a folder with the weights; fetching them is not done here, and never in a job.
        device: `cpu`, `cuda` or `auto`.
        compute_type: precision; None takes int8 on a CPU and float16 where a GPU has it.
        batch_size: windows decoded side by side; halved when a GPU's memory runs out.
        decoder: in place of the model; for tests.

    Raises:
        EngineUnavailable: weights are missing or cannot be loaded.
    """

    def __init__(
        self,
        model: str,
        device: str = "auto",
        compute_type: str | None = None,
        batch_size: int = _BATCH,
        decoder: Decoder | None = None,
    ) -> None:
        self._decoder = decoder or _load(Path(model), device, compute_type)
        self._batch_size = batch_size

    @property
    def name(self) -> str:
        return self._decoder.name

    def check(self, options: Options) -> None:
        """Refuse what the model cannot do; see the port."""
        if self._decoder.multilingual:
            if options.task == "translate" and "turbo" in self.name:
                raise InvalidOptions("Whisper turbo cannot translate; use medium or large-v3.")
            asked = (options.language,) if options.language else options.languages
            if asked and not set(asked).intersection(self._decoder.known):
                raise InvalidOptions(
                    f"{self.name} knows none of the languages {', '.join(asked)}; "
                    "name them by ISO 639-1 codes such as en."
                )
            return
        if options.task == "translate":
            raise InvalidOptions(f"{self.name} knows English only and cannot translate.")
        allowed = options.languages or ("en",)
        if (options.language or ("en" if "en" in allowed else allowed[0])) != "en":
            raise InvalidOptions(
                f"{self.name} knows English only; choose a model without '.en' for "
                f"{options.language or ', '.join(options.languages)}."
            )

    def recognize(
        self, audio: Waveform, speech: Sequence[Span], options: Options
    ) -> Iterator[Finding]:
        """Yield findings batch by batch; see the port."""
        self.check(options)
        if not speech:
            return
        language, doubts = self._language(audio, speech, options)
        yield from doubts
        windows = build_windows(speech)
        while windows:
            batch = windows[: self._batch_size]
            try:
                decoded = self._decoder.batch(audio, batch, language, options)
            except RuntimeError as error:
                yield self._smaller(error)
                continue
            windows = windows[len(batch) :]
            for window, segments in zip(batch, decoded, strict=True):
                inside = [span for span in speech if window.start <= span.start < window.end]
                yield from self._window(audio, window, segments, inside, language, options)

    def _smaller(self, error: RuntimeError) -> TranscriptWarning:
        """Half the batch after a GPU ran out of memory."""
        if "out of memory" not in str(error).lower():
            raise RecognitionFailed(f"Whisper stopped: {error}.") from error
        if self._batch_size == 1:
            raise EngineUnavailable(
                "The GPU's memory does not hold this Whisper model; choose a smaller "
                "WHISPER_MODEL, or WHISPER_COMPUTE_TYPE=int8_float16."
            ) from error
        self._batch_size //= 2
        log.warning("batch_reduced", batch_size=self._batch_size)
        return TranscriptWarning(
            "batch_reduced",
            f"The GPU ran out of memory; Whisper went on with batches of {self._batch_size}.",
        )

    def _language(
        self, audio: Waveform, speech: Sequence[Span], options: Options
    ) -> tuple[str, list[TranscriptWarning]]:
        """The language of a part: given, or the likeliest that is allowed."""
        if options.language:
            return options.language, []
        if not self._decoder.multilingual:
            return "en", []
        window = build_windows(speech)[0]
        odds = self._decoder.languages(_cut(audio, window))
        allowed = [item for item in odds if not options.languages or item[0] in options.languages]
        language, probability = max(allowed, key=lambda item: item[1])
        total = sum(odd for _, odd in allowed)
        if probability >= _SURE_LANGUAGE * max(total, 1e-9):
            return language, []
        message = f"The language is uncertain; {language} was taken ({probability:.0%} likely)."
        return language, [TranscriptWarning("language_uncertain", message)]

    def _window(
        self,
        audio: Waveform,
        window: Span,
        segments: list[RawSegment],
        speech: Sequence[Span],
        language: str,
        options: Options,
    ) -> Iterator[Finding]:
        """One window's findings, doubtful ones and holes looked at a second time."""
        if any(segment.doubtful for segment in segments):
            segments = self._again(audio, window, language, options)
        words, removed = _believed(segments, window, speech, options)
        for hole in uncovered(speech, words, _HOLE_SECONDS):
            again = self._again(audio, hole, language, options)
            found, cut = _believed(again, hole, speech, options)
            words = sorted((*words, *found), key=lambda word: word.start)
            removed.extend(cut)
        kept, loops = cut_loops(words)
        if kept:
            yield Segment(tuple(kept), None, "en" if options.task == "translate" else language)
        yield from sorted((*removed, *loops), key=lambda cut: cut.start)

    def _again(
        self, audio: Waveform, span: Span, language: str, options: Options
    ) -> list[RawSegment]:
        return [
            _shifted(segment, span.start)
            for segment in self._decoder.careful(_cut(audio, span), language, options)
        ]


def build_windows(speech: Sequence[Span]) -> list[Span]:
    """Neighbouring spans joined into windows; a longer span is cut into equal pieces."""
    windows: list[Span] = []
    for span in speech:
        if windows and span.end - windows[-1].start <= WINDOW_SECONDS:
            windows[-1] = Span(windows[-1].start, span.end)
            continue
        pieces = max(1, int(-(-span.duration // WINDOW_SECONDS)))
        step = span.duration / pieces
        windows.extend(
            Span(span.start + step * at, span.start + step * (at + 1)) for at in range(pieces)
        )
    return windows


def _cut(audio: Waveform, span: Span) -> Waveform:
    return audio[round(span.start * SAMPLE_RATE_HZ) : round(span.end * SAMPLE_RATE_HZ)]


def _shifted(segment: RawSegment, seconds: float) -> RawSegment:
    words = tuple(
        RawWord(
            word.text,
            None if word.start is None else word.start + seconds,
            None if word.end is None else word.end + seconds,
            word.probability,
        )
        for word in segment.words
    )
    return RawSegment(
        segment.text,
        segment.start + seconds,
        segment.end + seconds,
        words,
        segment.average_log_probability,
        segment.no_speech_probability,
        segment.compression_ratio,
    )


def _believed(
    segments: Sequence[RawSegment], window: Span, speech: Sequence[Span], options: Options
) -> tuple[list[Word], list[Removed]]:
    """Words that pass the gates, and what did not."""
    words: list[Word] = []
    removed: list[Removed] = []
    latest = window.start
    for segment in segments:
        text = segment.text.strip()
        start, end = max(segment.start, window.start), min(segment.end, window.end)
        reason = _objection(segment, options)
        if reason:
            removed.append(Removed(start, max(start, end), reason, text))
            continue
        tidy = tidy_words(_raw_words(segment), latest, window.end)
        for word in tidy:
            if outside_speech(word, speech):
                removed.append(Removed(word.start, word.end, "silence", word.text))
            else:
                words.append(word)
                latest = word.start
    return words, removed


def _raw_words(segment: RawSegment) -> Sequence[RawWord]:
    """The segment's words; its text cut at spaces where alignment gave none."""
    return segment.words or [RawWord(f" {text}") for text in segment.text.split()]


def _objection(segment: RawSegment, options: Options) -> str | None:
    """Why a segment is not believed; None when it is."""
    said = normalized(segment.text)
    prompts = [normalized(options.initial_prompt or ""), normalized(" ".join(options.hotwords))]
    if said and len(said) > 1 and said in prompts:
        return "prompt"
    return "hallucination" if segment.made_up else None


class _Model:
    """The Decoder on a real model."""

    def __init__(self, model: Any, name: str) -> None:
        self._model = model
        self.name = name
        self.multilingual = bool(model.model.is_multilingual)
        codes, token = model.supported_languages, model.hf_tokenizer.token_to_id
        self.known: Sequence[str] = [code for code in codes if token(f"<|{code}|>") is not None]

    def languages(self, audio: Waveform) -> list[tuple[str, float]]:
        _, _, odds = self._model.detect_language(audio, language_detection_threshold=0.0)
        return [(str(code), float(odd)) for code, odd in odds or ()]

    def batch(
        self, audio: Waveform, windows: Sequence[Span], language: str, options: Options
    ) -> list[list[RawSegment]]:
        import faster_whisper  # noqa: PLC0415 - loads CTranslate2

        clips = [{"start": window.start, "end": window.end} for window in windows]
        found, _ = faster_whisper.BatchedInferencePipeline(self._model).transcribe(
            audio, clip_timestamps=clips, batch_size=len(clips), **_asked(language, options)
        )
        result: list[list[RawSegment]] = [[] for _ in windows]
        for segment in found:
            places = [
                at for at, window in enumerate(windows) if window.start <= segment.start + 0.01
            ]
            result[places[-1] if places else 0].append(_raw(segment))
        return result

    def careful(self, audio: Waveform, language: str, options: Options) -> list[RawSegment]:
        found, _ = self._model.transcribe(audio, vad_filter=False, **_asked(language, options))
        return [_raw(segment) for segment in found]


def _asked(language: str, options: Options) -> dict[str, Any]:
    return {
        "language": language,
        "task": options.task,
        "word_timestamps": True,
        "condition_on_previous_text": False,
        "initial_prompt": options.initial_prompt,
        "hotwords": ", ".join(options.hotwords) or None,
    }


def _raw(segment: Any) -> RawSegment:
    words = tuple(
        RawWord(word.word, float(word.start), float(word.end), float(word.probability))
        for word in segment.words or ()
    )
    return RawSegment(
        segment.text,
        float(segment.start),
        float(segment.end),
        words,
        float(segment.avg_logprob),
        float(segment.no_speech_prob),
        float(segment.compression_ratio),
    )


def _load(folder: Path, device: str, compute_type: str | None) -> Decoder:
    """The model from its folder, its files checked first."""
    missing = missing_files(folder) if folder.is_dir() else [str(folder)]
    if missing:
        raise EngineUnavailable(
            f"The Whisper model lacks {', '.join(missing)}; run: meet-transcriber models pull"
        )
    try:
        import ctranslate2  # noqa: PLC0415 - native code, loaded only where it is used
        import faster_whisper  # noqa: PLC0415
    except (ImportError, OSError) as error:
        raise EngineUnavailable(
            f"faster-whisper cannot be loaded ({error}); run: pip install faster-whisper"
        ) from error
    if device == "auto":
        device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    try:
        precision = compute_type or _precision(ctranslate2.get_supported_compute_types(device))
        model = faster_whisper.WhisperModel(
            str(folder), device=device, compute_type=precision, local_files_only=True
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise EngineUnavailable(
            f"The Whisper model in {folder.name} cannot be loaded on {device}: {error}."
        ) from error
    return _Model(model, f"faster-whisper {_short(folder)} {precision} {device}")


def _precision(supported: set[str]) -> str:
    """float16 where a GPU computes it well, int8 elsewhere."""
    return next(
        kind for kind in ("float16", "int8_float16", "int8", "float32") if kind in supported
    )


def _short(folder: Path) -> str:
    """The model's name; the hub keeps it two folders above the files."""
    if folder.parent.name == "snapshots":
        return folder.parent.parent.name.rpartition("--")[2].removeprefix("faster-whisper-")
    return folder.name
