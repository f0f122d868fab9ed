"""A real Redis and a real API, started as the manifests say, on this machine."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.deploy.kubernetes.rendered import Object, containers, one, overlay, secrets
from tests.redis_server import free_port
from tests.simulated.system import System, wait_for


@contextmanager
def api(system: System, **more: object) -> Iterator[httpx.Client]:
    """The API of an installation, by the command of its manifest, and a client of it."""
    (command,) = [x["command"] for name, x in containers(overlay("base")) if name == "api"]
    port = free_port()
    words = ["127.0.0.1" if word == "0.0.0.0" else word for word in command[1:]]
    process = system.start("-m", "meet_transcriber", *words, more={"API_PORT": port, **more})
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        try:
            wait_for(lambda: answers(client))
            yield client
        finally:
            process.terminate()
            process.wait(60)


def answers(client: httpx.Client) -> bool:
    """Whether the process listens."""
    try:
        return client.get("/health").is_success
    except httpx.TransportError:
        return False


@contextmanager
def redis(folder: Path, password: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The Redis of redis.yaml: its own command and configuration, with folders of `folder`."""
    (config,) = one(overlay("base"), "ConfigMap", "redis-config")["data"].values()
    (container,) = [x for name, x in containers(overlay("base")) if name == "redis"]
    places = {x["mountPath"]: folder / x["name"] for x in container["volumeMounts"]}
    for place in places.values():
        place.mkdir(parents=True)
    here = str(folder / "socket")
    told = f"{config}\nport 0\nunixsocket {here}\n"
    (places["/etc/redis"] / "redis.conf").write_text(moved(told, {"/data": places["/data"]}))
    (places["/run/secrets/redis"] / "REDIS_PASSWORD").write_text(password)
    process = subprocess.Popen([moved(word, places) for word in container["command"]])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def moved(text: str, places: dict[str, Path]) -> str:
    """A text with each path of a container replaced by where it is here."""
    for there, here in places.items():
        text = re.sub(rf"(?<![\w/]){there}(?=[/\s]|$)", str(here), text)
    return text


def keys() -> tuple[str, dict[str, str]]:
    """API_KEYS as secrets.sh makes them, and the headers with which KEDA asks."""
    made: list[Object] = secrets()
    known = one(made, "Secret", "meet-transcriber-secrets")["stringData"]["API_KEYS"]
    token = one(made, "Secret", "meet-transcriber-monitor")["stringData"]["API_KEY"]
    return known, {"Authorization": f"Bearer {token}"}
