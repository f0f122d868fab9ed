"""Folding of text and queries, on a real FTS5 table."""

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meet_transcriber.stores.sqlite.fts import match_expression, searchable
from meet_transcriber.stores.sqlite.schema import migrate


@pytest.fixture
def index() -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(":memory:", isolation_level=None)
    migrate(db)
    yield db
    db.close()


def found(db: sqlite3.Connection, text: str, query: str) -> bool:
    db.execute("DELETE FROM texts")
    db.execute("INSERT INTO texts VALUES (?)", (searchable(text),))
    expression = match_expression(query)
    if not expression:
        return False
    rows = db.execute("SELECT count(*) FROM texts WHERE texts MATCH ?", (expression,))
    return bool(rows.fetchone() == (1,))


ANY_TEXT = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(st.text(), st.text())
@ANY_TEXT
def test_no_query_breaks_the_syntax(index: sqlite3.Connection, text: str, query: str) -> None:
    assert found(index, text, query) in (True, False)


LETTERS = st.characters(categories=["Lu", "Ll", "Lo", "Nd"], max_codepoint=0xFFFF)


@given(st.lists(st.text(LETTERS, min_size=1, max_size=5), min_size=1, max_size=5))
@ANY_TEXT
def test_every_word_of_a_text_finds_it(index: sqlite3.Connection, words: list[str]) -> None:
    for word in words:
        assert found(index, " ".join(words), word)


def test_a_query_that_is_only_marks_has_no_words() -> None:
    assert match_expression("?! \u0301 \" '") == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ZOË's Café", "zoe's cafe"),
        ("ＡＢＣ　１２", "abc 12"),
        ("会议ok", " 会  议 ok"),
        ("시작", " 시  작 "),
        ("Größe", "grosse"),
        ("a\0b", "a b"),
    ],
)
def test_what_is_the_same_to_people_is_the_same_to_the_index(text: str, words: str) -> None:
    assert searchable(text) == words
