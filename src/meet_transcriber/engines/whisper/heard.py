"""What was heard in one window, and whether it can be believed."""

from dataclasses import dataclass

from meet_transcriber.core.transcript import Span, Word, total_seconds
from meet_transcriber.engines.whisper.model import Hypothesis
from meet_transcriber.engines.whisper.windows import Window

_SILENT = 0.6  # no-speech probability, together with _POOR (openai/whisper: transcribe.py)
_POOR = -1.0  # mean log probability
_SURELY_SILENT = 0.8
_UNLIKELY = -0.8
_MADE_UP_SECONDS = 4.0  # of sound, from where on the rate of words tells
_FEW_WORDS = 1.4  # a second; people say 2 to 4
_HARDLY_ANY_WORDS = 0.3
_GRAM = 5  # tokens that are compared to find repetition
_FEWEST_GRAMS = 8
_NEW_SHARE = 0.5  # of them that occur only once
_MOST_OF_IT = 0.8  # share of a window that has too few words
_UNHEARD_SECONDS = 2.0  # of speech without a single word
_BELIEVED = -0.8  # mean log probability of words that replace fewer ones


@dataclass(frozen=True)
class Heard:
    """
    What was heard in one window.

    Attributes:
        words: in seconds of the audio.
        sparse: stretches that seem to have too few words.
        collapsed: their times fell together and are estimated.
    """

    window: Window
    language: str
    hypothesis: Hypothesis
    text: str
    words: tuple[Word, ...]
    sparse: tuple[Span, ...]
    collapsed: bool

    @property
    def looping(self) -> bool:
        """Whether most of the text is repetition; counted in tokens, for any script."""
        tokens = self.hypothesis.tokens
        grams = [tokens[at : at + _GRAM] for at in range(len(tokens) - _GRAM + 1)]
        return len(grams) >= _FEWEST_GRAMS and len(set(grams)) < _NEW_SHARE * len(grams)

    @property
    def made_up(self) -> bool:
        """
        Whether probably nobody said it: unlikely words, and few for so much sound.

        The first rule is Whisper's own (openai/whisper: transcribe.py). Music, noise and hum that
        pass for speech get one or two words in many seconds, which people never do.
        """
        likelihood, no_speech = self.hypothesis.log_probability, self.hypothesis.no_speech
        if no_speech > _SILENT and likelihood < _POOR:
            return True
        seconds = total_seconds(self.window.speech)
        if seconds < _MADE_UP_SECONDS:
            return False
        rate = len(self.words) / seconds
        unlikely = likelihood < _UNLIKELY and rate < _FEW_WORDS
        return unlikely or (no_speech > _SURELY_SILENT and rate < _HARDLY_ANY_WORDS)

    @property
    def wrong(self) -> bool:
        """Whether decoding it in another way may help."""
        empty = not self.words and total_seconds(self.window.speech) >= _UNHEARD_SECONDS
        missing = sum(span.duration for span in self.sparse)
        return self.doubt > -_POOR or empty or missing >= _MOST_OF_IT * self.window.duration

    @property
    def doubt(self) -> float:
        """How unlikely the text is; 0 is certain, a text that cannot be right has 2 more."""
        broken = self.looping or not self.hypothesis.whole
        return -self.hypothesis.log_probability + 2.0 * broken + 1.0 * self.collapsed

    @property
    def believed(self) -> bool:
        """Whether a second look is likely enough to change what was heard first."""
        if self.looping or self.collapsed or not self.hypothesis.whole or self.made_up:
            return False
        return self.hypothesis.log_probability >= _BELIEVED
