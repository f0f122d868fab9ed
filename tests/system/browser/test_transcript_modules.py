"""Modules of the transcript view, run in a browser."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from meet_transcriber.core.serialization import to_plain
from meet_transcriber.core.transcript import Turn
from tests.simulated.meetings import keep, long_meeting, transcript_of
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
_PLACES = """async ([plain, times]) => {
  const { placeAt, segmentsOf } = await import("/page/transcript/model.js");
  const segments = segmentsOf(plain);
  return times.map((time) => placeAt(segments, time));
}"""
_EDITED = """async ([jobId, steps]) => {
  const { Api } = await import("/page/api.js");
  const { EditQueue, settled } = await import("/page/transcript/edit_queue.js");
  const api = new Api();
  await api.whoami();
  const job = () => api.get(`/transcribe/${jobId}`);
  const edits = new EditQueue(api, await job());
  const plain = ({ state }) => JSON.stringify(
    [state.segments, state.silent, state.speakers, state.names]);
  const different = [];
  for (const { method, values } of steps) {
    edits[method](...values);
    await settled(edits.path);
    const fresh = new EditQueue(api, await job());
    if (plain(edits) !== plain(fresh)) different.push([method, plain(edits), plain(fresh)]);
  }
  return different;
}"""
_OFFSETS = """async ([heights, changes]) => {
  const { RowOffsets } = await import("/page/transcript/row_offsets.js");
  const rows = new RowOffsets([...heights]);
  for (const [at, removed, fresh] of changes) {
    heights.splice(at, removed, ...fresh);
    rows.splice(at, removed, fresh);
    rows.measure(at, fresh[0] + 1);
    heights[at] = fresh[0] + 1;
  }
  const sums = heights.map((_, at) => heights.slice(0, at).reduce((sum, each) => sum + each, 0));
  return sums.every((sum, at) => rows.offset(at) === sum && rows.at(sum) === at);
}"""
_UNKNOWN_ACTIONS = """async () => {
  const { SINGLE, MOVING, EDITING } = await import("/page/transcript/keys.js");
  const { Actions } = await import("/page/transcript/actions.js");
  const inEditor = ["save", "saveAndNext", "cancel"];
  const known = new Set([...Object.getOwnPropertyNames(Actions.prototype), ...inEditor]);
  return [...SINGLE, ...MOVING, ...EDITING].filter(({ action }) => !known.has(action));
}"""


@pytest.fixture
def page(browse: Browse, quick: Simulated) -> Page:
    """Modules need no engine."""
    return browse(quick.url).page()


LABELS = [f"SPEAKER_{at:02d}" for at in range(5)]


def steps(chance: random.Random) -> list[dict[str, Any]]:
    """Edits of every kind; some of them do not fit."""
    kinds: dict[str, Callable[[], list[Any]]] = {
        "text": lambda: [{"text": chance.choice(TEXTS)}],
        "speaker": lambda: [{"speaker": chance.choice([*LABELS, None])}],
        "split": lambda: [{"split_at": chance.randrange(1, 4)}],
        "merge": lambda: [{"merge": True}],
        "reassign": lambda: [chance.choice(LABELS), chance.choice([*LABELS, None])],
        "replace": lambda: ["the", "THE"],
        "name": lambda: [chance.choice(LABELS[:3]), chance.choice(["Ann", ""])],
        "undo": list,
        "redo": list,
    }
    made = []
    for kind in chance.choices([*kinds], k=40):
        values, place = kinds[kind](), chance.randrange(12)
        if kind in {"text", "speaker", "split", "merge"}:
            change = [{"segment": place, **values[0]}]
            made.append({"method": "change", "values": [change, place, 1 + (kind == "merge")]})
        else:
            made.append({"method": kind, "values": values})
    return made


@pytest.mark.parametrize("seed", range(2))
def test_the_page_matches_the_server_after_every_edit(
    browse: Browse, quick: Simulated, seed: int
) -> None:
    chance = random.Random(seed)
    turns = tuple(Turn(float(at), at + 1.5, chance.choice(LABELS)) for at in range(6))
    segments = long_meeting(150, 60.0, 3, seed).segments
    job_id = keep(quick.system.service.context, transcript_of(segments, 60.0, turns=turns))
    watched = browse(quick.url)
    watched.allow("422")  # what does not fit
    assert watched.page().evaluate(_EDITED, [job_id, steps(chance)]) == []


def test_a_moment_maps_to_the_spoken_word(page: Page) -> None:
    transcript = long_meeting(200, 100.0, 3)
    plain = to_plain(transcript)["segments"]
    middles = [(word.start + word.end) / 2 for word in transcript.words]
    found = page.evaluate(_PLACES, [plain, middles])
    words = [transcript.segments[each["segment"]].words[each["word"]] for each in found]
    assert words == list(transcript.words)
    assert page.evaluate(_PLACES, [plain, [-1.0]]) == [{"segment": -1, "word": -1}]


def test_row_offsets_are_the_sums_of_heights(page: Page) -> None:
    chance = random.Random(3)
    changes = [
        [chance.randrange(20), chance.randrange(3), [chance.randrange(20, 90)]] for _ in range(30)
    ]
    assert page.evaluate(_OFFSETS, [[40] * 30, changes]) is True


def test_every_keyboard_shortcut_has_an_action(page: Page) -> None:
    assert page.evaluate(_UNKNOWN_ACTIONS) == []
