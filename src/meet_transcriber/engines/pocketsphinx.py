"""The draft recognizer: pocketsphinx with the US-English model that its package carries."""

import importlib.util
import json
import re
import subprocess
import sys
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from meet_transcriber.core.errors import EngineUnavailable, InvalidOptions, RecognitionFailed
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Segment, Span, TranscriptWarning, Word
from meet_transcriber.engines import sphinx_child
from meet_transcriber.engines.sphinx_child import LENGTH
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

    def __init__(self) -> None:
        self._process = _Process()

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

    def _decode(self, audio: Waveform, utterance: Span) -> list[Word]:
        """Words of one utterance, in seconds of the part."""
        start = max(utterance.start - _PADDING, 0.0)
        end = utterance.end + _PADDING
        samples = audio[round(start * SAMPLE_RATE_HZ) : round(end * SAMPLE_RATE_HZ)]
        pcm = np.clip(samples * 32767, -32768, 32767).astype(np.int16).tobytes()
        words = (
            Word(
                _VARIANT.sub("", text),
                start + first / _FRAMES_PER_SECOND,
                start + (last + 1) / _FRAMES_PER_SECOND,
                probability,
            )
            for text, first, last, probability in self._process.hear(pcm)
            if text[0] not in "<[+"
        )
        limit = len(audio) / SAMPLE_RATE_HZ
        return [word for word in words if word.end <= limit + _PADDING]


class _Process:
    """
    The decoder in a process of its own, started when it is first needed.

    While it listens, pocketsphinx holds Python's lock: in this process no heartbeat would beat
    and no signal would be heard, for as long as an utterance takes.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def hear(self, pcm: bytes) -> list[tuple[str, int, int, float]]:
        """
        What was said: word, first and last frame, probability.

        Raises:
            EngineUnavailable: pocketsphinx is not installed.
            RecognitionFailed: it stopped; the next utterance gets a new process.
        """
        child = self._child or self._start()
        try:
            answer = self._ask(child, pcm)
        except BaseException:
            self._stop(child)  # an answer may be on its way that nobody asked for any more
            raise
        if isinstance(answer, dict):
            raise RecognitionFailed(f"pocketsphinx stopped: {answer['error']}.")
        return [(text, first, last, probability) for text, first, last, probability in answer]

    def _ask(self, child: "subprocess.Popen[bytes]", pcm: bytes) -> Any:
        assert child.stdin is not None  # noqa: S101 - both are pipes
        assert child.stdout is not None  # noqa: S101
        try:
            child.stdin.write(LENGTH.pack(len(pcm)) + pcm)
            child.stdin.flush()
            line = child.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            raise RecognitionFailed(f"pocketsphinx ended with {child.wait()} while it listened.")
        return json.loads(line)

    def _start(self) -> "subprocess.Popen[bytes]":
        if importlib.util.find_spec("pocketsphinx") is None:
            raise EngineUnavailable(
                "The package pocketsphinx is not installed; run: pip install pocketsphinx"
            )
        command = [sys.executable, "-P", sphinx_child.__file__, str(_LANGUAGE_WEIGHT)]
        self._child = subprocess.Popen(  # noqa: S603 - our own file
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # Ctrl-C is this process's business
        )
        self._finalizer = weakref.finalize(self, _end, self._child)
        return self._child

    def _stop(self, child: "subprocess.Popen[bytes]") -> None:
        self._child = None
        self._finalizer.detach()
        _end(child)


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.kill()
    child.communicate()


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
