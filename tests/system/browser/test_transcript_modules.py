"""Modules of the transcript's view that decide things, run in a browser."""

import random
import re
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Page

from meet_transcriber.core.edits import Edit, EditLog, with_edits
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.serialization import to_plain
from meet_transcriber.core.transcript import Transcript, Turn, Word
from tests.integration.api.serving import ROOT
from tests.simulated.meetings import long_meeting, transcript_of
from tests.system.browser.conftest import Browse, Simulated

TEXTS = (
    "so we move it",
    "we should we should move",
    "日本語 and more",
    "a",
    "the release to Thursday",
    "用 Jon 写 パーティー",
    "สวัสดีครับ วันนี้ นำ้",
    "हिन्दी में ക്ഷ നന്ദി",
)
_CHANGED = """async ([plain, changes]) => {
  const { segmentsOf } = await import("/page/transcript/model.js");
  const { changed } = await import("/page/transcript/edits.js");
  return changed(segmentsOf(plain), changes).map(({ speaker, words }) => ({ speaker, words }));
}"""
_PLACES = """async ([plain, times]) => {
  const { placeAt, segmentsOf } = await import("/page/transcript/model.js");
  const segments = segmentsOf(plain);
  return times.map((time) => placeAt(segments, time));
}"""
_PEOPLE = """async ([transcript, steps]) => {
  const { Editing } = await import("/page/transcript/editing.js");
  const { speakersIn } = await import("/page/transcript/model.js");
  const api = { session: {}, call: async () => ({ json: async () => ({ edition: "" }) }) };
  const editing = new Editing(api, { job_id: "none", edition: "", transcript });
  const people = [];
  for (const { change, reassign } of steps) {
    if (change) await editing.change([change]);
    else await editing.reassign(reassign.from, reassign.to);
    people.push(speakersIn(editing.state.segments, editing.state.silent).sort());
  }
  return people;
}"""
_HEIGHTS = """async ([heights, changes]) => {
  const { Heights } = await import("/page/transcript/heights.js");
  const rows = new Heights([...heights]);
  for (const [at, removed, fresh] of changes) {
    heights.splice(at, removed, ...fresh);
    rows.splice(at, removed, fresh);
    rows.measure(at, fresh[0] + 1);
    heights[at] = fresh[0] + 1;
  }
  const sums = heights.map((_, at) => heights.slice(0, at).reduce((sum, each) => sum + each, 0));
  return sums.every((sum, at) => rows.offset(at) === sum && rows.at(sum) === at);
}"""
_KEYS = """async () => {
  const { SINGLE, MOVING, EDITING } = await import("/page/transcript/keys.js");
  return [...SINGLE, ...MOVING, ...EDITING].map(({ shown, about }) => [shown, about]);
}"""


@pytest.fixture
def page(browse: Browse, quick: Simulated) -> Page:
    """Modules need no engine."""
    return browse(quick.url).page()


def wishes(transcript: Transcript, seed: int) -> list[Edit]:
    """Edits of any kind that fit one after the other."""
    chance = random.Random(seed)
    log, now, edits = EditLog(), transcript, []
    for _ in range(12):
        place = chance.randrange(len(now.segments) - 1)
        words = len(now.segments[place].words)
        kinds = ["text", "speaker", "merge", *(["split"] if words > 1 else [])]
        kind: Any = chance.choice(kinds)
        edit = Edit(
            kind,
            place,
            chance.choice(TEXTS),
            chance.choice(transcript.speakers),
            max(1, words // 2),
        )
        log, now = with_edits(transcript, log, now, [edit])
        edits.append(edit)
    return edits


def change(edit: Edit) -> dict[str, object]:
    """An edit as it is sent."""
    sent: dict[str, dict[str, object]] = {
        "text": {"text": edit.text},
        "speaker": {"speaker": edit.speaker},
        "split": {"split_at": edit.at},
        "merge": {"merge": True},
    }
    return {"segment": edit.segment, **sent[edit.kind]}


def at_once(transcript: Transcript) -> Transcript:
    """Every second segment begins a second earlier, as where people talk at once."""

    def earlier(word: Word) -> Word:
        return replace(word, start=max(word.start - 1, 0), end=max(word.end - 1, 0))

    segments = [
        replace(each, words=tuple(map(earlier, each.words))) if at % 2 else each
        for at, each in enumerate(transcript.segments)
    ]
    return replace(transcript, segments=tuple(segments))


@pytest.mark.parametrize("seed", range(5))
def test_edits_give_in_the_page_what_they_give_on_the_server(page: Page, seed: int) -> None:
    transcript = at_once(long_meeting(150, 60.0, 3, seed))
    edits = wishes(transcript, seed)
    expected = transcript
    log = EditLog()
    for edit in edits:
        log, expected = with_edits(transcript, log, expected, [edit])
    plain = to_plain(transcript)["segments"]
    found = page.evaluate(_CHANGED, [plain, [change(edit) for edit in edits]])
    kept = [
        {"speaker": each["speaker"], "words": each["words"]}
        for each in to_plain(expected)["segments"]
    ]
    assert len(found) == len(kept)
    for mine, theirs in zip(found, kept, strict=True):
        assert mine["speaker"] == theirs["speaker"]
        assert [word.pop("start") for word in mine["words"]] == pytest.approx(
            [word.pop("start") for word in theirs["words"]]
        )
        assert [word.pop("end") for word in mine["words"]] == pytest.approx(
            [word.pop("end") for word in theirs["words"]]
        )
        assert mine["words"] == theirs["words"]


LABELS = [f"SPEAKER_{at:02d}" for at in range(5)]


def people_moved(seed: int) -> tuple[Transcript, list[Edit], list[Transcript]]:
    """A short meeting where some have turns only, edits of who speaks, and what each leaves."""
    chance = random.Random(seed)
    turns = tuple(Turn(float(at), at + 1.5, chance.choice(LABELS)) for at in range(6))
    segments = long_meeting(40, 16.0, 3, seed).segments
    transcript = transcript_of(segments, 16.0, turns=turns)
    log, now = EditLog(), transcript
    edits: list[Edit] = []
    left: list[Transcript] = []
    while len(edits) < 12:
        place, speaker = chance.randrange(len(now.segments)), chance.choice([*LABELS, None])
        source = chance.choice([*now.speakers, None])
        edit = chance.choice(
            [
                Edit("speaker", place, speaker=speaker),
                Edit("merge", place),
                Edit("reassign", source=source, speaker=speaker),
            ]
        )
        with suppress(InvalidOptions):
            log, now = with_edits(transcript, log, now, [edit])
            edits.append(edit)
            left.append(now)
    return transcript, edits, left


@pytest.mark.parametrize("begun", [0, 4])
def test_the_page_and_the_server_know_the_same_people_after_every_edit(
    page: Page, begun: int
) -> None:
    for seed in range(40):
        machine, edits, left = people_moved(seed)
        seen = left[begun - 1] if begun else machine  # where the page is opened
        steps = [
            {"reassign": {"from": each.source, "to": each.speaker}}
            if each.kind == "reassign"
            else {"change": change(each)}
            for each in edits[begun:]
        ]
        found = page.evaluate(_PEOPLE, [to_plain(seen), steps])
        assert found == [sorted(each.speakers) for each in left[begun:]], seed


def test_a_moment_is_in_the_word_that_is_spoken(page: Page) -> None:
    transcript = long_meeting(200, 100.0, 3)
    plain = to_plain(transcript)["segments"]
    middles = [(word.start + word.end) / 2 for word in transcript.words]
    found = page.evaluate(_PLACES, [plain, middles])
    words = [transcript.segments[each["segment"]].words[each["word"]] for each in found]
    assert words == list(transcript.words)
    assert page.evaluate(_PLACES, [plain, [-1.0]]) == [{"segment": -1, "word": -1}]


def test_rows_lie_below_each_other_whatever_is_measured(page: Page) -> None:
    chance = random.Random(3)
    changes = [
        [chance.randrange(20), chance.randrange(3), [chance.randrange(20, 90)]] for _ in range(30)
    ]
    assert page.evaluate(_HEIGHTS, [[40] * 30, changes]) is True


def test_the_keys_in_the_documentation_are_those_of_the_page(page: Page) -> None:
    text = (ROOT / "docs/page.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `([^|]+)` \| ([^|]+) \|$", text, re.MULTILINE)
    assert [list(row) for row in table] == page.evaluate(_KEYS)
