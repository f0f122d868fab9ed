"""The models that clients see."""

from pathlib import Path

import pytest

from meet_transcriber.api.openai.models import ALIASES, Catalogue
from tests.unit.api.openai.app_fixture import call, make_app, settings
from tests.unit.api.service_fixture import make_service


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
    found = Catalogue(settings(whisper_model=model), 0)
    assert found.entry("legal")["id"] == "legal"
    assert "srv" not in str(found.listing())
