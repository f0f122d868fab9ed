"""Secrets are shown by nothing that settings can be turned into, and by no error."""

import logging
import pickle
import traceback
from pathlib import Path

import pytest

from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.settings import Settings, redis_address
from tests.unit.settings.canaries import canary, environment, leaked, secret_settings, value_of
from tests.unit.settings.child import load

SECRET_WORDS = ("token", "secret", "password", "key", "credential")


def settings() -> Settings:
    values = {name: value_of(name) for name in secret_settings()}
    return Settings.model_validate(values)


def test_a_canary_is_found_where_it_is() -> None:
    shown = pickle.dumps({name: value_of(name) for name in secret_settings()}).decode("latin-1")
    assert leaked(shown) == secret_settings()
    assert {"huggingface_access_token", "redis_url", "webhook_secret"} <= set(secret_settings())


@pytest.mark.parametrize("show", [repr, str, Settings.model_dump_json, "{0!r} {0}".format, vars])
def test_settings_that_are_shown_hide_secrets(show: object) -> None:
    assert callable(show)
    assert leaked(str(show(settings()))) == []


def test_a_log_line_with_settings_hides_secrets(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("meet_transcriber").debug("%s %r", settings(), settings())
    assert caplog.text
    assert leaked(caplog.text) == []


def test_every_setting_named_like_a_secret_is_one() -> None:
    sounding = {name for name in Settings.model_fields if name.endswith(SECRET_WORDS)}
    assert sounding <= set(secret_settings())


@pytest.mark.parametrize("setting", ["API_PORT", "LOG_LEVEL", "SECRETS_FROM", "LEASE_SECONDS"])
def test_a_secret_in_the_wrong_variable_is_not_repeated(tmp_path: Path, setting: str) -> None:
    error = load(tmp_path, **{setting: canary("redis_password")}).error
    assert error.startswith(f"error: {setting} is not usable: ")
    assert leaked(error) == []


def test_the_whole_trace_of_a_wrong_setting_hides_it() -> None:
    with pytest.raises(ValueError, match="api_port") as caught:
        Settings.model_validate({**settings().model_dump(), "api_port": canary("redis_url")})
    assert leaked("".join(traceback.format_exception(caught.value))) == []


@pytest.mark.parametrize(
    "url", ["redis://:{}@host:99999999", "http://:{}@host", "{}", "redis://{}@["]
)
def test_a_malformed_redis_address_is_not_repeated(url: str) -> None:
    wrong = Settings(_env_file=None, redis_url=url.format(canary("redis_url")))
    with pytest.raises(InvalidOptions) as caught:
        redis_address(wrong)
    assert leaked(str(caught.value)) == []


def test_what_settings_become_hides_secrets() -> None:
    address = redis_address(settings())
    assert address is not None
    assert leaked(repr(address)) == []


def test_the_secrets_that_are_set_are_named() -> None:
    assert settings().secrets_that_are_set == tuple(environment())
    assert Settings.model_construct().secrets_that_are_set == ()
