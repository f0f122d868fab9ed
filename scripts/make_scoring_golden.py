"""
Write tests/golden/scoring.json from the reference scorers: jiwer, meeteval, pyannote.metrics.

`python -m scripts.make_scoring_golden`, where the `reference` dependency group is installed.
Cases are hand-made corners and seeded random ones; tests/system compares fresh random ones.
"""

import json
import logging
import random
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jiwer
import meeteval
from pyannote.core import Annotation, Segment
from pyannote.metrics.diarization import DiarizationErrorRate

PATH = Path(__file__).parents[1] / "tests" / "golden" / "scoring.json"
SEED = 20_261_124

Case = dict[str, Any]
Streams = dict[str, list[str]]
Turns = list[tuple[float, float, str]]

WORD_CORNERS: list[tuple[str, str]] = [
    ("", ""),
    ("", "made up"),
    ("never written", ""),
    ("the same words", "the same words"),
    ("a b c d", "b c d e"),
    ("yes yes yes", "yes"),
]

STREAM_CORNERS: list[tuple[Streams, Streams]] = [
    ({"A": ["hi"]}, {"x": ["hi"]}),
    ({"A": ["a", "b"], "B": ["c"]}, {"x": ["c"], "y": ["a", "b"]}),
    ({"A": ["a", "b"], "B": ["c"]}, {"x": ["a", "b", "c"]}),
    ({"A": ["a", "b", "c"]}, {"x": ["a"], "y": ["b"], "z": ["c"]}),
    ({"A": ["a"], "B": []}, {"x": ["b"]}),
    ({"A": ["a", "b"], "B": ["c"]}, {"x": ["a"], "unknown": ["b", "c"]}),
]

TURN_CORNERS: list[tuple[Turns, Turns]] = [
    ([], []),
    ([(0, 5, "A")], []),
    ([], [(0, 5, "x")]),
    ([(0, 5, "A")], [(0, 5, "x")]),
    ([(0, 10, "A"), (5, 15, "B")], [(0, 5, "x"), (5, 15, "y")]),
    ([(0, 5, "A"), (5, 10, "B"), (10, 15, "C")], [(0, 15, "x")]),
    ([(0, 9, "A")], [(0, 3, "x"), (3, 6, "y"), (6, 9, "z")]),
    ([(1, 1.3, "A"), (2, 6, "B")], [(0, 7, "x")]),
]


def word_case(reference: Sequence[str], hypothesis: Sequence[str]) -> Case:
    """Two lists of words and jiwer's counts."""
    found = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
    errors = found.substitutions + found.deletions + found.insertions
    return {"reference": list(reference), "hypothesis": list(hypothesis), "errors": errors}


def stream_case(reference: Mapping[str, list[str]], hypothesis: Mapping[str, list[str]]) -> Case:
    """Words of each speaker and meeteval's counts of cpWER."""
    found = meeteval.wer.cp_word_error_rate(_texts(reference), _texts(hypothesis))
    return {
        "reference": reference,
        "hypothesis": hypothesis,
        "errors": found.errors,
        "total": found.length,
    }


def turn_case(reference: Turns, hypothesis: Turns, collar: float, skip_overlap: bool) -> Case:
    """Turns and pyannote.metrics' seconds; its collar is the sum of both sides."""
    metric = DiarizationErrorRate(collar=2 * collar, skip_overlap=skip_overlap)
    with warnings.catch_warnings(action="ignore"):  # it approximates the scored span, and says so
        found = metric(_annotation(reference), _annotation(hypothesis), detailed=True)
    return {
        "reference": reference,
        "hypothesis": hypothesis,
        "collar": collar,
        "skip_overlap": skip_overlap,
        "missed": found["missed detection"],
        "false_alarm": found["false alarm"],
        "confusion": found["confusion"],
        "total": found["total"],
    }


def random_words(rng: random.Random) -> tuple[list[str], list[str]]:
    """A text and what a poor recognizer makes of it."""
    vocabulary = [f"w{number}" for number in range(rng.choice([2, 6, 40]))]
    reference = [rng.choice(vocabulary) for _ in range(rng.randint(1, 40))]
    return reference, _misheard(rng, reference, vocabulary, rng.random())


def random_streams(rng: random.Random) -> tuple[Streams, Streams]:
    """Speakers' words, and as many or more or fewer speakers in another order."""
    said = {f"A{number}": random_words(rng)[0] for number in range(rng.randint(1, 5))}
    claimed = [_misheard(rng, words, ["w0", "w1"], 0.4) for words in said.values()]
    rng.shuffle(claimed)
    claimed = claimed[: rng.randint(1, 5)] + [["w0"]] * rng.randint(0, 2)
    return said, {f"x{number}": words for number, words in enumerate(claimed)}


def random_turns(rng: random.Random) -> tuple[Turns, Turns, float, bool]:
    """Turns of both sides that overlap, a collar and whether overlap is left out."""
    collar = rng.choice([0.0, 0.1, 0.25, 0.5])
    return _talk(rng, "A"), _talk(rng, "x"), collar, rng.random() < 0.5


def golden(rng: random.Random) -> dict[str, list[Case]]:
    """All cases with the answers of the reference scorers."""
    policies = [(0.0, False), (0.25, False), (0.25, True)]
    return {
        "words": [word_case(one.split(), other.split()) for one, other in WORD_CORNERS]
        + [word_case(*random_words(rng)) for _ in range(30)],
        "streams": [stream_case(*streams) for streams in STREAM_CORNERS]
        + [stream_case(*random_streams(rng)) for _ in range(20)],
        "turns": [turn_case(*turns, *policy) for turns in TURN_CORNERS for policy in policies]
        + [turn_case(*random_turns(rng)) for _ in range(20)],
    }


def golden_text(cases: Mapping[str, list[Case]]) -> str:
    """JSON with one case a line."""
    kinds = (
        f'"{kind}": [\n' + ",\n".join(json.dumps(case) for case in of_kind) + "\n]"
        for kind, of_kind in cases.items()
    )
    return "{\n" + ",\n".join(kinds) + "\n}\n"


def _misheard(
    rng: random.Random, words: Sequence[str], vocabulary: Sequence[str], errors: float
) -> list[str]:
    heard: list[str] = []
    for word in words:
        kept = [word] if rng.random() > errors else [rng.choice(vocabulary)]
        heard += kept * rng.choice([1, 1, 1, 1, 0, 2]) if rng.random() < errors else kept
    return heard


def _talk(rng: random.Random, prefix: str) -> Turns:
    turns: Turns = []
    for number in range(rng.randint(0, 4)):
        time = 0.0
        for _ in range(rng.randint(1, 8)):
            start = time + rng.randint(1, 5000) / 1000
            time = start + rng.randint(100, 6000) / 1000
            turns.append((round(start, 3), round(time, 3), f"{prefix}{number}"))
    return turns


def _texts(streams: Mapping[str, list[str]]) -> dict[str, str]:
    return {speaker: " ".join(words) for speaker, words in streams.items()}


def _annotation(turns: Turns) -> Annotation:
    annotation = Annotation()
    for number, (start, end, speaker) in enumerate(turns):
        annotation[Segment(start, end), number] = speaker
    return annotation


if __name__ == "__main__":
    logging.getLogger("meeteval").setLevel(logging.ERROR)
    PATH.write_text(golden_text(golden(random.Random(SEED))), encoding="utf-8")
