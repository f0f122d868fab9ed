"""The official OpenAI client against /v1, with simulated engines."""

import asyncio
import base64
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from fastapi import Depends
from openai.types.audio import (
    Transcription,
    TranscriptionDiarized,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionTextSegmentEvent,
    TranscriptionVerbose,
    TranslationVerbose,
)
from starlette.exceptions import HTTPException

from meet_transcriber.api.app import create_app
from meet_transcriber.api.openai.routes import router
from meet_transcriber.core.auth import Scope
from meet_transcriber.core.errors import RecognitionFailed
from meet_transcriber.core.jobs import JobQuery
from meet_transcriber.service import Policy, Service
from tests.simulated.people import ANN, BOB, hearing, meeting, town
from tests.system.openai_server import client_of, serving
from tests.unit.api.openai.app_fixture import TEXT, at_work, make_app, settings, working
from tests.unit.api.openai.test_routes import Raising
from tests.unit.api.service_fixture import make_service

FILE = ("standup.wav", b"tape")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    return make_service(tmp_path_factory.mktemp("v1"))


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[openai.OpenAI]:
    with at_work(service), client_of(make_app(service)) as client:
        yield client


def jobs(service: Service) -> list[str]:
    return [job.id for job in service.queries.page(JobQuery())]


def eventually(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not what() and time.monotonic() < deadline:
        time.sleep(0.05)
    return what()


# -- formats -----------------------------------------------------------------------------------


def test_json_is_a_transcription(client: openai.OpenAI) -> None:
    found = client.audio.transcriptions.create(model="whisper-1", file=FILE, include=["logprobs"])
    assert isinstance(found, Transcription)
    assert found.text == TEXT
    assert found.languages is not None
    assert [each.code for each in found.languages] == ["en"]
    assert found.usage is not None
    assert found.usage.type == "duration"
    assert [each.token for each in found.logprobs or []] == TEXT.split()


@pytest.mark.parametrize(("form", "begin"), [("text", "word0"), ("srt", "1\n"), ("vtt", "WEBVTT")])
def test_texts_are_strings(client: openai.OpenAI, form: Any, begin: str) -> None:
    found: Any = client.audio.transcriptions.create(
        model="whisper-1", file=FILE, response_format=form
    )
    assert isinstance(found, str)
    assert found.startswith(begin)


def test_verbose_json_has_typed_segments_and_words(client: openai.OpenAI) -> None:
    found = client.audio.transcriptions.create(
        model="whisper-1",
        file=FILE,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert isinstance(found, TranscriptionVerbose)
    assert (found.language, found.duration) == ("english", 60.0)
    assert [word.word for word in found.words or []] == TEXT.split()
    assert [segment.id for segment in found.segments or []] == list(range(6))
    TranscriptionVerbose.model_validate(found.model_dump(), strict=True)


def test_diarized_json_has_typed_segments(client: openai.OpenAI) -> None:
    found = client.audio.transcriptions.create(
        model="gpt-4o-transcribe-diarize",
        file=FILE,
        response_format="diarized_json",
        chunking_strategy={"type": "server_vad", "threshold": 0.5},
    )
    assert isinstance(found, TranscriptionDiarized)
    assert [segment.speaker for segment in found.segments] == list("ABABAB")
    TranscriptionDiarized.model_validate(found.model_dump(), strict=True)


def test_every_supported_field_has_its_effect(client: openai.OpenAI, service: Service) -> None:
    client.audio.transcriptions.create(
        model="gpt-transcribe",
        file=FILE,
        languages=["en", "de"],
        keywords=["Quokka", "Ann"],
        prompt="Minutes.",
        temperature=0,
        chunking_strategy="auto",
        extra_body={"diarization": "true", "num_speakers": 2},
    )
    options = service.queries.job(jobs(service)[0]).options
    assert (options.languages, options.hotwords) == (("en", "de"), ("Quokka", "Ann"))
    assert (options.initial_prompt, options.num_speakers) == ("Minutes.", 2)


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # the client says so of it
def test_a_translation_is_typed(client: openai.OpenAI) -> None:
    found = client.audio.translations.create(
        model="whisper-1", file=FILE, response_format="verbose_json"
    )
    assert isinstance(found, TranslationVerbose)
    assert (found.language, found.text) == ("english", TEXT)


def test_models_are_listed_and_shown(client: openai.OpenAI) -> None:
    assert next(model.id for model in client.models.list()) == "base"
    assert client.models.retrieve("whisper-1").owned_by == "meet-transcriber"


# -- streams -----------------------------------------------------------------------------------


def test_a_stream_gives_text_and_then_all_of_it(client: openai.OpenAI) -> None:
    stream = client.audio.transcriptions.create(
        model="gpt-4o-transcribe", file=FILE, stream=True, include=["logprobs"]
    )
    *deltas, done = list(stream)
    assert isinstance(done, TranscriptionTextDoneEvent)
    texts = [each.delta for each in deltas if isinstance(each, TranscriptionTextDeltaEvent)]
    assert "".join(texts) == done.text == TEXT
    assert done.logprobs is not None


def test_a_diarized_stream_gives_segments(client: openai.OpenAI) -> None:
    stream = client.audio.transcriptions.create(
        model="gpt-4o-transcribe-diarize", file=FILE, stream=True, response_format="diarized_json"
    )
    said = [each for each in stream if isinstance(each, TranscriptionTextSegmentEvent)]
    assert [each.speaker for each in said] == list("ABABAB")


def test_concurrent_requests_get_their_own_results(service: Service) -> None:
    async def ask(client: openai.AsyncOpenAI) -> str:
        stream = await client.audio.transcriptions.create(model="base", file=FILE, stream=True)
        *_, done = [event async for event in stream]
        assert isinstance(done, TranscriptionTextDoneEvent)
        return str(done.text)

    async def ask_all(url: str) -> list[str]:
        async with openai.AsyncOpenAI(base_url=url, api_key="-", max_retries=0) as client:
            plain = client.audio.transcriptions.create(model="base", file=FILE)
            streams = asyncio.gather(*(ask(client) for _ in range(8)))
            return [*await streams, (await plain).text]

    with at_work(service), serving(make_app(service)) as url:
        assert asyncio.run(ask_all(url)) == [TEXT] * 9


def test_disconnecting_cancels_the_job(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    with client_of(make_app(service)) as client:
        stream = client.audio.transcriptions.create(model="base", file=FILE, stream=True)
        assert len(jobs(service)) == 1
        stream.close()
        assert eventually(lambda: not jobs(service))


# -- errors ------------------------------------------------------------------------------------


def test_each_error_raises_the_clients_class(client: openai.OpenAI) -> None:
    create = client.audio.transcriptions.create
    with pytest.raises(openai.BadRequestError) as raised:
        create(model="base", file=FILE, extra_body={"frobnicate": 1})
    assert (raised.value.param, raised.value.code) == ("frobnicate", "unknown_parameter")
    with pytest.raises(openai.NotFoundError) as missing:
        create(model="gpt-9", file=FILE)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-9")


def test_a_too_large_upload_gets_its_error_before_the_connection_closes(tmp_path: Path) -> None:
    service = make_service(tmp_path, Policy(max_upload_bytes=1 << 20))
    with (
        client_of(create_app(service, settings(auth_mode="open", data_dir=tmp_path))) as client,
        pytest.raises(openai.APIStatusError, match="MAX_UPLOAD_SIZE_MB") as raised,
    ):
        client.audio.transcriptions.create(model="base", file=("a.wav", bytes(64 << 20)))
    assert (raised.value.status_code, raised.value.code) == (413, "upload_too_large")


def test_known_speakers_are_named(tmp_path: Path) -> None:
    reference = base64.b64encode(meeting((BOB, 3))).decode()
    with (
        town(tmp_path, VOICE_PROFILES="off", AUTH_MODE="open") as place,
        working(place.system.service, hearing()),
        client_of(create_app(place.system.service, place.system.settings)) as client,
    ):
        result = client.audio.transcriptions.create(
            model="gpt-4o-transcribe-diarize",
            file=("standup.wav", meeting((ANN, 4), (BOB, 4))),
            response_format="diarized_json",
            known_speaker_names=["Bob"],
            known_speaker_references=[f"data:audio/wav;base64,{reference}"],
        )
    assert [each.speaker for each in result.segments] == ["A", "Bob"]


def test_an_invalid_reference_raises_its_class(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="reference of 'Ann'") as raised:
        client.audio.transcriptions.create(
            model="gpt-4o-transcribe-diarize",
            file=FILE,
            response_format="diarized_json",
            known_speaker_names=["Ann"],
            known_speaker_references=["https://media.example/ann.wav"],
        )
    assert raised.value.param == "known_speaker_references"


def test_an_idempotency_key_of_another_request_raises_its_class(client: openai.OpenAI) -> None:
    key = {"Idempotency-Key": "mine"}
    client.audio.transcriptions.create(model="base", file=FILE, extra_headers=key)
    with pytest.raises(openai.UnprocessableEntityError):
        client.audio.transcriptions.create(model="base", file=("b", b"b"), extra_headers=key)


def test_a_failed_job_raises_and_is_not_retried(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    error = RecognitionFailed("It broke.")
    with at_work(service, Raising(error)), client_of(make_app(service), retries=2) as client:
        with pytest.raises(openai.InternalServerError, match="It broke"):
            client.audio.transcriptions.create(model="base", file=FILE)
        assert len(jobs(service)) == 1
        with pytest.raises(openai.APIError, match="It broke"):
            list(client.audio.transcriptions.create(model="base", file=FILE, stream=True))


def test_a_cancelled_job_is_a_conflict(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    with client_of(make_app(service, sync_limit_seconds=0.3), retries=2) as client:
        key = {"Idempotency-Key": "mine"}
        with pytest.raises(openai.InternalServerError, match="SYNC_LIMIT_SECONDS"):
            client.audio.transcriptions.create(model="base", file=FILE, extra_headers=key)
        service.commands.cancel(jobs(service)[0])
        with pytest.raises(openai.ConflictError):
            client.audio.transcriptions.create(model="base", file=FILE, extra_headers=key)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (429, openai.RateLimitError),
    ],
)
def test_an_error_of_the_middleware_reaches_the_client(
    tmp_path: Path, status: int, kind: type[openai.APIStatusError]
) -> None:
    def gate() -> None:
        raise HTTPException(status, "Not now.", {"Retry-After": "3"})

    app = make_app(make_service(tmp_path))
    app.router.routes.clear()
    app.include_router(router, dependencies=[Depends(gate)])
    with client_of(app) as client, pytest.raises(kind, match="Not now") as raised:
        client.models.list()
    assert raised.value.response.headers["retry-after"] == "3"


# -- trying again ------------------------------------------------------------------------------


def test_retries_with_a_key_join_one_job(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    with client_of(make_app(service)) as client:
        key = {"Idempotency-Key": "mine"}
        with pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=0.7).audio.transcriptions.create(
                model="base", file=FILE, extra_headers=key
            )
        first = jobs(service)
        with at_work(service):
            found = client.with_options(timeout=0.7, max_retries=6).audio.transcriptions.create(
                model="base", file=FILE, extra_headers=key
            )
    assert (found.text, jobs(service)) == (TEXT, first)


def test_retries_without_a_key_cancel_earlier_jobs(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    with client_of(make_app(service)) as client:
        with pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=0.7, max_retries=1).audio.transcriptions.create(
                model="base", file=FILE
            )
        assert eventually(lambda: jobs(service) == [])


# -- keys --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scopes", "revoked", "kind", "code"),
    [
        (("admin",), False, openai.PermissionDeniedError, "scope_missing"),
        (("submit",), False, openai.PermissionDeniedError, "scope_missing"),
        (("submit", "read"), True, openai.AuthenticationError, "invalid_api_key"),
        (None, False, openai.AuthenticationError, "invalid_api_key"),
    ],
)
def test_a_key_without_the_scope_raises_the_clients_error(
    tmp_path: Path,
    scopes: tuple[Scope, ...] | None,
    revoked: bool,
    kind: type[openai.APIStatusError],
    code: str,
) -> None:
    app = make_app(make_service(tmp_path), auth_mode="required")
    keyring = app.state.auth.keyring
    made = keyring.create("test", "", scopes, None) if scopes else None
    if made and revoked:
        keyring.revoke(made.key.id)
    with client_of(app) as client:
        mine = client.with_options(api_key=made.token if made else "sk-wrong")
        with pytest.raises(kind) as raised:
            mine.audio.transcriptions.create(model="base", file=("a.wav", bytes(8 << 20)))
    assert raised.value.code == code


def test_a_valid_key_is_accepted(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    app = make_app(service, auth_mode="required")
    made = app.state.auth.keyring.create("test", "acme", ("submit", "read"), None)
    with at_work(service), client_of(app) as client:
        mine = client.with_options(api_key=made.token)
        assert mine.models.list().data
        assert mine.audio.transcriptions.create(model="base", file=FILE).text == TEXT
    assert [job.tenant for job in service.queries.page(JobQuery())] == ["acme"]
