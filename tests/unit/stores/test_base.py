"""Records as JSON text: the format and its errors."""

import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.core.errors import StorageError
from meet_transcriber.core.jobs import Job, Task, Webhook
from meet_transcriber.core.media import MediaInfo
from meet_transcriber.core.options import Options
from meet_transcriber.stores.base import dump, load

text = st.text(st.characters(exclude_categories=())) | st.text()
seconds = st.floats(allow_nan=False, allow_infinity=False)
jobs = st.builds(
    Job,
    text,
    st.builds(Options, hotwords=st.lists(text).map(tuple)),
    tasks=st.lists(st.builds(Task, text, progress=seconds, token=st.integers())).map(tuple),
    objects=st.dictionaries(text, text),
    media=st.none() | st.builds(MediaInfo, text, duration=st.none() | seconds),
    webhook=st.none() | st.builds(Webhook, text, next_at=st.none() | seconds),
    deleted=st.booleans(),
)


@given(jobs)
def test_a_record_reads_back_equal(job: Job) -> None:
    assert load(Job, dump(job)) == job
    assert load(Job, dump(job).encode()) == job


@given(jobs)
def test_the_text_is_compact_ascii_json_of_the_fields(job: Job) -> None:
    expected = json.dumps(asdict(job))
    assert dump(job).isascii()
    assert json.loads(dump(job)) == json.loads(expected)
    assert load(Job, expected) == job


def test_the_format_stays_as_it_is() -> None:
    assert dump(Webhook("http://é", next_at=1.5)) == (
        r'{"url":"http://\u00e9","event_id":"","attempts":0,"next_at":1.5,"outcome":"waiting"}'
    )


def test_unknown_keys_are_ignored_and_missing_ones_take_defaults() -> None:
    assert load(Task, '{"name": "prepare", "colour": {"a": 1}}') == Task("prepare")


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ("{", "A stored Job is damaged"),
        ("[]", "at Job:"),
        ('{"id": 1, "options": {}}', r"at Job\.id"),
        ('{"id": "j", "options": {}, "tasks": [{"name": "a"}, {"name": 1}]}', r"tasks\[1\]\.name"),
        ('{"id": "j", "options": {}, "state": "lost"}', r"at Job\.state"),
        ('{"id": "j", "options": {"min_speakers": 0}}', r"at Job\.options"),
        ('{"id": "j", "options": {}, "deleted": 1}', r"at Job\.deleted"),
        ('{"id": "j", "options": {}, "fence": true}', r"at Job\.fence"),
    ],
)
def test_a_record_that_does_not_fit_names_its_place(data: Any, place: str) -> None:
    with pytest.raises(StorageError, match=place):
        load(Job, data)
