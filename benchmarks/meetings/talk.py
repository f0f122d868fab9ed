"""The text of synthetic meetings: a corpus of meeting talk with slots."""

import random
import re
from collections.abc import Iterator
from pathlib import Path

_HERE = Path(__file__).parent

_SLOTS = {
    "name": [
        "Anna", "Peter", "Maria", "John", "Susan", "David", "Laura", "Michael", "Helen", "Robert",
        "Linda", "Thomas", "Karen", "Daniel", "Nancy",
    ],
    "day": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"],
    "month": ["January", "March", "April", "June", "July", "September", "October", "November"],
    "team": [
        "the design team", "the sales team", "the support team", "marketing", "finance",
        "the people in production", "the legal department",
    ],
    "thing": [
        "the report", "the contract", "the new website", "the search page", "the mobile version",
        "the payment system", "the training plan", "the customer survey", "the old database",
        "the security check", "the price list", "the product catalog",
    ],
    "number": [
        "two", "three", "four", "six", "seven", "eight", "ten", "twelve", "fifteen", "twenty",
        "thirty", "fifty",
    ],
    "place": [
        "London", "Berlin", "Boston", "Chicago", "the main office", "the factory", "Paris",
        "Toronto",
    ],
    "when": ["this week", "next week", "this month", "next month", "before the summer", "today"],
}  # fmt: skip

_OPENERS = (
    "Well,", "As far as I know,", "To be honest,", "I think", "In my opinion,", "Of course",
    "Maybe", "So", "And", "But", "From what I have heard,", "As you know,", "I guess",
)  # fmt: skip
_OPENED = 0.2  # share of sentences with an opener, of those that can have one
_TAKES_OPENER = re.compile(r"(We|They|There|It|He|She|That|The|This|People|Nobody|Most|Some)\b")

SHORT_BACKCHANNELS = ("Yes.", "Right.", "Okay.", "Sure.", "True.")
BACKCHANNELS = (
    *SHORT_BACKCHANNELS, "I agree.", "That is true.", "Good point.", "I see.", "Sounds good.",
    "Exactly.", "Thank you.",
)  # fmt: skip


def corpus() -> dict[str, list[str]]:
    """Return lines by topic, with slots."""
    topics: dict[str, list[str]] = {}
    for line in (_HERE / "corpus.txt").read_text().splitlines():
        if line.startswith("#"):
            lines = topics.setdefault(line.strip("# "), [])
        elif line:
            lines.append(line)
    return topics


def sentences(seed: int) -> Iterator[str]:
    """Yield sentences without end, topic by topic; all lines are used before any is repeated."""
    chance = random.Random(seed)
    topics = list(corpus().values())
    while True:
        chance.shuffle(topics)
        for lines in topics:
            for line in chance.sample(lines, len(lines)):
                yield _filled(line, chance)


def _filled(line: str, chance: random.Random) -> str:
    """Fill the slots of a line, sometimes after an opening phrase."""
    text = re.sub(r"\{(\w+)\}", lambda slot: chance.choice(_SLOTS[slot[1]]), line)
    if _TAKES_OPENER.match(text) and not text.endswith("?") and chance.random() < _OPENED:
        return f"{chance.choice(_OPENERS)} {text[0].lower()}{text[1:]}"
    return text[0].upper() + text[1:]


def read_script(path: Path) -> list[tuple[str, str]]:
    """(voice, text) per line of a written meeting: `voice: text`."""
    lines = [line for line in path.read_text().splitlines() if line and line[0] != "#"]
    return [(voice, text.strip()) for voice, _, text in (line.partition(":") for line in lines)]
