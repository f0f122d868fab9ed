"""Lines as they are written: pairs, ids, libraries alike; no speech, no names, no secrets."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from starlette.testclient import TestClient

from meet_transcriber.api.app import create_app
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.observability import logging as logs
from meet_transcriber.service import SubmissionRequest
from meet_transcriber.settings import Settings
from tests.unit.api.service_fixture import make_service, work

log = logs.get_logger("meet_transcriber.test")


class Lines(io.StringIO):
    """What was written as JSON."""

    def all(self, event: str = "") -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self.getvalue().splitlines()]
        return [line for line in found if event in {"", line["event"]}]

    def one(self, event: str) -> dict[str, Any]:
        (line,) = self.all(event)
        return line


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook
    yield
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(False)
    logging.getLogger("multiprocessing").handlers.clear()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("meet_transcriber", "uvicorn", "celery", "botocore", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def lines() -> Lines:
    stream = Lines()
    logs.configure("INFO", as_json=True, stream=stream)
    return stream


def test_a_line_is_an_event_with_its_pairs(lines: Lines) -> None:
    log.info("job_finished", audio_seconds=1812.4, speakers=4, warnings=["a"])
    line = lines.one("job_finished")
    assert (line["level"], line["logger"]) == ("info", "meet_transcriber.test")
    assert (line["audio_seconds"], line["speakers"], line["warnings"]) == (1812.4, 4, ["a"])
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize("level", ["warning", "error", "critical"])
def test_a_failure_is_logged_with_its_exception(lines: Lines, level: str) -> None:
    getattr(log, level)("task_failed", exc_info=ValueError("odd"), code=3)
    line = lines.one("task_failed")
    assert (line["level"], line["code"]) == (level, 3)
    assert line["exception"].endswith("ValueError: odd")


def test_on_a_terminal_the_same_is_text() -> None:
    stream = io.StringIO()
    logs.configure("INFO", stream=stream)
    log.warning("worker_died", code=9)
    (line,) = stream.getvalue().splitlines()
    assert "worker_died" in line
    assert "code=9" in line
    assert "\x1b" not in line


def test_text_is_what_structlog_writes() -> None:
    plain = structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0)
    pairs: dict[str, Any] = {
        "b": "", "a": "two words", "eq": "x=y", "quote": "it's", "lines": "one\ntwo", "no": None,
        "ratio": 0.5, "kinds": ["a", 1], "letter": "\u00fc",
    }  # fmt: skip
    stream = io.StringIO()
    logs.configure("INFO", stream=stream)
    log.warning("worker_died", **pairs)
    line = stream.getvalue().rstrip("\n")
    event = {"event": "worker_died", "level": "warning", "logger": "meet_transcriber.test"}
    assert line == plain(None, "", {**event, "timestamp": line.split()[0], **pairs})


def test_lines_of_servers_look_like_ours(lines: Lines) -> None:
    for name in ("uvicorn.error", "celery.worker", "multiprocessing"):
        logging.getLogger(name).warning("Heard %s", name)
    assert [line["event"] for line in lines.all()] == [
        "Heard uvicorn.error",
        "Heard celery.worker",
        "Heard multiprocessing",
    ]


def test_warnings_and_uncaught_exceptions_are_logged(lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)  # of the filters that are in force here
        warnings.warn("of old", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(False)
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    sys.excepthook(ValueError, ValueError("broken"), None)
    told, *crashes = lines.all()
    assert "DeprecationWarning: of old" in told["event"]
    assert [crash["event"] for crash in crashes] == ["crashed", "crashed"]
    assert "ZeroDivisionError" in crashes[0]["exception"]
    assert "ValueError: broken" in crashes[1]["exception"]


def test_other_libraries_log_warnings_and_errors_only(lines: Lines) -> None:
    logging.getLogger("faster_whisper").info("much")
    logging.getLogger("celery.app.trace").info("Task succeeded")
    logging.getLogger("faster_whisper").warning("little")
    assert [line["event"] for line in lines.all()] == ["little"]


def test_the_log_configuration_of_a_server_is_replaced() -> None:
    own = logging.StreamHandler(io.StringIO())
    for name in ("uvicorn", "uvicorn.access"):
        logging.getLogger(name).addHandler(own)
    logging.getLogger("uvicorn.error").setLevel(logging.INFO)
    stream = Lines()
    logs.configure("INFO", as_json=True, stream=stream)
    logging.getLogger("uvicorn.error").info("ready")
    logging.getLogger("uvicorn.access").info("GET /transcribe?search=secret")
    assert [line["event"] for line in stream.all()] == ["ready"]
    logs.configure("ERROR", as_json=True, stream=stream)
    logging.getLogger("uvicorn.error").info("less")
    assert len(stream.all()) == 1
    assert own.stream.getvalue() == ""


def test_bound_pairs_are_in_every_line_of_the_context(lines: Lines) -> None:
    with logs.bound(job_id="j", request_id="r"):
        log.info("inside")
        logging.getLogger("celery").warning("inside too")
    log.info("outside")
    assert [line.get("job_id") for line in lines.all()] == ["j", "j", None]


def test_a_traceback_shows_no_values_of_variables(lines: Lines) -> None:
    def fails(secret: str) -> None:
        raise ValueError("broken")

    for as_json in (True, False):
        logs.configure("INFO", as_json=as_json, stream=lines)
        try:
            fails("hf_" + "very_secret")
        except ValueError:
            log.exception("engine_broken")
    assert "ValueError: broken" in lines.getvalue()
    assert "hf_very_secret" not in lines.getvalue()


def test_a_request_and_its_job_have_one_rich_line_each(lines: Lines, tmp_path: Path) -> None:
    service = make_service(tmp_path)
    client = TestClient(create_app(service, Settings(auth_mode="open", data_dir=tmp_path)))
    files = {"file": ("secret-merger.wav", b"tape")}
    sent = client.post("/transcribe", files=files, headers={"X-Request-ID": "r1"})
    job_id = sent.json()["job_id"]
    client.get(f"/transcribe/{job_id}?search=words")
    client.get("/health")
    answered = lines.all("request_answered")
    assert [(line["route"], line["status"], line["job_id"]) for line in answered] == [
        ("/transcribe", 202, job_id),
        ("/transcribe/{job_id}", 200, job_id),
    ]
    assert answered[0]["request_id"] == "r1"
    assert "merger" not in lines.getvalue()


def test_a_job_takes_the_id_of_its_request_to_the_worker(lines: Lines, tmp_path: Path) -> None:
    service = make_service(tmp_path)
    with logs.bound(request_id="r2"):
        upload = service.submissions.start_upload("secret-merger.wav")
        upload.write(b"tape")
        job = upload.finish(SubmissionRequest())
    work(service)
    line = lines.one("job_finished")
    assert (line["job_id"], line["state"], line["speakers"]) == (job.id, "completed", 2)
    assert (line["audio_seconds"], line["engine"], line["attempts"]) == (60.0, "fake-recognizer", 5)
    assert {each["task"] for each in lines.all("task_ended")} == {
        "prepare", "recognize:0", "recognize:1", "diarize", "attribute",
    }  # fmt: skip
    assert {each["request_id"] for each in lines.all()} == {"r2"}
    assert "merger" not in lines.getvalue()
    assert "word0" not in lines.getvalue()


def test_cloudwatch_without_its_package_or_region_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(InvalidOptions, match=r"AWS_REGION|meet-transcriber\[cloudwatch\]"):
        logs.configure("INFO", cloudwatch_group="meet-transcriber")
