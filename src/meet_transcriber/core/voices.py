"""People with stored voices, and matching these with the speakers of a meeting.

Similarity is the cosine of two embeddings of one network; those of different networks are never
compared. A person's similarity is that of their nearest sample.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import mul
from typing import Literal, NamedTuple

from meet_transcriber.core.edits import LABEL, LONGEST_NAME
from meet_transcriber.core.errors import InvalidOptions, VoiceConflict, VoiceNotFound
from meet_transcriber.core.transcript import Transcript, TranscriptWarning, Voice

Certainty = Literal["clear", "perhaps"]

CLEAR = 0.7
"""From this similarity on, a speaker is named."""
PERHAPS = 0.55
"""From this similarity on, a name is suggested."""
MARGIN = 0.1
"""Lead over the next person that a name needs; with a smaller one it is only suggested."""
SHORT_SECONDS = 3.0
"""A voice made from less speech than this is never clear."""

FOLDER = "voices"
"""Folder of the MediaStore with the people of each tenant, sealed."""

MOST_PEOPLE = 500
MOST_SAMPLES = 10
"""Samples of one person; an additional one replaces the oldest."""
SHORTEST_REFERENCE_SECONDS, LONGEST_REFERENCE_SECONDS = 2.0, 10.0
_DIGITS = 5  # changes a cosine by less than 0.0001


@dataclass(frozen=True, slots=True)
class Consent:
    """A person's consent to storing their voice.

    Attributes:
        at: when it was stated, in seconds since 1970.
        by: name of the API key that stated it; None on a server without keys.
        note: such as who agreed, when and how.
    """

    at: float
    by: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One embedding of a voice and its origin.

    Attributes:
        job, speaker: the meeting, and the label in it.
        clip: the job was submitted for this sample alone, and is deleted with the person.
    """

    voice: Voice
    job: str
    speaker: str
    consent: Consent
    clip: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """A person with a stored voice; `created_at` is in seconds since 1970.

    Attributes:
        clips: ids of all clip jobs of this person, including those without a sample; they are
            deleted with the person.
    """

    id: str
    name: str
    created_at: float
    samples: tuple[Sample, ...] = ()
    clips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Book:
    """The people of one tenant, in order of creation, with unique names."""

    people: tuple[Person, ...] = ()

    def find(self, person_id: str) -> Person:
        """A person; raises VoiceNotFound."""
        for person in self.people:
            if person.id == person_id:
                return person
        raise VoiceNotFound(f"There is no voice {person_id[:40]!r}.")

    def named(self, name: str) -> Person | None:
        """The person of a name, in any case."""
        folded = name.casefold()
        return next((each for each in self.people if each.name.casefold() == folded), None)


# -- changing the book -----------------------------------------------------------------------


def with_sample(book: Book, name: str, sample: Sample, fresh_id: str) -> tuple[Book, Person]:
    """
    Add a sample to the person of this name, who may be new.

    It replaces a sample of the same speaker of the same meeting.

    Raises:
        VoiceConflict: no more people can be stored.
    """
    book, known = _with_person(book, name, sample.consent.at, fresh_id)
    person = _add_sample(known, sample)
    return _with(book, person), person


def with_clip(book: Book, name: str, job_id: str, at: float, fresh_id: str) -> tuple[Book, Person]:
    """Add a clip's job to the person of this name, who may be new; raises VoiceConflict if full."""
    book, known = _with_person(book, name, at, fresh_id)
    person = replace(known, clips=_unique((*known.clips, job_id)))
    return _with(book, person), person


def with_clip_sample(book: Book, sample: Sample) -> tuple[Book, Person]:
    """
    Add the sample of a clip to the person whose clip it is, also after a rename or a merge.

    Raises:
        VoiceNotFound: the person was deleted.
    """
    owner = next((each for each in book.people if sample.job in each.clips), None)
    if owner is None:
        raise VoiceNotFound("The person of this clip was deleted.")
    person = _add_sample(owner, sample)
    return _with(book, person), person


def without_clip(book: Book, job_id: str) -> tuple[Book, None]:
    """Remove the person whose only entry is this clip, which has no voice."""
    left = (each for each in book.people if each.samples or each.clips != (job_id,))
    return Book(tuple(left)), None


def clip_jobs(person: Person) -> tuple[str, ...]:
    """The jobs that are deleted with a person."""
    return _unique((*person.clips, *(each.job for each in person.samples if each.clip)))


def _with_person(book: Book, name: str, at: float, fresh_id: str) -> tuple[Book, Person]:
    """Find or add the person of a name; raises VoiceConflict."""
    if known := book.named(name):
        return book, known
    if len(book.people) >= MOST_PEOPLE:
        raise VoiceConflict(f"{MOST_PEOPLE} people are stored, and no more can be; delete some.")
    person = Person(fresh_id, name, at)
    return Book((*book.people, person)), person


def _add_sample(person: Person, sample: Sample) -> Person:
    clips = _unique((*person.clips, sample.job)) if sample.clip else person.clips
    return replace(person, samples=_latest((*person.samples, sample)), clips=clips)


def _unique(jobs: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(jobs))


def renamed(book: Book, person_id: str, name: str) -> tuple[Book, Person]:
    """
    Rename a person.

    Raises:
        VoiceNotFound: there is no such person.
        VoiceConflict: another person has this name.
    """
    person, other = replace(book.find(person_id), name=name), book.named(name)
    if other is not None and other.id != person_id:
        raise VoiceConflict(
            f"The voice {other.id} has this name already. Merge the two if they are one person, "
            "or choose another name."
        )
    return _with(book, person), person


def merged_people(book: Book, into: str, source: str) -> tuple[Book, Person]:
    """
    Merge two people: the samples and clips of `source` go to `into`, and `source` is deleted.

    Raises:
        VoiceNotFound: one of them does not exist.
        InvalidOptions: they are the same.
    """
    if into == source:
        raise InvalidOptions("A voice cannot be merged with itself; name two.")
    person, other = book.find(into), book.find(source)
    person = replace(
        person,
        samples=_latest((*person.samples, *other.samples)),
        clips=_unique((*clip_jobs(person), *clip_jobs(other))),
    )
    return _with(without(book, source), person), person


def without(book: Book, person_id: str) -> Book:
    """Remove a person; raises VoiceNotFound."""
    gone = book.find(person_id)
    return Book(tuple(each for each in book.people if each is not gone))


def _with(book: Book, person: Person) -> Book:
    return Book(tuple(person if each.id == person.id else each for each in book.people))


def _latest(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """The latest samples, at most one of each speaker of each meeting."""
    unique = {(each.job, each.speaker): each for each in samples}
    in_order = sorted(unique.values(), key=lambda each: each.consent.at)
    return tuple(in_order[-MOST_SAMPLES:])


def compact(voice: Voice) -> Voice:
    """Round the vector to the digits that affect a similarity."""
    return replace(voice, vector=tuple(round(value, _DIGITS) for value in voice.vector))


# -- who speaks ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Match:
    """A stored person who is, or may be, a speaker; similarity in [-1, 1]."""

    person: str
    name: str
    similarity: float
    certainty: Certainty


class _Pair(NamedTuple):
    similarity: float
    label: str
    person: Person
    lead: float  # over the most similar other person


def matches(voices: Mapping[str, Voice], people: Sequence[Person]) -> dict[str, Match]:
    """
    Match the speakers of a meeting with people; returns label -> match.

    Each person matches one speaker at most: the most similar pair is taken first, then the most
    similar of those that are left.
    """
    found: dict[str, Match] = {}
    taken: set[str] = set()
    pairs = [pair for label, voice in voices.items() for pair in _pairs(label, voice, people)]
    # Ties go by label and id, so that a rerun finds the same people.
    for pair in sorted(pairs, key=lambda each: (-each.similarity, each.label, each.person.id)):
        if pair.label in found or pair.person.id in taken:
            continue
        taken.add(pair.person.id)
        enough = voices[pair.label].seconds >= SHORT_SECONDS
        clear = pair.similarity >= CLEAR and pair.lead >= MARGIN and enough
        certainty: Certainty = "clear" if clear else "perhaps"
        found[pair.label] = Match(pair.person.id, pair.person.name, pair.similarity, certainty)
    return found


def _pairs(label: str, voice: Voice, people: Sequence[Person]) -> Iterator[_Pair]:
    """The people whose voice this may be: similar enough, and not far behind the most similar."""
    scored = [
        (found, person) for person in people if (found := similarity(voice, person)) is not None
    ]
    scored.sort(key=lambda each: -each[0])
    for place, (found, person) in enumerate(scored):
        others = scored[1 if place == 0 else 0 :][:1]
        lead = found - others[0][0] if others else found
        if found >= PERHAPS and lead >= -MARGIN:
            yield _Pair(found, label, person, lead)


def similarity(voice: Voice, person: Person) -> float | None:
    """Cosine to the person's nearest sample of the same network; None without such a sample."""
    # Vectors of two networks have nothing to do with each other, even of one dimension.
    comparable = (each.voice for each in person.samples if each.voice.model == voice.model)
    return max((cosine(voice.vector, each.vector) for each in comparable), default=None)


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Cosine of two vectors of length 1; 0 for vectors of different dimensions."""
    return sum(map(mul, one, other)) if len(one) == len(other) else 0.0


def clear_names(found: Mapping[str, Match]) -> dict[str, str]:
    """The names by label of the clear matches."""
    return {label: match.name for label, match in found.items() if match.certainty == "clear"}


# -- objects of a job ------------------------------------------------------------------------

VOICES, KNOWN_SPEAKERS, KNOWN_NAMES, TO_REMEMBER = (
    "voices.sealed",
    "known_speakers.json",
    "known_names.json",
    "remember.sealed",
)
"""
Logical names of a job's objects: the voices of its speakers, the references that were sent with
it, the names by these, and the person whose voice a clip is.
"""


@dataclass(frozen=True, slots=True)
class Heard:
    """The voices of one meeting, by label."""

    voices: Mapping[str, Voice] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The person whose voice a clip is."""

    name: str
    consent: Consent


@dataclass(frozen=True, slots=True)
class Reference:
    """A few seconds of a person who may speak in the meeting; `audio` is a file in base64."""

    name: str
    audio: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class References:
    """The people who may speak, as the request names them."""

    people: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True)
class Named:
    """Names by label, and warnings about missing ones."""

    names: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[TranscriptWarning, ...] = ()


def with_known(transcript: Transcript, known: Named) -> Transcript:
    """Name speakers without a name by their voices, unless another speaker has the name."""
    given = transcript.names
    found = {label: name for label, name in known.names.items() if label in transcript.speakers}
    free = without_taken(found, given)
    warnings = tuple(dict.fromkeys((*transcript.warnings, *known.warnings)))
    return replace(transcript, names={**free, **given}, warnings=warnings)


def without_taken(found: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """The names that are not among those given, ignoring case."""
    taken = {name.casefold() for name in given.values()}
    return {label: name for label, name in found.items() if name.casefold() not in taken}


def named_by(voices: Mapping[str, Voice], references: Mapping[str, Voice]) -> dict[str, str]:
    """
    Names by label from references.

    Suggestions count as well, because the request expects these people.
    """
    at = Consent(0.0)
    people = [
        Person(name, name, 0.0, (Sample(voice, "", "", at),)) for name, voice in references.items()
    ]
    return {label: match.name for label, match in matches(voices, people).items()}


LONGEST_NOTE = 500


def checked_person(name: object) -> str:
    """A person's name, stripped; raises InvalidOptions if it is not a valid name."""
    text = name.strip() if isinstance(name, str) else ""
    if not (1 <= len(text) <= LONGEST_NAME and text.isprintable()):
        raise InvalidOptions(
            f"name must be the person's name, of 1 to {LONGEST_NAME} printable characters."
        )
    if LABEL.fullmatch(text.upper()):
        raise InvalidOptions(f"{text} is the label of a speaker; name must be the person's name.")
    return text


def checked_consent(consent: object) -> str:
    """The note of a consent, "" without one; raises InvalidOptions if there is no consent."""
    if consent is True or (isinstance(consent, str) and consent.strip().lower() == "true"):
        return ""
    text = consent.strip() if isinstance(consent, str) else ""
    if not 1 <= len(text) <= LONGEST_NOTE or text.lower() in {"false", "no", "0"}:
        raise InvalidOptions(
            "A voice is stored only with the person's consent: set consent to true, or to a note "
            f"of up to {LONGEST_NOTE} characters such as who agreed to it, when and how."
        )
    return text
