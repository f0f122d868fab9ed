"""A Recognizer on Whisper: which windows, which language, and which words are believed."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from meet_transcriber.core.assembly import join_at_seam
from meet_transcriber.core.errors import InvalidOptions, RecognitionFailed
from meet_transcriber.core.languages import language_name, spoken_code
from meet_transcriber.core.options import Options
from meet_transcriber.core.repetition import settle_repetitions
from meet_transcriber.core.scoring.wer import normalized
from meet_transcriber.core.transcript import Removed, Segment, Span, TranscriptWarning
from meet_transcriber.engines.whisper.fallback import CarefulDecoder
from meet_transcriber.engines.whisper.language_detection import (
    Stretch,
    certainty,
    likeliest_languages,
)
from meet_transcriber.engines.whisper.model import SpeechModel
from meet_transcriber.engines.whisper.window_decoder import Heard, WindowDecoder
from meet_transcriber.engines.whisper.windows import Window, plan_windows
from meet_transcriber.ports.engines import Finding, Progress, Waveform

_BLOCK = 32  # windows that are worked on together: 15 minutes
_CPU_BATCH = 2  # more makes each slower: the decoder's caches no longer fit the processor's
_GPU_BATCH = 16
_SURE_LANGUAGE = 0.5
_HEARD_SECONDS = 4.0  # of a language that is not allowed, before that is told
_HEARD_ODDS = 0.8


class WhisperRecognizer:
    """
    A Recognizer on a Whisper model; several threads may use it, one call at a time each.

    Args:
        model: the weights, loaded.
        batch_size: windows decoded together; None takes what suits the device.
    """

    def __init__(self, model: SpeechModel, batch_size: int | None = None) -> None:
        self._model = model
        self._batch_size = batch_size or (_CPU_BATCH if model.device == "cpu" else _GPU_BATCH)

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def languages(self) -> Sequence[str]:
        """Codes that the model knows."""
        return self._model.languages

    @property
    def batch_size(self) -> int:
        """Windows decoded together."""
        return self._batch_size

    def check(self, options: Options) -> None:
        """Refuse what the model cannot do; see the port."""
        check_options(self.name, self.languages, options)

    def recognize(
        self, audio: Waveform, speech: Sequence[Span], options: Options, progress: Progress
    ) -> Iterator[Finding]:
        """Yield findings window by window; see the port."""
        self.check(options)
        context, cut = self._model.tokens.context(options.hotwords, options.initial_prompt)
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

        decoder = WindowDecoder(
            self._model,
            audio,
            options.task,
            context,
            self._batch_size,
            _in_script(options),
            count,
        )
        others = () if self._known(options) else self._allowed(options)
        careful = CarefulDecoder(decoder, audio, others)
        try:
            yield from _believed(self._heard(decoder, careful, windows, options), options)
        except RuntimeError as error:
            raise RecognitionFailed(f"Whisper stopped: {error}.") from error

    def _heard(
        self,
        decoder: WindowDecoder,
        careful: CarefulDecoder,
        windows: Sequence[Window],
        options: Options,
    ) -> Iterator[Heard | TranscriptWarning]:
        """Block by block, so that nothing grows with the length of the audio."""
        known = self._known(options)
        language: str | None = None
        for start in range(0, len(windows), _BLOCK):
            block = windows[start : start + _BLOCK]
            if known:
                todo = [(window, known) for window in block]
            else:
                asked = decoder.ask_languages(block)
                stretches = [stretch for group in asked for _, stretch in group]
                allowed = self._allowed(options)
                path = likeliest_languages(stretches, allowed, language)
                yield from _doubts(stretches, path, allowed)
                todo, language = list(_in_languages(block, asked, path)), path[-1]
            yield from careful.hear(todo)

    def _known(self, options: Options) -> str | None:
        """The language, where it was given or the model has but one."""
        if len(self.languages) == 1:
            return "en"
        return options.language and spoken_code(options.language)

    def _allowed(self, options: Options) -> list[str]:
        asked = dict.fromkeys(spoken_code(code) for code in options.languages)
        return [code for code in asked if code in self._model.languages] or list(
            self._model.languages
        )


def check_options(name: str, languages: Sequence[str], options: Options) -> None:
    """
    Refuse what a model cannot do.

    Args:
        languages: codes that it knows.

    Raises:
        InvalidOptions: says what it cannot do, and which model can.
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
    if asked and not {spoken_code(code) for code in asked} & set(languages):
        raise InvalidOptions(f"{name} knows none of the languages {', '.join(asked)}.")


def _in_languages(
    windows: Sequence[Window],
    asked: Sequence[Sequence[tuple[Window, Stretch]]],
    path: Sequence[str],
) -> Iterator[tuple[Window, str]]:
    """Each window with its language; a window of several is parted where they change."""
    languages = iter(path)
    for window, group in zip(windows, asked, strict=True):
        parts = [(part, next(languages)) for part, _ in group]
        for language, run in groupby(parts, key=lambda part: part[1]):
            own = [part for part, _ in run]
            if len(own) == len(parts):
                yield window, language
            else:
                part = window.between(own[0].start, own[-1].end)
                yield replace(part, seam=own[0].seam), language


def _doubts(
    stretches: Sequence[Stretch], path: Sequence[str], allowed: Sequence[str]
) -> Iterator[TranscriptWarning]:
    """What the choice of languages leaves in doubt."""
    others: dict[str, float] = {}
    for stretch in stretches:
        code, odds = max(stretch.odds.items(), key=lambda item: item[1])
        if code not in allowed and odds >= _HEARD_ODDS:
            others[code] = others.get(code, 0.0) + stretch.end - stretch.start
    heard = [language_name(code).title() for code, s in others.items() if s >= _HEARD_SECONDS]
    if heard:
        yield TranscriptWarning(
            "language_not_allowed",
            f"{' and '.join(heard)} was heard, but only {', '.join(allowed)} may be; what was "
            "said in it may be wrong.",
        )
    elif (sure := certainty(stretches, path)) < _SURE_LANGUAGE:
        yield TranscriptWarning(
            "language_uncertain",
            f"The language is uncertain; {' and '.join(dict.fromkeys(path))} was taken "
            f"({sure:.0%} likely). The option language names it.",
        )


def _in_script(options: Options) -> str | None:
    """The script that Chinese is to be written in."""
    asked = (options.language,) if options.language else options.languages
    return next((code for code in asked if code and code != spoken_code(code)), None)


def _believed(heard: Iterator[Heard | TranscriptWarning], options: Options) -> Iterator[Finding]:
    """Segments of the words that were said, each once, and what was said by nobody."""
    last: Segment | None = None
    for each in heard:
        if isinstance(each, TranscriptWarning):
            yield each
            continue
        if reason := _objection(each, options):
            window = each.window
            yield Removed(window.start, window.end, reason, each.text.strip())
            continue
        words, extra = settle_repetitions(each.words, each.window.speech)
        yield from extra
        if last and each.window.seam is not None:
            before, after = join_at_seam(last.words, words, each.window.seam)
            last, words = replace(last, words=tuple(before)) if before else None, tuple(after)
        if last:
            yield last
        code = "en" if options.task == "translate" else each.language
        last = Segment(words, None, code) if words else None
    if last:
        yield last


def _objection(heard: Heard, options: Options) -> str | None:
    """Why the words of a window are not believed; None when they are."""
    if heard.words and heard.made_up:
        return "hallucination"
    said = normalized(heard.text)
    prompts = [normalized(options.initial_prompt or ""), normalized(" ".join(options.hotwords))]
    return "prompt" if len(said) > 1 and said in prompts else None
