"""The official OpenAI client against real engines: the drafts, which need no weights."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import soundfile
from openai.types.audio import TranscriptionTextDoneEvent

from meet_transcriber.bootstrap import services
from tests.system.openai_server import client_of
from tests.unit.api.openai.desk import make_app, settings, working
from tests.unit.api.rig import Nudges

SAMPLE = Path(__file__).parents[2] / "src" / "meet_transcriber" / "samples" / "standup.ogg"
SECONDS = 21.5
DRAFTS: dict[str, Any] = {"asr_engine": "pocketsphinx", "diarization_engine": "acoustic"}
KEY = {"Idempotency-Key": "the same work for every test"}

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # translations


@pytest.fixture(scope="module")
def recording() -> tuple[str, bytes]:
    """The beginning of the bundled sample, in which two people speak."""
    samples, rate = soundfile.read(SAMPLE)
    file = io.BytesIO()
    soundfile.write(file, samples[: round(SECONDS * rate)], rate, format="FLAC")
    return "standup.flac", file.getvalue()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    folder = tmp_path_factory.mktemp("drafts")
    installed = settings(data_dir=folder, **DRAFTS)
    service = services.service(installed, Nudges())
    engines = services.worker_engines(installed, draft=True)
    with working(service, engines), client_of(make_app(service, **DRAFTS)) as client:
        yield client


def test_words_with_times_come_out(client: openai.OpenAI, recording: tuple[str, bytes]) -> None:
    found = client.audio.transcriptions.create(
        model="pocketsphinx",
        file=recording,
        response_format="verbose_json",
        timestamp_granularities=["word"],
        extra_body={"diarization": True},
        extra_headers=KEY,
    )
    assert found.language == "english"
    assert found.duration == pytest.approx(SECONDS, abs=0.1)
    assert "good morning" in found.text.lower()
    assert all(0 <= word.start <= word.end <= SECONDS for word in found.words or [])
    assert found.segments is None


def test_speakers_get_letters(client: openai.OpenAI, recording: tuple[str, bytes]) -> None:
    found = client.audio.transcriptions.create(
        model="whisper-1", file=recording, response_format="diarized_json", extra_headers=KEY
    )
    assert {segment.speaker for segment in found.segments} == {"A", "B"}
    assert found.text.startswith("A: Good morning")


def test_streamed_text_is_the_text(client: openai.OpenAI, recording: tuple[str, bytes]) -> None:
    stream = client.audio.transcriptions.create(
        model="whisper-1", file=recording, stream=True, extra_headers={"Idempotency-Key": "s"}
    )
    *deltas, done = list(stream)
    assert isinstance(done, TranscriptionTextDoneEvent)
    assert "good morning" in done.text.lower()
    told = "".join(getattr(each, "delta", "") for each in deltas)
    assert told.lower().split() == done.text.lower().split()


def test_what_the_engine_cannot_do_is_refused_before_work(
    client: openai.OpenAI, recording: tuple[str, bytes]
) -> None:
    with pytest.raises(openai.BadRequestError, match="cannot translate"):
        client.audio.translations.create(model="whisper-1", file=recording)
    with pytest.raises(openai.BadRequestError, match="knows English only"):
        client.audio.transcriptions.create(model="whisper-1", file=recording, language="de")


def test_what_is_no_recording_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        client.audio.transcriptions.create(model="whisper-1", file=("a.mp3", b"no sound" * 99))
    assert raised.value.code in {"unsupported_format", "unreadable_audio"}
