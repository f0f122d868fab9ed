"""Tags by the thousand: a recording is read without them, at once."""

import io
import os
from collections.abc import Callable

import av
import pytest

from meet_transcriber.audio.metadata import MOST_TAGS, Covered, without_metadata
from meet_transcriber.audio.probe import Prober
from meet_transcriber.audio.sandbox.client import ConfinedDecoder
from meet_transcriber.core.errors import UnreadableAudio
from tests.simulated.hostile import claiming_samples
from tests.simulated.tagged import TAGGED, with_comments, with_picture

Make = Callable[[int], bytes]


@pytest.mark.parametrize("kind", TAGGED)
def test_tags_by_the_thousand_are_covered_up(kind: str) -> None:
    """FFmpeg needs up to 3 s of computing for as many, and 25 times that for five times as many."""
    found = ConfinedDecoder(cpu_seconds=1).probe(io.BytesIO(TAGGED[kind](20_000)))
    assert found.channels == 1


@pytest.mark.parametrize("kind", TAGGED)
def test_no_tag_is_left_of_too_many(kind: str) -> None:
    media = io.BytesIO(TAGGED[kind](20_000))
    with av.open(without_metadata(media)) as container:
        assert len(container.metadata) + len(container.streams[0].metadata) < 10
    assert Prober().probe(media) == Prober().probe(io.BytesIO(TAGGED[kind](1)))


@pytest.mark.parametrize("kind", [kind for kind in TAGGED if kind != "id3"])
def test_a_usual_recording_is_read_as_it_is(kind: str) -> None:
    media = io.BytesIO(TAGGED[kind](20))
    assert without_metadata(media) is media


def test_too_many_comments_of_ogg_are_refused() -> None:
    with pytest.raises(UnreadableAudio, match="thousands of tags"):
        ConfinedDecoder().probe(io.BytesIO(with_comments("ogg", MOST_TAGS + 1)))
    assert ConfinedDecoder().probe(io.BytesIO(with_comments("ogg", 20))).channels == 1


def test_cover_art_of_megabytes_is_no_reason_to_refuse() -> None:
    assert ConfinedDecoder().probe(io.BytesIO(with_picture(5 << 20))).codec.startswith("mp3")


def test_a_hundred_tags_in_a_row_are_too_many() -> None:
    with pytest.raises(UnreadableAudio, match="thousands of tags"):
        without_metadata(io.BytesIO((b"ID3\4" + bytes(6)) * 200))


def test_an_index_of_more_samples_than_bytes_is_refused() -> None:
    with pytest.raises(UnreadableAudio, match="more samples than the file can hold"):
        ConfinedDecoder().probe(io.BytesIO(claiming_samples(17_000_000)))


def test_a_view_begins_later_and_has_other_bytes() -> None:
    view = io.BufferedReader(Covered(io.BytesIO(b"0123456789"), 2, {3: b"abc", 9: b"z"}))
    assert view.read() == b"2abc678z"
    assert view.seek(-3, os.SEEK_END) == 5
    assert view.read(2) == b"78"
    assert view.seek(2) == view.tell() == 2
    assert view.read(1) == b"b"
