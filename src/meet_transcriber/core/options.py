"""Options of a transcription, fixed when the job is submitted."""

from dataclasses import dataclass
from typing import Literal, get_args

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.languages import parse_language

Task = Literal["transcribe", "translate"]
ChannelMode = Literal["auto", "mix", "split"]

MAX_SPEAKERS = 50
MOST_CHARACTERS = 10_000
"""Of `initial_prompt`, of all `hotwords` and of all `languages`; engines use some hundred words."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a transcription; the defaults suit a meeting nothing is known about.

    Attributes:
        language: code of the spoken language; any form that `parse_language` accepts. None detects
            it, again whenever it changes.
        languages: the languages that detection may choose from; empty allows all.
        task: `transcribe`, or `translate` into English if the model supports it.
        enable_diarization: distinguish speakers.
        num_speakers, min_speakers, max_speakers: hints for diarization.
        word_timestamps: include the times of words in exports.
        hotwords: words and names the engine should expect.
        initial_prompt: text the engine treats as preceding speech.
        channels: `split` treats each channel as one speaker, `mix` mixes them into one,
            `auto` splits independent channels.

    Raises:
        InvalidOptions: a value is out of range or contradicts another.
    """

    language: str | None = None
    languages: tuple[str, ...] = ()
    task: Task = "transcribe"
    enable_diarization: bool = True
    num_speakers: int | None = None
    min_speakers: int | None = None
    max_speakers: int | None = None
    word_timestamps: bool = True
    hotwords: tuple[str, ...] = ()
    initial_prompt: str | None = None
    channels: ChannelMode = "auto"

    def __post_init__(self) -> None:
        self._check_lengths()
        if self.language is not None:
            object.__setattr__(self, "language", parse_language(self.language))
        parsed = dict.fromkeys(parse_language(code) for code in self.languages)
        object.__setattr__(self, "languages", tuple(parsed))
        self._check_choices()
        self._check_speakers()

    def _check_lengths(self) -> None:
        # Every change of a job writes its record, and every list of jobs reads it.
        for name in ("languages", "hotwords", "initial_prompt"):
            value = getattr(self, name) or ""
            size = len(value) if isinstance(value, str) else sum(len(each) + 1 for each in value)
            if size > MOST_CHARACTERS:
                raise InvalidOptions(
                    f"{name} has {size} characters; the most is {MOST_CHARACTERS}."
                )

    def _check_choices(self) -> None:
        if self.task not in get_args(Task):
            raise InvalidOptions(f"task is {self.task!r}; use one of {', '.join(get_args(Task))}.")
        if self.channels not in get_args(ChannelMode):
            choices = ", ".join(get_args(ChannelMode))
            raise InvalidOptions(f"channels is {self.channels!r}; use one of {choices}.")
        if self.language and self.languages and self.language not in self.languages:
            raise InvalidOptions(
                f"language {self.language!r} is not among languages {list(self.languages)}; "
                "use one of them or omit language."
            )

    def _check_speakers(self) -> None:
        for name in ("num_speakers", "min_speakers", "max_speakers"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= MAX_SPEAKERS:
                raise InvalidOptions(f"{name} is {value}; it must be from 1 to {MAX_SPEAKERS}.")
        low = self.min_speakers or 1
        high = self.max_speakers or MAX_SPEAKERS
        if low > high:
            raise InvalidOptions(f"min_speakers {low} is above max_speakers {high}.")
        if self.num_speakers is not None and not low <= self.num_speakers <= high:
            raise InvalidOptions(
                f"num_speakers {self.num_speakers} is outside {low} to {high}, "
                "the range that min_speakers and max_speakers allow."
            )

    @property
    def speaker_range(self) -> tuple[int, int]:
        """Minimum and maximum number of speakers that a diarizer may find, inclusive."""
        if self.num_speakers is not None:
            return self.num_speakers, self.num_speakers
        return self.min_speakers or 1, self.max_speakers or MAX_SPEAKERS


def speaker_hints(
    num: int | None,
    low: int | None,
    high: int | None,
    defaults: tuple[int | None, int | None] = (None, None),
) -> tuple[int | None, int | None]:
    """
    Return the minimum and maximum number of speakers: the request's, else the operator's defaults.

    A default that contradicts the request is ignored.
    """
    if num is not None:
        return low, high
    default_low, default_high = defaults
    if low is None and default_low is not None and default_low <= (high or default_low):
        low = default_low
    if high is None and default_high is not None and default_high >= (low or default_high):
        high = default_high
    return low, high
