"""Words of a scripted model, each once at its time, despite the model's errors."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meet_transcriber.core.errors import InvalidOptions, RecognitionFailed
from meet_transcriber.core.options import Options
from meet_transcriber.core.transcript import Span
from meet_transcriber.engines.whisper.model import Alignment
from tests.unit.engines.whisper.scripted import Heard, Script, ScriptedModel, recognized

ENGLISH = Options(language="en")


def sentence(count: int, first: int = 0) -> str:
    """Return distinct words."""
    return " ".join(f"w{at}" for at in range(first, first + count))


def running(seconds: float) -> tuple[Script, Span]:
    """Speech without a pause."""
    script = Script()
    end = script.say(sentence(round(seconds / 0.3)), 0.5)
    return script, Span(0.5, end)


# -- times of words ----------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 260), st.floats(0.3, 6)), min_size=1, max_size=6))
def test_every_word_is_there_once_at_its_time(lengths: list[tuple[int, float]]) -> None:
    script, speech, at = Script(), [], 0.4
    for count, pause in lengths:
        end = script.say(sentence(count, len(script.words)), at)
        speech.append(Span(at, end))
        at = end + pause
    found = recognized(ScriptedModel(script), script.audio(at + 1), speech, ENGLISH)
    assert found.text == " ".join(word.text for word in script.words)
    for word, said in zip(found.words, script.words, strict=True):
        assert word.start < word.end
        assert word.start == pytest.approx(said.start, abs=0.05)
        assert any(span.start - 1e-6 <= word.start < word.end <= span.end + 1e-6 for span in speech)
    assert not found.removed
    assert not found.warnings


def test_progress_grows_to_the_end() -> None:
    script, span = running(200)
    shares: list[float] = []
    recognized(ScriptedModel(script), script.audio(205), [span], ENGLISH, shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) >= 3


def test_silence_has_no_words_and_costs_nothing() -> None:
    model = ScriptedModel(Script())
    assert recognized(model, np.zeros(160_000, np.float32), [], ENGLISH).words == []
    assert model.decoded == 0


# -- errors of the model ----------------------------------------------------------------------


def test_a_window_that_loops_is_decoded_again_in_halves() -> None:
    def loops(heard: Heard, _language: str) -> tuple[Heard, float]:
        return (heard[:4] * 12, -0.3) if len(heard) > 60 else (heard, -0.2)

    script, span = running(27)
    found = recognized(ScriptedModel(script, loops), script.audio(29), [span], ENGLISH)
    assert found.text == sentence(90)


def test_a_sentence_that_was_skipped_is_filled_in_where_it_was() -> None:
    def skips(heard: Heard, _language: str) -> tuple[Heard, float]:
        return ([*heard[:20], *heard[40:]], -0.3) if len(heard) > 60 else (heard, -0.2)

    script = Script()
    middle = script.say(sentence(45), 0.5)
    end = script.say(sentence(35, 45), middle + 0.5)
    speech = [Span(0.5, middle), Span(middle + 0.5, end)]
    found = recognized(ScriptedModel(script, skips), script.audio(29), speech, ENGLISH)
    assert found.text == sentence(80)


def test_hallucinations_are_removed_and_reported() -> None:
    def invents(heard: Heard, _language: str) -> tuple[Heard, float]:
        return heard[:1], -1.4

    script = Script()
    script.say("you", 3.0)
    model = ScriptedModel(script, invents, no_speech=0.9)
    found = recognized(model, script.audio(12), [Span(0.5, 11)], ENGLISH)
    assert found.words == []
    assert [(each.reason, each.text) for each in found.removed] == [("hallucination", "you")]


def test_a_repeated_prompt_is_removed_and_reported() -> None:
    script = Script()
    end = script.say("Minutes of the board", 1.0)
    options = Options(language="en", initial_prompt="Minutes of the board.")
    found = recognized(ScriptedModel(script), script.audio(4), [Span(1, end)], options)
    assert [each.reason for each in found.removed] == ["prompt"]


def test_collapsed_times_are_spread_and_marked_as_estimated() -> None:
    script, span = running(12)

    class Collapsing(ScriptedModel):
        def align(self, *what: Any) -> list[Alignment]:
            found = super().align(*what)
            return [
                type(each)((*each.edges[:10], *(8.0,) * (len(each.edges) - 10)), each.probabilities)
                for each in found
            ]

    found = recognized(Collapsing(script), script.audio(14), [span], ENGLISH)
    assert found.text == sentence(40)
    assert any(word.estimated for word in found.words)
    assert all(word.start < word.end for word in found.words)
    assert all(before.end <= after.start + 1e-6 for before, after in pairwise(found.words))


def test_an_error_of_the_model_becomes_recognition_failed() -> None:
    def fails(_heard: Heard, _language: str) -> tuple[Heard, float]:
        raise RuntimeError("out of memory")

    script, span = running(5)
    with pytest.raises(RecognitionFailed, match="out of memory"):
        recognized(ScriptedModel(script, fails), script.audio(7), [span], ENGLISH)


def test_votes_of_a_roll_call_stay_in_their_own_stretches() -> None:
    script, speech = Script(), []
    for at in range(10):
        end = script.say("Yes.", 1 + 2.0 * at, seconds=0.5)
        speech.append(Span(1 + 2.0 * at, end))
    found = recognized(ScriptedModel(script), script.audio(24), speech, ENGLISH)
    assert found.text == " ".join(["Yes."] * 10)
    assert [round(word.start) for word in found.words] == [round(span.start) for span in speech]


def test_a_skipped_vote_is_decoded_again() -> None:
    def passes_over(heard: Heard, _language: str) -> tuple[Heard, float]:
        return ([*heard[:4], *heard[5:]], -0.3) if len(heard) > 5 else (heard, -0.2)

    script, speech = Script(), []
    for at in range(10):
        end = script.say("Yes.", 1 + 2.0 * at, seconds=0.5)
        speech.append(Span(1 + 2.0 * at, end))
    found = recognized(ScriptedModel(script, passes_over), script.audio(24), speech, ENGLISH)
    assert [round(word.start) for word in found.words] == [round(span.start) for span in speech]


# -- languages ---------------------------------------------------------------------------------


def joined(*parts: tuple[str, float]) -> tuple[Script, list[Span], float]:
    """Stretches in several languages, with short pauses between them."""
    script, speech, at = Script(), [], 0.5
    for language, seconds in parts:
        end = script.say(sentence(round(seconds / 0.3), len(script.words)), at, language)
        speech.append(Span(at, end))
        at = end + 0.4
    return script, speech, at


def test_each_stretch_is_in_its_own_language() -> None:
    script, speech, end = joined(("en", 21), ("de", 21), ("en", 12), ("fr", 60))
    found = recognized(ScriptedModel(script), script.audio(end), speech)
    spoken = dict(zip((word.text for word in script.words), script.languages, strict=True))
    wrong = [
        word
        for segment in found.segments
        for word in segment.words
        if spoken[word.text] != segment.language
    ]
    assert len(wrong) <= 4
    assert found.text == " ".join(word.text for word in script.words)


def test_a_given_language_is_never_overruled() -> None:
    script, speech, end = joined(("en", 21), ("de", 21))
    found = recognized(ScriptedModel(script), script.audio(end), speech, Options(language="fr"))
    assert {segment.language for segment in found.segments} == {"fr"}


def test_a_language_that_is_not_allowed_is_reported() -> None:
    script, speech, end = joined(("en", 21), ("de", 21))
    options = Options(languages=("en", "fr"))
    found = recognized(ScriptedModel(script), script.audio(end), speech, options)
    assert {segment.language for segment in found.segments} <= {"en", "fr"}
    assert "language_not_allowed" in [warning.code for warning in found.warnings]
    assert "German" in found.warnings[0].message


def test_a_translation_is_english() -> None:
    script, speech, end = joined(("de", 12))
    found = recognized(
        ScriptedModel(script), script.audio(end), speech, Options(language="de", task="translate")
    )
    assert {segment.language for segment in found.segments} == {"en"}


@pytest.mark.parametrize(
    ("script_name", "text"), [(None, "开会"), ("zh-Hans", "开会"), ("zh-Hant", "開會")]
)
def test_chinese_is_in_the_requested_script(script_name: str | None, text: str) -> None:
    script = Script()
    end = script.say("開会", 1.0, "zh", 1.0)
    options = Options(language=script_name or "zh")
    found = recognized(ScriptedModel(script), script.audio(4), [Span(1, end)], options)
    assert found.words[0].text == text


def test_a_model_of_english_only_says_what_it_cannot_do() -> None:
    model = ScriptedModel(Script(), languages=("en",))
    for options in (Options(language="de"), Options(task="translate")):
        with pytest.raises(InvalidOptions, match="English only"):
            recognized(model, np.zeros(16_000, np.float32), [], options)


def test_a_prompt_that_is_too_long_is_reported() -> None:
    script, span = running(3)
    options = Options(language="en", initial_prompt="word " * 300)
    found = recognized(ScriptedModel(script), script.audio(5), [span], options)
    assert [warning.code for warning in found.warnings] == ["prompt_cut"]
