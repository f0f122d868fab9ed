"""What people say in synthetic meetings: a corpus of meeting talk with open slots."""

import random
import re
from collections.abc import Iterator
from pathlib import Path

_HERE = Path(__file__).parent

_SLOTS = {
    "name": ["Anna", "Peter", "Maria", "John", "Susan", "David", "Laura", "Michael", "Helen"],
    "day": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"],
    "month": ["January", "March", "April", "June", "July", "September", "October", "November"],
    "team": ["the design team", "the sales team", "the support team", "marketing", "finance"],
    "thing": [
        "the report", "the contract", "the new website", "the search page", "the mobile version",
        "the payment system", "the training plan", "the customer survey", "the old database",
    ],
    "number": ["two", "three", "four", "six", "eight", "ten", "twelve", "fifteen", "fifty"],
    "place": ["London", "Berlin", "Boston", "Chicago", "the main office", "the factory"],
}  # fmt: skip

BACKCHANNELS = ("Yes.", "Right.", "Okay.", "I agree.", "That is true.", "Good point.")


def sentences(seed: int) -> Iterator[str]:
    """An endless run of sentences: every line of the corpus once before any comes again."""
    chance = random.Random(seed)
    lines = [line for line in (_HERE / "corpus.txt").read_text().splitlines() if line]
    while True:
        chance.shuffle(lines)
        for line in lines:
            yield re.sub(r"\{(\w+)\}", lambda slot: chance.choice(_SLOTS[slot[1]]), line)


def read_script(path: Path) -> list[tuple[str, str]]:
    """(voice, text) per line of a written meeting: `voice: text`."""
    lines = [line for line in path.read_text().splitlines() if line and line[0] != "#"]
    return [(voice, text.strip()) for voice, _, text in (line.partition(":") for line in lines)]
