"""A browser, and servers with Whisper base and with simulated engines."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.integration.api.serving import Server
from tests.integration.hearing import BASE
from tests.simulated.system import System
from tests.system.browser.watched import PATIENCE_MS, WIDE, Watched, shot

Browse = Callable[..., Watched]
Shoot = Callable[[Page, str], Path]

_FLAGS = [
    "--no-sandbox",  # CI is root in a container
    "--disable-dev-shm-usage",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
QUICK = {"LOG_LEVEL": "ERROR", "RATE_LIMIT": "0", "RATE_LIMIT_SUBMIT": "0"}


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`serve` with Whisper base and without keys."""
    folder = tmp_path_factory.mktemp("server")
    server = serve(folder, **BASE)
    yield server
    server.end()


class Simulated(Server):
    """`serve` beside a worker with simulated engines."""

    def __init__(self, folder: Path, **more: str) -> None:
        self.system = System(folder, **more)
        self.system.worker()
        env = {**self.system.environment, "EMBEDDED_WORKER": "off", **QUICK, **more}
        super().__init__("meet_transcriber", "serve", "--port", "0", env=env)

    def end(self) -> int:
        """End the server, then its worker."""
        code = super().end()
        self.system.__exit__()
        return code


@pytest.fixture
def simulated(tmp_path: Path) -> Iterator[Callable[..., Simulated]]:
    """Starts a service with simulated engines and more environment variables."""
    started: list[Simulated] = []

    def start(**more: str) -> Simulated:
        started.append(Simulated(tmp_path / f"system{len(started)}", **more))
        return started[-1]

    yield start
    for each in started:
        each.end()


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    service = Simulated(tmp_path_factory.mktemp("shared") / "system", OUTBOUND_ALLOW="127.0.0.0/8")
    yield service
    service.end()


@pytest.fixture
def quick(_shared: Simulated) -> Simulated:
    """The shared service with instant engines, without jobs."""
    return emptied(_shared)


def emptied(service: Simulated, key: str = "") -> Simulated:
    """The service without its jobs, so that tests can share it."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(base_url=service.url, headers=headers) as http:
        while found := http.get("/transcribe", params={"limit": 100}).json()["data"]:
            for job in found:
                http.delete(f"/transcribe/{job['job_id']}").raise_for_status()
    return service


def serve(folder: Path, **more: str) -> Server:
    """`meet-transcriber serve` on a free port, its data in a folder."""
    env = {**QUICK, "DATA_DIR": str(folder), **more}
    return Server("meet_transcriber", "serve", "--port", "0", env=env)


@pytest.fixture
def browse(chromium: Browser) -> Iterator[Browse]:
    """Opens a watched browser context at a URL."""
    opened: list[Watched] = []

    def open_at(url: str, dark: bool = False, width: int = WIDE) -> Watched:
        opened.append(Watched(chromium, url, dark, width))
        return opened[-1]

    yield open_at
    for each in opened:
        each.close()


@pytest.fixture
def page(browse: Browse, server: Server) -> Page:
    """The page of the server with Whisper base, wide and light."""
    return browse(server.url).page()


@pytest.fixture
def shoot(tmp_path: Path) -> Shoot:
    """Takes a named screenshot of a page."""
    return lambda page, name: shot(page, name, tmp_path)
