"""The draft recognizer: pocketsphinx with the US-English model that its package carries."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from meet_transcriber.core.errors import EngineUnavailable, InvalidOptions, RecognitionFailed
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Segment, Span, TranscriptWarning, Word
from meet_transcriber.ports.engines import SAMPLE_RATE_HZ, Finding, Waveform

_FRAMES_PER_SECOND = 100
_PADDING = 0.15  # seconds of quiet that the decoder likes around an utterance
_LONGEST = 20.0
_LANGUAGE_WEIGHT = 5.0  # below the default 6.5: meetings read unlike the news its model learnt
_SENTENCE_PAUSE = 0.15  # silence between padded spans that ends a sentence in the text we show
_VARIANT = re.compile(r"\(\d+\)$")


class PocketsphinxRecognizer:
    """
    A Recognizer that needs no weights and no network; good for drafts.

    It knows US English only and neither case nor punctuation: utterances get a capital at
    their beginning and a full stop where a pause follows.
    """

    name = "pocketsphinx en-us"

    def check(self, options: Options) -> None:
        """Refuse everything but English; see the port."""
        allowed = options.languages or ("en",)
        wanted = options.language or ("en" if "en" in allowed else allowed[0])
        if wanted != "en":
            raise InvalidOptions(
                f"The draft engine pocketsphinx knows English only, not {wanted!r}; "
                "set ASR_ENGINE=faster-whisper."
            )
        if options.task == "translate":
            raise InvalidOptions(
                "The draft engine pocketsphinx cannot translate; set ASR_ENGINE=faster-whisper."
            )

    def recognize(
        self, audio: Waveform, speech: Sequence[Span], options: Options
    ) -> Iterator[Finding]:
        """Yield a segment per utterance; see the port."""
        self.check(options)
        yield from _ignored(options)
        begins = True
        utterances = [piece for span in speech for piece in _pieces(span)]
        for utterance, after in zip(utterances, [*utterances[1:], None], strict=True):
            words = self._decode(audio, utterance)
            if not words:
                continue
            pause = after.start - utterance.end if after else float("inf")
            ends = pause >= _SENTENCE_PAUSE
            yield Segment(_readable(words, begins=begins, ends=ends), None, "en")
            begins = ends

    @cached_property
    def _decoder(self) -> Any:
        try:
            import pocketsphinx  # noqa: PLC0415 - only where the engine is used
        except ImportError as error:
            raise EngineUnavailable(
                "The package pocketsphinx is not installed; run: pip install pocketsphinx"
            ) from error
        return pocketsphinx.Decoder(loglevel="FATAL", lw=_LANGUAGE_WEIGHT)

    def _decode(self, audio: Waveform, utterance: Span) -> list[Word]:
        """Words of one utterance, in seconds of the part."""
        start = max(utterance.start - _PADDING, 0.0)
        end = utterance.end + _PADDING
        samples = audio[round(start * SAMPLE_RATE_HZ) : round(end * SAMPLE_RATE_HZ)]
        pcm = np.clip(samples * 32767, -32768, 32767).astype(np.int16).tobytes()
        decoder = self._decoder
        try:
            decoder.start_utt()
            decoder.process_raw(pcm, False, True)
            decoder.end_utt()
            found = list(decoder.seg() or ()) if decoder.hyp() else []
        except RuntimeError as error:
            raise RecognitionFailed(f"pocketsphinx stopped: {error}.") from error
        exp = decoder.get_logmath().exp
        words = (
            Word(
                _VARIANT.sub("", item.word),
                start + item.start_frame / _FRAMES_PER_SECOND,
                start + (item.end_frame + 1) / _FRAMES_PER_SECOND,
                min(float(exp(item.prob)), 1.0),
            )
            for item in found
            if item.word[0] not in "<[+"
        )
        limit = len(audio) / SAMPLE_RATE_HZ
        return [word for word in words if word.end <= limit + _PADDING]


def _ignored(options: Options) -> Iterator[TranscriptWarning]:
    for name in ("hotwords", "initial_prompt"):
        if getattr(options, name):
            yield TranscriptWarning(
                f"{name}_ignored", f"The draft engine pocketsphinx does not use {name}."
            )


def _pieces(span: Span) -> list[Span]:
    """Equal pieces of a span no longer than the decoder takes well."""
    count = max(1, int(-(-span.duration // _LONGEST)))
    step = span.duration / count
    return [Span(span.start + step * at, span.start + step * (at + 1)) for at in range(count)]


def _readable(words: Sequence[Word], *, begins: bool, ends: bool) -> tuple[Word, ...]:
    """With a capital where a sentence begins, `I` as it is written, a full stop at the end."""
    texts = [re.sub(r"^i(?=$|')", "I", word.text) for word in words]
    if begins:
        texts[0] = texts[0][:1].upper() + texts[0][1:]
    if ends:
        texts[-1] += "."
    return tuple(replace(word, text=text) for text, word in zip(texts, words, strict=True))
