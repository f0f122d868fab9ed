"""Matching speakers with people, and the book of people."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.core.errors import InvalidOptions, VoiceConflict, VoiceNotFound
from meet_transcriber.core.transcript import Transcript, TranscriptWarning, Voice
from meet_transcriber.core.voices import (
    CLEAR,
    MARGIN,
    MOST_PEOPLE,
    MOST_SAMPLES,
    PERHAPS,
    Book,
    Consent,
    Match,
    Named,
    Person,
    Sample,
    checked_consent,
    checked_person,
    clear_names,
    matches,
    merged_people,
    named_by,
    renamed,
    with_known,
    with_sample,
    without,
)

SECONDS = 30.0


def voice(*vector: float, model: str = "m", seconds: float = SECONDS) -> Voice:
    """A voice in three dimensions, of length 1."""
    length = sum(value * value for value in vector) ** 0.5
    return Voice(model, tuple(value / length for value in vector), seconds)


def leaning(similarity: float, axis: int = 0) -> Voice:
    """A voice that is so similar to the one along an axis, and to no other axis but the third."""
    rest = (1 - similarity**2) ** 0.5
    return voice(*(similarity if at == axis else 0.0 for at in range(2)), rest)


def sample(heard: Voice, job: str = "j", speaker: str = "S", at: float = 1.0) -> Sample:
    return Sample(heard, job, speaker, Consent(at))


def person(name: str, *voices: Voice) -> Person:
    return Person(name.lower(), name, 1.0, tuple(sample(each) for each in voices))


ANN, BOB = person("Ann", voice(1, 0, 0)), person("Bob", voice(0, 1, 0))


def certainties(found: dict[str, Match]) -> dict[str, tuple[str, str]]:
    return {label: (match.name, match.certainty) for label, match in found.items()}


def test_an_empty_book_matches_nobody() -> None:
    assert matches({"A": voice(1, 0, 0)}, []) == {}
    assert matches({}, [ANN]) == {}


@pytest.mark.parametrize(
    ("similarity", "certainty"),
    [(0.99, "clear"), (CLEAR + 0.01, "clear"), (CLEAR - 0.01, "perhaps"),
     (PERHAPS + 0.01, "perhaps"), (PERHAPS - 0.01, None), (0.0, None), (-0.9, None)],
)  # fmt: skip
def test_certainty_follows_similarity(similarity: float, certainty: str | None) -> None:
    found = matches({"A": leaning(similarity)}, [ANN, BOB])
    assert certainties(found) == ({"A": ("Ann", certainty)} if certainty else {})
    assert clear_names(found) == ({"A": "Ann"} if certainty == "clear" else {})


def test_similar_people_are_never_a_clear_match() -> None:
    close = MARGIN / 2
    people = [person("Ann", voice(1, close, 0)), person("Bob", voice(1, -close, 0))]
    assert certainties(matches({"A": voice(1, close, 0)}, people)) == {"A": ("Ann", "perhaps")}


def test_one_person_is_one_speaker_the_most_similar_one() -> None:
    voices = {"A": leaning(0.8), "B": leaning(0.95), "C": leaning(0.7)}
    assert certainties(matches(voices, [ANN])) == {"B": ("Ann", "clear")}


def test_a_less_similar_person_is_not_matched_by_elimination() -> None:
    voices = {"A": voice(1, 0, 0), "B": voice(0.85, 0.5, 0)}
    assert certainties(matches(voices, [ANN, BOB])) == {"A": ("Ann", "clear")}


def test_networks_are_never_compared() -> None:
    other = voice(1, 0, 0, model="other")
    assert matches({"A": other}, [ANN]) == {}
    both = replace(ANN, samples=(*ANN.samples, sample(other)))
    assert certainties(matches({"A": other}, [both])) == {"A": ("Ann", "clear")}
    assert matches({"A": Voice("m", (1.0,), SECONDS)}, [ANN]) == {}


def test_the_nearest_sample_counts() -> None:
    known = person("Ann", voice(1, 0, 0), voice(0, 0, 1))
    assert matches({"A": voice(0, 0, 1)}, [known])["A"].similarity == pytest.approx(1.0)


def test_short_voices_are_never_a_clear_match() -> None:
    short = replace(voice(1, 0, 0), seconds=1.0)
    assert certainties(matches({"A": short}, [ANN])) == {"A": ("Ann", "perhaps")}


def test_references_name_likely_matches() -> None:
    known = {"Ann": voice(1, 0, 0), "Bob": voice(0, 1, 0)}
    voices = {"A": leaning(PERHAPS + 0.01), "B": leaning(PERHAPS - 0.01, axis=1)}
    assert named_by(voices, known) == {"A": "Ann"}


vectors = st.lists(
    st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda each: sum(map(abs, each)) > 0.1), max_size=6
)


@given(vectors, vectors)
def test_no_person_is_two_speakers_and_every_clear_one_leads(
    speakers: list[tuple[float, ...]], people: list[tuple[float, ...]]
) -> None:
    voices = {f"S{at}": voice(*each) for at, each in enumerate(speakers)}
    known = [person(f"P{at}", voice(*each)) for at, each in enumerate(people)]
    found = matches(voices, known)
    assert len({match.person for match in found.values()}) == len(found)
    for label, match in found.items():
        others = [
            matches({label: voices[label]}, [each]) for each in known if each.id != match.person
        ]
        best = max((each[label].similarity for each in others if each), default=-1.0)
        assert match.certainty == "perhaps" or match.similarity >= best + MARGIN


def test_known_names_come_after_all_others() -> None:
    said = Transcript(speakers=("A", "B", "C"), names={"A": "Ann"})
    notice = TranscriptWarning("voices_sealed", "They do not open.")
    known = Named({"A": "Eve", "B": "ANN", "C": "Cay", "gone": "Dan"}, (notice, notice))
    result = with_known(said, known)
    assert result.names == {"A": "Ann", "C": "Cay"}
    assert result.warnings == (notice,)


# -- the book --------------------------------------------------------------------------------


def test_a_known_name_gets_another_sample_in_any_case() -> None:
    book, first = with_sample(Book(), "Ann", sample(voice(1, 0, 0)), "1")
    book, again = with_sample(book, "ANN", sample(voice(0, 1, 0), job="k"), "2")
    assert (again.id, again.name, len(again.samples)) == (first.id, "Ann", 2)
    assert book.people == (again,)


def test_a_second_sample_of_the_same_speaker_replaces_the_first() -> None:
    book, _ = with_sample(Book(), "Ann", sample(voice(1, 0, 0)), "1")
    book, again = with_sample(book, "Ann", sample(voice(0, 1, 0), at=2.0), "2")
    assert [each.voice for each in again.samples] == [voice(0, 1, 0)]


def test_the_oldest_samples_are_dropped() -> None:
    book = Book()
    for at in range(MOST_SAMPLES + 3):
        book, known = with_sample(book, "Ann", sample(voice(1, 0, 0), f"j{at}", at=at), "1")
    assert [each.job for each in known.samples] == [f"j{at}" for at in range(3, MOST_SAMPLES + 3)]


def test_the_number_of_people_is_limited() -> None:
    full = Book(tuple(Person(str(at), str(at), 0.0) for at in range(MOST_PEOPLE)))
    with pytest.raises(VoiceConflict):
        with_sample(full, "Ann", sample(voice(1, 0, 0)), "new")


def test_names_are_unique() -> None:
    book = Book((ANN, BOB))
    with pytest.raises(VoiceConflict, match="bob"):
        renamed(book, "ann", "BOB")
    assert renamed(book, "ann", "ANN")[1].name == "ANN"
    with pytest.raises(VoiceNotFound):
        renamed(book, "eve", "Eve")


def test_merging_moves_all_samples_to_one_person() -> None:
    bob = replace(BOB, samples=(sample(voice(0, 1, 0), "k"),))
    book, merged = merged_people(Book((ANN, bob)), "ann", "bob")
    assert book.people == (merged,)
    assert {each.job for each in merged.samples} == {"j", "k"}
    with pytest.raises(InvalidOptions):
        merged_people(book, "ann", "ann")
    with pytest.raises(VoiceNotFound):
        merged_people(book, "ann", "bob")


def test_a_deleted_person_is_removed() -> None:
    assert without(Book((ANN, BOB)), "ann") == Book((BOB,))
    with pytest.raises(VoiceNotFound):
        without(Book((ANN,)), "bob")


@pytest.mark.parametrize(("said", "note"), [(True, ""), ("true", ""), (" by mail ", "by mail")])
def test_consent_is_a_tick_or_a_note(said: object, note: str) -> None:
    assert checked_consent(said) == note


@pytest.mark.parametrize("said", [None, False, "", " ", "false", "No", 1, 0, ["x"], "x" * 501])
def test_without_consent_nothing_is_stored(said: object) -> None:
    with pytest.raises(InvalidOptions, match="consent"):
        checked_consent(said)


@pytest.mark.parametrize("name", [None, "", " ", 1, "a\nb", "x" * 201, "SPEAKER_01", "speaker_01"])
def test_a_person_needs_a_name(name: object) -> None:
    with pytest.raises(InvalidOptions):
        checked_person(name)


def test_a_voice_does_not_show_its_vector() -> None:
    assert "0.5" not in repr(sample(Voice("m", (0.5, 0.5), 1.0)))
