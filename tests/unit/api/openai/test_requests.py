"""Fields are read strictly: each is honoured or refused by name, none is passed over."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_transcriber.api.openai.errors import ApiError
from meet_transcriber.api.openai.requests import (
    ALIASES,
    FIELDS,
    FORMATS,
    ModelCatalogue,
    TranscriptionRequest,
    TranslationForm,
    parse_form,
    read_request,
    validate_number,
)
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.core.options import Options, Task
from tests.unit.api.openai.app_fixture import call, make_app
from tests.unit.api.openai.app_fixture import settings as installed
from tests.unit.api.service_fixture import make_service

CATALOGUE = ModelCatalogue(installed(), 0)


def asked(
    *sent: tuple[str, str], task: Task = "transcribe", **changed: object
) -> TranscriptionRequest:
    return read_request([("model", "whisper-1"), *sent], task, CATALOGUE, installed(**changed))


def complaint(*sent: tuple[str, str], task: Task = "transcribe", **changed: object) -> ApiError:
    with pytest.raises(ApiError) as raised:
        asked(*sent, task=task, **changed)
    return raised.value


def test_without_fields_there_is_plain_json_without_speakers() -> None:
    assert asked() == TranscriptionRequest(Options(enable_diarization=False))


@pytest.mark.parametrize("name", ["languages", "languages[]", "languages[0]"])
def test_arrays_are_accepted_in_every_spelling(name: str) -> None:
    found = asked((name, "en"), ("languages[]", "de"))
    assert found.options.languages == ("en", "de")


def test_expected_words_come_from_keywords_and_hotwords() -> None:
    found = asked(("keywords[]", "Quokka, Inc."), ("hotwords", "Ann Lee, Bo"))
    assert found.options.hotwords == ("Quokka, Inc.", "Ann Lee", "Bo")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("english", "en"),
        ("pt-BR", "pt"),
        ("zh-TW", "zh-Hant"),
        ("iw", "he"),
        ("zh-Hans", "zh-Hans"),
    ],
)
def test_a_language_is_taken_by_its_name_its_region_and_its_old_code(sent: str, code: str) -> None:
    assert asked(("language", sent)).options.language == code


def test_language_and_prompt_go_to_the_engine() -> None:
    options = asked(("language", "DE"), ("prompt", "Minutes.")).options
    assert (options.language, options.initial_prompt) == ("de", "Minutes.")


def test_diarized_json_looks_for_speakers_with_the_hints_given() -> None:
    options = asked(("response_format", "diarized_json"), ("expected_speakers", "3")).options
    assert (options.enable_diarization, options.num_speakers) == (True, 3)


def test_the_operators_hints_count_where_the_request_has_none() -> None:
    form = ("response_format", "diarized_json")
    assert asked(form, min_speakers=2).options.min_speakers == 2
    assert asked(form, ("num_speakers", "1"), min_speakers=2).options.min_speakers is None


@pytest.mark.parametrize(
    ("sent", "words", "segments"),
    [([], False, True), (["word"], True, False), (["word", "segment"], True, True)],
)
def test_granularities_choose_what_has_times(sent: list[str], words: bool, segments: bool) -> None:
    pairs = [("timestamp_granularities[]", each) for each in sent]
    found = asked(("response_format", "verbose_json"), *pairs)
    assert (found.words, found.segments) == (words, segments)


@pytest.mark.parametrize(
    "sent",
    [
        [("chunking_strategy", "auto")],
        [("chunking_strategy[type]", "server_vad")],
        [("chunking_strategy", '{"type": "server_vad", "threshold": 0.5}')],
        [("chunking_strategy[type]", "server_vad"), ("chunking_strategy[threshold]", "0.50")],
        [("chunking_strategy", "")],
    ],
)
def test_default_chunking_is_accepted(sent: list[tuple[str, str]]) -> None:
    assert asked(*sent) == asked()


def test_an_ignored_temperature_is_reported() -> None:
    assert asked(("temperature", "0")).notes == ()
    assert [note.code for note in asked(("temperature", "0.7")).notes] == ["temperature_ignored"]


@pytest.mark.parametrize(
    ("param", "sent"),
    [
        ("frobnicate", [("frobnicate", "1")]),
        ("language[]", [("language[]", "en")]),
        ("languages[x]", [("languages[x]", "en")]),
        ("language", [("language", "en"), ("language", "de")]),
        ("language", [("language", "englsh")]),
        ("languages", [("languages[]", "xx")]),
        ("temperature", [("temperature", "1.01")]),
        ("temperature", [("temperature", "nan")]),
        ("response_format", [("response_format", "docx")]),
        ("timestamp_granularities", [("timestamp_granularities[]", "word")]),
        ("include", [("include[]", "logprobs"), ("response_format", "verbose_json")]),
        ("include", [("include[]", "tokens")]),
        ("stream", [("stream", "yes, please")]),
        ("stream", [("stream", "true"), ("response_format", "srt")]),
        ("chunking_strategy", [("chunking_strategy", "semantic")]),
        ("chunking_strategy", [("chunking_strategy", "[" * 9999)]),
        ("chunking_strategy", [("chunking_strategy[type]", "magic")]),
        ("chunking_strategy", [("chunking_strategy[threshold]", "0.5")]),
        ("known_speaker_names", [("known_speaker_names[]", "Ann")]),
        ("known_speaker_references", [("known_speaker_references[]", "data:audio/wav;base64,A")]),
        ("num_speakers", [("num_speakers", "2")]),
        ("num_speakers", [("num_speakers", "-2"), ("diarization", "true")]),
        ("diarization", [("diarization", "false"), ("response_format", "diarized_json")]),
        ("model", [("model", "gpt-9")]),
    ],
)
def test_an_unsupported_field_is_refused_by_name(param: str, sent: list[tuple[str, str]]) -> None:
    model = [] if param == "model" else [("model", "base")]
    with pytest.raises(ApiError) as raised:
        read_request([*model, *sent], "transcribe", CATALOGUE, installed())
    assert raised.value.param == param
    assert raised.value.status == (404 if param == "model" else 400)


@pytest.mark.parametrize("key", ["threshold", "prefix_padding_ms", "silence_duration_ms", "magic"])
def test_chunking_with_other_thresholds_is_refused(key: str) -> None:
    error = complaint(("chunking_strategy[type]", "server_vad"), (f"chunking_strategy[{key}]", "1"))
    assert error.param == f"chunking_strategy[{key}]"


def test_the_model_must_be_named() -> None:
    with pytest.raises(ApiError, match="model is missing"):
        read_request([], "transcribe", CATALOGUE, installed())


@pytest.mark.parametrize("sent", [("response_format", "diarized_json"), ("diarization", "true")])
def test_speakers_are_refused_without_a_diarizer(sent: tuple[str, str]) -> None:
    error = complaint(sent, diarization_engine="none")
    assert (error.status, error.param) == (400, sent[0])


@pytest.mark.parametrize("name", sorted(FIELDS.keys() - TranslationForm.model_fields.keys()))
def test_translations_refuse_what_they_do_not_know(name: str) -> None:
    assert complaint((name, "true"), task="translate").code == "unknown_parameter"


def test_translations_have_no_speakers_in_json() -> None:
    assert complaint(("response_format", "diarized_json"), task="translate").param
    assert asked(task="translate").options.task == "translate"


names = st.sampled_from([*FIELDS]) | st.text(max_size=20)
spelled = st.tuples(names, st.sampled_from(["", "[]", "[0]", "[type]", "[", "]]"])).map("".join)
values = st.sampled_from([*FORMATS, "true", "0", "1", "auto", "word", "en", "{}", "null", "1e999"])


@given(st.lists(st.tuples(spelled, values | st.text(max_size=30)), max_size=6))
def test_any_form_is_parsed_or_refused(sent: list[tuple[str, str]]) -> None:
    with suppress(ApiError, InvalidOptions):
        assert asked(*sent).form in FORMATS


@given(st.text() | st.floats() | st.none() | st.integers() | st.lists(st.none()))
def test_a_number_lies_in_its_range_or_is_refused(value: object) -> None:
    with suppress(ApiError):
        assert 0.0 <= validate_number("threshold", value, 0.0, 1.0) <= 1.0


def test_an_empty_field_counts_as_absent() -> None:
    form = parse_form([("model", "base"), ("prompt", "  "), ("language", "")])
    assert form.model_fields_set == {"file", "model"}


def test_one_field_in_two_spellings_is_refused() -> None:
    error = complaint(("chunking_strategy", "auto"), ("chunking_strategy[type]", "server_vad"))
    assert error.param == "chunking_strategy"


def test_the_list_begins_with_the_configured_model(tmp_path: Path) -> None:
    body = call(make_app(make_service(tmp_path), whisper_model="small"), "GET", "/v1/models").json()
    assert body["object"] == "list"
    assert [each["id"] for each in body["data"]] == ["small", "whisper-small", *ALIASES]
    assert set(body["data"][0]) == {"id", "object", "created", "owned_by"}


def test_a_model_is_shown_and_an_unknown_one_is_not_found(tmp_path: Path) -> None:
    app = make_app(make_service(tmp_path))
    assert call(app, "GET", "/v1/models/whisper-1").json()["id"] == "whisper-1"
    answer = call(app, "GET", "/v1/models/me/mine")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("model", ["/srv/models/legal/", "me/legal"])
def test_a_folder_or_hub_id_shows_its_last_part_only(model: str) -> None:
    found = ModelCatalogue(installed(whisper_model=model), 0)
    assert found.entry("legal")["id"] == "legal"
    assert "srv" not in str(found.listing())
