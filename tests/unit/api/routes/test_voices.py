"""Voice profiles over HTTP; what becomes of clips is tested with real engines elsewhere."""

from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from meet_transcriber.api.app import create_app
from meet_transcriber.auth.encryption import MonocypherSealer
from meet_transcriber.settings import Settings
from tests.unit.api.service_fixture import make_service


def test_the_media_type_of_a_clip_is_compared_without_case(tmp_path: Path) -> None:
    service = make_service(tmp_path, sealer=MonocypherSealer(b"a secret of the service, long"))
    settings = Settings(auth_mode="open", data_dir=tmp_path, diarization_engine="onnx")
    fields: Any = {"file": ("ann.wav", b"tape"), "name": (None, "Ann"), "consent": (None, "true")}
    with TestClient(create_app(service, settings)) as client:
        request = client.build_request("POST", "/voices", files=fields)
        kind = request.headers["Content-Type"]
        request.headers["Content-Type"] = kind.replace("multipart/form-data", "Multipart/Form-Data")
        assert client.send(request).status_code == 202
