"""Schemathesis over the API's own OpenAPI document, on a real server with jobs in every state."""

import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis

from meet_transcriber.auth.encryption import MonocypherSealer
from meet_transcriber.core.voices import Consent
from meet_transcriber.service import Service
from scripts.http_reference import document
from tests.integration.api.serving import SECRET, Server
from tests.system.jobs_by_state import STATES, JobsByState, at_work, ended_soon
from tests.unit.api.service_fixture import make_service, note_worker, wav

SECONDS = 30
KEY = "key-for-every-operation"
BEARER = {"Authorization": f"Bearer {KEY}"}
CONFIG = {
    "seed": 20260,
    "generation": {"max-examples": 40, "no-shrink": True, "deterministic": True},
    "checks": {
        "positive_data_acceptance": {
            # 406 and 412 answer headers, as 404 and 409 answer the state of a job.
            "expected-statuses": ["2xx", "3xx", 404, 406, 409, 412, 416]
        }
    },
}


schemathesis.serializer.alias("application/partial-upload", "application/octet-stream")


class Fuzzed:
    """The API under test, and what it answered to each operation."""

    def __init__(self, service: Service, http: httpx.Client) -> None:
        self.url = str(http.base_url)
        self._http = http
        self.answers: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._service = service
        self._jobs = JobsByState(service)
        self._turns: defaultdict[str, Iterator[str]] = defaultdict(
            lambda: cycle(["completed", *STATES, ""])
        )

    def ask(self, case: Any) -> None:
        """Send a request that is about a job that is there, and look at the answer."""
        name = case.operation.definition.raw["operationId"]
        state = next(self._turns[name])
        if "job_id" in (case.path_parameters or {}) and state:
            case.path_parameters["job_id"] = self._jobs.job(state)
        if case.meta.generation.mode.is_positive:
            make_sense(case, name)
            self._name_keys(case, name)
            self._name_uploads(case)
            self._name_voices(case, name)
        with self._helped(case, name, state):
            response = case.call(base_url=self.url, timeout=SECONDS, headers=self._headers(name))
        self.answers[name][response.status_code] += 1
        case.validate_response(response)

    def _headers(self, name: str) -> dict[str, str]:
        """A key; or for operations on a session, one that has just begun."""
        if name not in {"getSession", "signOut"}:
            return BEARER
        signed_in = self._http.post("/session")
        cookie = f"mt_session={signed_in.cookies['mt_session']}"
        return {"Cookie": cookie, "X-CSRF-Token": signed_in.json()["csrf_token"]}

    def _name_keys(self, case: Any, name: str) -> None:
        """Put in keys that there are."""
        if "key_id" in (case.path_parameters or {}):
            made = self._http.post("/keys", json={"name": "any"}).json()
            case.path_parameters["key_id"] = made["id"]
        if name == "signIn" and isinstance(case.body, dict) and case.body.get("key"):
            case.body["key"] = KEY

    def _name_uploads(self, case: Any) -> None:
        """Put in an upload that is there, and where to go on with it."""
        if isinstance(case.body, dict) and "size_bytes" in case.body:
            case.body["size_bytes"] = int(case.body["size_bytes"]) % 1000 + 1
        if "upload_id" in (case.path_parameters or {}):
            case.path_parameters["upload_id"] = self._service.submissions.create_upload(
                "a.wav", 1000
            ).id
            if "Upload-Offset" in (case.headers or {}):
                case.headers["Upload-Offset"] = "0"

    def _name_voices(self, case: Any, name: str) -> None:
        """Put in people whose voices are known, and a meeting that keeps some."""
        if "voice_id" in (case.path_parameters or {}):
            case.path_parameters["voice_id"] = self._person()
        if name == "mergeVoices" and isinstance(case.body, dict):
            case.body["voice_id"] = self._person()
        if name == "rememberVoice" and isinstance(case.body, dict) and "job_id" in case.body:
            case.body |= {"job_id": self._jobs.job("completed"), "speaker": "SPEAKER_00"}

    def _person(self) -> str:
        voices, job_id = self._service.for_tenant("").voices, self._jobs.job("completed")
        for person in voices.people()[:-1]:
            voices.delete(person.id)
        name = uuid.uuid4().hex
        return voices.remember(job_id, "SPEAKER_00", name, Consent(time.time())).id

    def _helped(self, case: Any, name: str, state: str) -> AbstractContextManager[None]:
        """What has to go on beside a request so that it comes to an end."""
        if name == "getReadiness":
            note_worker(self._service)
        if name in {"createTranscription", "createTranslation"}:
            return at_work(self._service)
        if name == "followTranscription" and state in {"pending", "processing"}:
            return ended_soon(self._service, case.path_parameters["job_id"])
        return nullcontext()


MEANT = {
    "model": "whisper-1",
    "url": "https://media.example/a.mp3",
    "speaker_timeline": '[{"name": "Ann Lee", "start": 0.5, "end": 2.5}]',
}


def _fill(place: dict[str, Any]) -> None:
    """Put in what is there and means something."""
    for key, value in MEANT.items():
        if place.get(key) is not None:
            place[key] = value
    for key in ("webhook_url", "upload", "after"):
        place.pop(key, None)


def make_sense(case: Any, name: str) -> None:
    """Put in what no schema can know: addresses, labels and places that there are."""
    body, path = case.body, case.path_parameters or {}
    if "number" in path:
        path["number"] = int(path["number"]) % 3
    if "model" in path:
        path["model"] = "whisper-1"
    if name == "nameSpeakers":
        case.body = {"SPEAKER_00": next(iter(body.values()))}
    if isinstance(body, dict):
        case.query = {}  # where nothing contradicts the body
    for place in (case.query, body):
        if isinstance(place, dict):
            _fill(place)
    if isinstance(body, dict) and "file" in body:
        body["file"] = wav(0.01)
        body.pop("url", None)


def means_something(_context: Any, failure: Any, case: Any, response: Any) -> bool:
    """
    Whether a failure is one.

    A valid request may still contradict itself or the transcript; then the problem names no
    single option. Of OpenAI's form some fields are refused by name, and keys may be used twice.
    Options in JSON may be written as a form has them, such as "3" or 1 for true.
    """
    match type(failure).__name__:
        case "RejectedPositiveData" if case.path.startswith("/v1/"):
            return response.status_code not in {400, 422}
        case "RejectedPositiveData":
            return bool(response.status_code != 422 or response.json()["errors"])
        case "AcceptedNegativeData" if response.status_code == 202:
            return "Incorrect type" not in failure.message
    return True


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    folder: Path = tmp_path_factory.mktemp("fuzzed")
    server = Server("tests.integration.api.serving", str(folder), "1", KEY)
    with httpx.Client(base_url=server.url, headers=BEARER) as client:
        yield Fuzzed(make_service(folder, sealer=MonocypherSealer(SECRET)), client)
    server.end()


def _conforms(case: Any, fuzzed: Fuzzed) -> None:
    fuzzed.ask(case)


DOCUMENT = document()
API = schemathesis.openapi.from_dict(DOCUMENT, config=schemathesis.Config.from_dict(CONFIG))
API.hook("filter_failure")(means_something)
OPERATIONS = [
    operation["operationId"]
    for path in DOCUMENT["paths"].values()
    for method, operation in path.items()
    if method in {"get", "head", "post", "put", "patch", "delete"}
]
# One function each: pytest-xdist runs only one of the tests that share a name.
for _name in OPERATIONS:
    if _name != "watchTranscriptions":  # it does not end
        _tests = API.include(operation_id=_name).parametrize()(_conforms)
        globals()[f"test_{_name}_answers_as_documented"] = _tests


def test_the_document_is_the_one_that_is_served(fuzzed: Fuzzed) -> None:
    assert httpx.get(f"{fuzzed.url}/openapi.json").json() == document()


def test_nine_of_ten_operations_succeeded_at_least_once(fuzzed: Fuzzed) -> None:
    refused = {
        name: seen for name, seen in fuzzed.answers.items() if all(each >= 300 for each in seen)
    }
    assert set(fuzzed.answers) == {*OPERATIONS} - {"watchTranscriptions"}
    assert len(refused) <= 0.1 * len(OPERATIONS), refused


def test_jobs_in_every_state_were_requested(fuzzed: Fuzzed) -> None:
    assert {200, 404, 409, 202, 422} <= set().union(*fuzzed.answers.values())
