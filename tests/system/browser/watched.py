"""Watched pages: console errors, failed requests and requests to other hosts fail a test."""

import os
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response

PATIENCE_MS = 30_000
WIDE, NARROW = 1440, 390
SMALLEST = 320  # WCAG 2.2, 1.4.10: 1280 pixels at 400 %
_AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


class Watched:
    """A browser context that records errors of its pages; `close` raises them."""

    def __init__(self, chromium: Browser, url: str, dark: bool, width: int) -> None:
        self.url = url
        self.troubles: list[str] = []
        self._allowed = [
            "/events",
            r"503.*/health/ready",
        ]  # readiness answers 503 with a report
        self.context: BrowserContext = chromium.new_context(
            base_url=url,
            color_scheme="dark" if dark else "light",
            viewport={"width": width, "height": 900 if width == WIDE else 844},
            has_touch=width != WIDE,
            reduced_motion="reduce",
            permissions=["microphone"],
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.context.on("page", self._watch)

    def page(self, path: str = "/") -> Page:
        """A new tab."""
        page = self.context.new_page()
        page.goto(path)
        return page

    def allow(self, pattern: str) -> None:
        """Ignore errors that match, because the test causes them."""
        self._allowed.append(pattern)

    def close(self) -> None:
        """Close the context; fails if there were errors."""
        self.context.close()
        found = [each for each in self.troubles if not self._is_allowed(each)]
        assert not found, "\n".join(found)

    def _is_allowed(self, trouble: str) -> bool:
        return any(re.search(pattern, trouble) for pattern in self._allowed)

    def _watch(self, page: Page) -> None:
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))
        page.on("request", self._asked)
        page.on("response", self._answered)

    def _heard(self, message: ConsoleMessage) -> None:
        # violations of the content security policy are logged here, too
        if message.type in {"error", "warning"}:
            self.troubles.append(f"{message.type}: {message.text} {message.location['url']}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((f"{self.url}/", "blob:", "data:")):
            self.troubles.append(f"another host: {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 500:
            self.troubles.append(f"{response.status} {response.url}")


def violations(page: Page) -> list[str]:
    """Violations that axe-core finds in the current view, of any impact."""
    page.locator("h1").first.wait_for(state="attached")  # of every view, once it is there
    page.evaluate(_AXE)
    result: dict[str, Any] = page.evaluate(
        "() => axe.run({runOnly: ['wcag2a','wcag2aa','wcag21a','wcag21aa','wcag22aa',"
        "'best-practice']})"
    )
    return [
        f"{each['id']} ({each['impact']}): {node['html'][:160]} - {node['failureSummary'][:300]}"
        for each in result["violations"]
        for node in each["nodes"]
    ]


def no_violations(page: Page) -> None:
    """Fail if axe-core finds violations."""
    found = violations(page)
    assert not found, "\n".join(found)


def shot(page: Page, name: str, folder: Path) -> Path:
    """Take a screenshot, in the folder SCREENSHOTS or the given one."""
    folder = Path(os.environ.get("SCREENSHOTS") or folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    page.screenshot(path=path)
    return path
