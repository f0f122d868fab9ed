"""Scripts with and without spaces, and letters that are made of several characters."""

from itertools import pairwise

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.core.languages import join_words, needs_space, split_clusters, split_words

TEXTS = [
    "สวัสดีครับ วันนี้เราจะคุยเรื่องงบประมาณ ก่อนอื่น",
    "ທ່ານສະບາຍດີບໍ່ ຂອບໃຈຫຼາຍໆ ນ້ຳ",
    "नमस्ते, हम आज किताबें और दुर्घटनाएँ देखेंगे।",
    "আমরা আজ বাজেট নিয়ে কথা বলব",
    "வணக்கம், நாம் தொடங்கலாமா?",
    "مُحَمَّدٌ يَتَكَلَّمُ",
    "שָׁלוֹם לְכֻלָּם",
    "안녕하세요 여러분",
    "がぎぐげご パーティー",
    "សួស្តី ក្រុម",
    "é̂ naïve Zürich",
]


@pytest.mark.parametrize("text", TEXTS)
def test_clusters_are_those_of_unicode(text: str) -> None:
    found, expected = split_clusters(text), regex.findall(r"\X", text)
    assert "".join(found) == text
    # ours never part what Unicode keeps together; they may keep more (stacked consonants)
    edges, theirs = _edges(found), _edges(expected)
    assert edges <= theirs


def _edges(parts: list[str]) -> set[int]:
    at, found = 0, set()
    for part in parts:
        found.add(at)
        at += len(part)
    return found


@given(st.text(alphabet=st.characters(categories=["L", "M", "N", "P", "Zs"])))
def test_no_cluster_begins_with_a_mark(text: str) -> None:
    assert "".join(split_clusters(text)) == text
    assert not any(regex.match(r"\p{M}", part) for part in split_clusters(text)[1:])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["Guten", "Tag"], "Guten Tag"),
        (["今天", "开会", "。"], "今天开会。"),
        (["我", "用", " Python", " 写"], "我用 Python 写"),
        (["สวัสดี", "ครับ", " วันนี้"], "สวัสดีครับ วันนี้"),
        (["안녕하세요", "여러분"], "안녕하세요 여러분"),
        ([" 会議", "です"], "会議です"),
        ([], ""),
    ],
)
def test_words_are_joined_as_their_script_writes_them(words: list[str], text: str) -> None:
    assert join_words(words) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Guten Tag", ["Guten", "Tag"]),
        ("我们 ship 周二", ["我", "们", " ship", " 周", "二"]),
        ("ดีครับ วันนี้", ["ดี", "ค", "รั", "บ", " วั", "น", "นี้"]),
        ("パーティー", ["パー", "ティー"]),
        ("  ", []),
    ],
)
def test_a_text_is_split_into_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@given(
    st.lists(st.sampled_from(["今", "ดี", "นี้", "abc", "é", "한국", "、", "x.", "ッ"]), max_size=9)
)
def test_splitting_and_joining_give_the_text_back(parts: list[str]) -> None:
    for text in (" ".join(parts), "".join(parts)):
        assert join_words(split_words(text)) == text


def test_a_word_that_brings_its_space_needs_no_second_one() -> None:
    assert not needs_space("ดี", " วัน")
    assert needs_space("good", "day")


@given(st.lists(st.text("ab-ü用\u3000\t ", max_size=3)))
def test_words_are_joined_by_a_space_exactly_where_one_is_needed(words: list[str]) -> None:
    joined = "".join(words[:1])
    for before, word in pairwise(words):
        joined += f" {word}" if needs_space(before, word) else word
    assert join_words(words) == joined.strip()
