"""compose.yaml with the guide's own .env on a real engine, from the first start to the last."""

import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.deploy.engine import (
    MODEL,
    MODELS,
    ROOT,
    SETTINGS,
    Stack,
    answers,
    docker,
    finished,
    submit,
    until,
    weights,
)
from tests.integration.hearing import ONNX

SERVICES = ("redis", "api", "worker", "nginx")
GUIDES_ENV = {
    "HUGGINGFACE_ACCESS_TOKEN": "hf_your_token_here",
    "WHISPER_MODEL": "base",
    "REDIS_URL": "redis://redis:6379/0",
    "LOG_LEVEL": "INFO",
    "LOG_JSON": "true",
    "PRELOAD_MODELS": "true",
}


@pytest.fixture(scope="module")
def stack(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The guide's .env with a smaller model, no pyannote and small parts."""
    settings = {**GUIDES_ENV, **SETTINGS, "PART_SECONDS": "5", "DOMAIN": "meet.example.test"}
    running = Stack(tmp_path_factory.mktemp("stack"), settings)
    try:
        running.up()
        yield running
    finally:
        running.compose("--profile", "tls", "down", "-v", "--timeout", "5")


@pytest.fixture(scope="module")
def key(stack: Stack) -> str:
    made = ("keys", "create", "test", "--scopes", "submit,read,admin")
    return stack.compose("exec", "-T", "api", "meet-transcriber", *made).split()[0]


def _service(name: str) -> dict[str, object]:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    found: dict[str, object] = services[name]
    return found


@pytest.mark.parametrize("profile", ["", "gpu", "tls", "monitoring"])
def test_the_configuration_holds_with_every_profile(profile: str, docker_engine: None) -> None:
    assert docker("compose", "--profile", profile, "config", "--quiet") == ""


def test_every_image_is_ours_or_has_a_version() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    foreign = {
        each["image"] for each in services.values() if "meet-transcriber" not in each["image"]
    }
    assert {image.partition(":")[0] for image in foreign} >= {"redis", "nginx", "certbot/certbot"}
    assert all(":" in image and not image.endswith(":latest") for image in foreign)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_limits_and_no_rights(stack: Stack, service: str) -> None:
    container = stack.container(service)
    host = container["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
    assert int(container["Config"]["User"].split(":")[0]) > 0
    assert container["State"]["Health"]["Status"] == "healthy"


def test_the_model_came_before_the_worker(stack: Stack) -> None:
    fetched, worker = (stack.container(name)["State"] for name in ("models", "worker"))
    assert (fetched["Status"], fetched["ExitCode"]) == ("exited", 0)
    assert fetched["FinishedAt"] < worker["StartedAt"]
    record = stack.compose("exec", "-T", "worker", "cat", f"/models/{MODEL}/manifest.json")
    assert json.loads(record)["source"] in {"the hub", "the package index"}


def test_a_folder_is_copied_into_the_volume(stack: Stack) -> None:
    """As docs/deployment/compose.md has it for a machine without a network."""
    stack.compose("exec", "-T", "worker", "rm", "-r", *(f"/models/{name}" for name in MODELS))
    copied = ("--volume", f"{weights().parent}:/copied:ro")
    folders = [f"/copied/{name}" for name in MODELS]
    stack.compose("run", "--rm", *copied, "models", "cp", "-r", *folders, "/models")
    for name in MODELS:
        checked = stack.compose(
            "run", "--rm", "models", "meet-transcriber", "models", "check", name
        )
        assert checked.endswith("works.")


def test_only_the_proxy_is_published_and_the_api_on_this_machine(stack: Stack) -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    published = {name: each["ports"] for name, each in services.items() if "ports" in each}
    assert set(published) == {"api", "nginx", "prometheus", "alertmanager", "grafana"}
    local = [port for name, ports in published.items() if name != "nginx" for port in ports]
    assert all(port.startswith("127.0.0.1:") for port in local)
    assert not stack.container("redis")["HostConfig"]["PortBindings"]
    assert answers(f"http://127.0.0.1:{stack.api_port}/health")


def test_redis_has_a_password_of_its_own_and_loses_nothing(stack: Stack) -> None:
    refused = stack.compose("exec", "-T", "redis", "redis-cli", "ping")
    assert "NOAUTH" in refused
    script = "export REDISCLI_AUTH=$(cat /secrets/REDIS_PASSWORD); "
    script += "for s in appendonly appendfsync maxmemory-policy; do redis-cli config get $s; done"
    said = stack.compose("exec", "-T", "redis", "sh", "-c", script).split()
    assert said == ["appendonly", "yes", "appendfsync", "always", "maxmemory-policy", "noeviction"]


def test_a_recording_becomes_a_transcript_through_the_proxy(
    stack: Stack, key: str, recording: Path
) -> None:
    with stack.client(key) as client:
        job = finished(client, submit(client, recording))
    assert job["status"] == "completed"
    assert MODEL in job["engine"]
    assert job["diarizer"] == ONNX
    assert "budget" in _said(job).lower()
    assert len(job["transcript"]["segments"]) >= 2


def _said(job: dict[str, Any]) -> str:
    segments = job["transcript"]["segments"]
    return " ".join(word["text"].strip() for each in segments for word in each["words"])


def test_without_a_key_nobody_comes_in(stack: Stack) -> None:
    with stack.client() as client:
        assert client.get("/transcribe").status_code == 401


def test_the_address_of_a_client_comes_through_the_proxy(
    stack: Stack, key: str, recording: Path
) -> None:
    """And one that a client makes up does not."""
    with stack.client(key) as client:
        client.get("/keys", headers={"X-Forwarded-For": "203.0.113.7"})
        submit(client, recording)
        told = client.get("/audit").text
    networks = stack.container("nginx")["NetworkSettings"]["Networks"].values()
    gateways = {network["Gateway"] for network in networks}
    assert "203.0.113.7" not in told
    assert any(gateway in told for gateway in gateways), (gateways, told)


def test_a_worker_that_is_killed_in_mid_job_loses_nothing(
    stack: Stack, key: str, recording: Path
) -> None:
    with stack.client(key) as client:
        whole = finished(client, submit(client, recording))
        job = submit(client, recording)
        until("the job's work", lambda: client.get(job).json()["progress"] > 5.0)
        before = stack.identity("worker")
        docker("kill", before)
        assert client.get(job).json()["status"] == "processing"  # nobody else is there
        docker("start", before)
        ended = finished(client, job)
    assert ended["status"] == "completed", ended["error"]
    assert _said(ended) == _said(whole)


def test_down_and_up_keep_jobs_keys_and_the_password(
    stack: Stack, key: str, recording: Path
) -> None:
    with stack.client(key) as client:
        before = [job["job_id"] for job in client.get("/transcribe").json()["data"]]
    stack.compose("down", "--timeout", "30")
    stack.up()
    with stack.client(key) as client:
        after = client.get("/transcribe").json()["data"]
        audio = client.get(f"/transcribe/{before[0]}/audio")
    assert [job["job_id"] for job in after] == before != []
    assert audio.status_code == 200
    assert audio.content == recording.read_bytes()


def test_a_certificate_turns_https_on_without_a_restart(stack: Stack, tmp_path: Path) -> None:
    """What certbot of the profile `tls` leaves in the volume, here made by openssl."""
    live = "/certificates/live/meet.example.test"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=meet.example.test",
         "-addext", "subjectAltName=DNS:meet.example.test,IP:127.0.0.1",
         "-keyout", "privkey.pem", "-out", "fullchain.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    for name in ("privkey.pem", "fullchain.pem"):
        text = (tmp_path / name).read_text()
        script = f"mkdir -p {live} && printf '%s' '{text}' >{live}/{name}"
        stack.compose("exec", "-T", "nginx", "sh", "-c", script)
    address = f"https://127.0.0.1:{stack.tls_port}/health"

    def secure() -> httpx.Response | None:
        try:
            trust = ssl.create_default_context(cafile=str(tmp_path / "fullchain.pem"))
            return httpx.get(address, verify=trust, timeout=5)
        except httpx.TransportError:
            return None

    answer = until("HTTPS", secure, 60)
    assert answer.json() == {"status": "ok"}
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    # the worker of nginx that was there before may answer for a moment
    with stack.client() as client:
        led = until(
            "HTTP that leads there", lambda: client.get("/transcribe").headers.get("Location")
        )
    assert led.startswith("https://meet.example.test")


def test_a_model_that_cannot_be_had_stops_no_service(stack: Stack, key: str) -> None:
    """And /health/ready says so; `up` with --wait would tell it by its exit status."""
    stack.set("WHISPER_MODEL", "nobody/has-this-model")
    stack.compose("up", "-d", "--no-build")
    assert stack.container("models")["State"]["ExitCode"] == 4

    def told() -> str:
        try:
            with stack.client(key, stack.api_port) as client:
                answer = client.get("/health/ready")
        except httpx.TransportError:
            return ""
        text = answer.text
        return text if answer.status_code == 503 and "has-this-model" in text else ""

    assert "Only the hub has it" in until("what is missing", told)
