"""The Recognizer port on Whisper: windows, languages, and which words are accepted."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from meet_transcriber.core.assembly import join_at_seam
from meet_transcriber.core.errors import InvalidOptions, RecognitionFailed
from meet_transcriber.core.languages import base_language, language_name
from meet_transcriber.core.options import Options
from meet_transcriber.core.repetition import place_repetitions
from meet_transcriber.core.scoring import normalize
from meet_transcriber.core.transcript import Removed, Segment, Span, TranscriptWarning
from meet_transcriber.engines.whisper.fallback import FallbackDecoder
from meet_transcriber.engines.whisper.language_detection import (
    DetectedLanguage,
    most_likely_languages,
    path_probability,
)
from meet_transcriber.engines.whisper.model import SpeechModel
from meet_transcriber.engines.whisper.window_decoder import WindowDecoder, WindowResult
from meet_transcriber.engines.whisper.windows import Window, plan_windows
from meet_transcriber.ports.engines import Finding, Progress, Waveform

_BLOCK = 32  # windows that are processed together: 15 minutes
_CPU_BATCH = 2  # a larger one is slower: the decoder's caches exceed the processor's
_GPU_BATCH = 16
_SURE_LANGUAGE = 0.5
_FOREIGN_SECONDS = 4.0  # of a language that is not allowed, before a warning
_FOREIGN_PROBABILITY = 0.8


class WhisperRecognizer:
    """
    The Recognizer port on a Whisper model; thread-safe.

    Args:
        batch_size: windows decoded together; None chooses it by device.

    Attributes:
        languages: codes of the languages that the model knows.
    """

    def __init__(self, model: SpeechModel, batch_size: int | None = None) -> None:
        self._model = model
        self.name, self.languages = model.name, model.languages
        self.batch_size = batch_size or (_CPU_BATCH if model.device == "cpu" else _GPU_BATCH)

    def check(self, options: Options) -> None:
        """Raise InvalidOptions if the model cannot do what is asked; see the port."""
        check_options(self.name, self.languages, options)

    def recognize(
        self, audio: Waveform, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Iterator[Finding]:
        """Yield findings window by window; see the port."""
        self.check(options)
        tokens, cut = self._model.tokens.previous_text(options.hotwords, options.initial_prompt)
        if cut:
            yield TranscriptWarning(
                "prompt_cut",
                f"Hotwords and prompt are too long for the model; {cut} tokens were left out.",
            )
        windows = plan_windows(audio, speech)
        done = 0

        def count(more: int) -> None:
            nonlocal done
            done += more
            progress(min(done / len(windows), 1.0))

        asked = (options.language,) if options.language else options.languages
        chinese = next((code for code in asked if code != base_language(code)), None)
        decoder = WindowDecoder(
            self._model, audio, options.task, tokens, self.batch_size, chinese, count
        )
        try:
            yield from _accept(self._decode(decoder, audio, windows, options), options)
        except RuntimeError as error:
            raise RecognitionFailed(f"Whisper stopped: {error}.") from error

    def _decode(
        self, decoder: WindowDecoder, audio: Waveform, windows: Sequence[Window], options: Options
    ) -> Iterator[WindowResult | TranscriptWarning]:
        """Decode in blocks, so that memory does not grow with the length of the audio."""
        known = self.languages
        fixed = "en" if len(known) == 1 else options.language and base_language(options.language)
        asked = dict.fromkeys(base_language(code) for code in options.languages)
        allowed = [code for code in asked if code in known] or list(known)
        fallback = FallbackDecoder(decoder, audio, () if fixed else allowed)
        language: str | None = None
        for start in range(0, len(windows), _BLOCK):
            block = windows[start : start + _BLOCK]
            if fixed:
                todo = [(window, fixed) for window in block]
            else:
                groups = decoder.detect_mixed_languages(block)
                detected = [each for group in groups for _, each in group]
                path = most_likely_languages(detected, allowed, language)
                yield from _language_warnings(detected, path, allowed)
                todo, language = list(_split_by_language(block, groups, path)), path[-1]
            yield from fallback.decode(todo)


def check_options(name: str, languages: Sequence[str], options: Options) -> None:
    """
    Check that a model can do what is asked.

    Args:
        languages: codes that the model knows.

    Raises:
        InvalidOptions: it cannot; the message says what, and which model can.
    """
    asked = (options.language,) if options.language else options.languages
    if len(languages) == 1:
        if options.task == "translate":
            raise InvalidOptions(f"{name} knows English only and cannot translate.")
        if asked and "en" not in asked:
            raise InvalidOptions(
                f"{name} knows English only; choose a model without '.en' for {', '.join(asked)}."
            )
        return
    if options.task == "translate" and "turbo" in name:
        raise InvalidOptions("Whisper turbo cannot translate; use medium or large-v3.")
    if asked and not {base_language(code) for code in asked} & set(languages):
        raise InvalidOptions(f"{name} knows none of the languages {', '.join(asked)}.")


def _split_by_language(
    windows: Sequence[Window],
    groups: Sequence[Sequence[tuple[Window, DetectedLanguage]]],
    path: Sequence[str],
) -> Iterator[tuple[Window, str]]:
    """Yield each window with its language; split where the language changes inside a window."""
    languages = iter(path)
    for window, group in zip(windows, groups, strict=True):
        parts = [(part, next(languages)) for part, _ in group]
        for language, run in groupby(parts, key=lambda part: part[1]):
            own = [part for part, _ in run]
            if len(own) == len(parts):
                yield window, language
            else:
                part = window.clip(own[0].start, own[-1].end)
                yield replace(part, seam=own[0].seam), language


def _language_warnings(
    detected: Sequence[DetectedLanguage], path: Sequence[str], allowed: Sequence[str]
) -> Iterator[TranscriptWarning]:
    """Warn about languages that are not allowed, or about an uncertain choice."""
    foreign: dict[str, float] = {}
    for each in detected:
        code, probability = max(each.probabilities.items(), key=lambda item: item[1])
        if code not in allowed and probability >= _FOREIGN_PROBABILITY:
            foreign[code] = foreign.get(code, 0.0) + each.end - each.start
    names = [language_name(code).title() for code, s in foreign.items() if s >= _FOREIGN_SECONDS]
    if names:
        yield TranscriptWarning(
            "language_not_allowed",
            f"{' and '.join(names)} was detected, but only {', '.join(allowed)} is allowed; "
            "words spoken in it may be wrong.",
        )
    elif (probability := path_probability(detected, path)) < _SURE_LANGUAGE:
        yield TranscriptWarning(
            "language_uncertain",
            f"The language is uncertain; {' and '.join(dict.fromkeys(path))} was chosen "
            f"({probability:.0%} likely). Set the option language to fix it.",
        )


def _accept(
    results: Iterator[WindowResult | TranscriptWarning], options: Options
) -> Iterator[Finding]:
    """Yield segments without duplicate words at seams, and what was removed."""
    last: Segment | None = None
    for result in results:
        if isinstance(result, TranscriptWarning):
            yield result
            continue
        if reason := _rejection_reason(result, options):
            window = result.window
            yield Removed(window.start, window.end, reason, result.text.strip())
            continue
        words, extra = place_repetitions(result.words, result.window.speech)
        yield from extra
        if last and result.window.seam is not None:
            before, after = join_at_seam(last.words, words, result.window.seam)
            last, words = replace(last, words=tuple(before)) if before else None, tuple(after)
        if last:
            yield last
        code = "en" if options.task == "translate" else result.language
        last = Segment(words, None, code) if words else None
    if last:
        yield last


def _rejection_reason(result: WindowResult, options: Options) -> str | None:
    """Return why the words of a window are rejected; None if they are accepted."""
    if result.words and result.is_hallucination:
        return "hallucination"
    said = normalize(result.text)
    prompts = [normalize(options.initial_prompt or ""), normalize(" ".join(options.hotwords))]
    return "prompt" if len(said) > 1 and said in prompts else None
