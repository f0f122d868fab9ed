"""
Responsiveness of the page with a long meeting: 40,000 words, six speakers, four hours.

    python -m benchmarks.page [--words 40000] [--hours 4] [--speakers 6] [--rounds 3]

Uses a real server with the meeting in its stores, and Debian's Chromium (`apt-get install
chromium`). Prints how long the server takes to return the transcript, to replace a word everywhere
and to undo that. Then medians over fresh browsers: the time until words are visible, from opening
the address; and the longest task, by the browser's long-task observer, while loading, scrolling,
seeking, playing, finding and editing. Each visit checks that the server has its edits.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx
from playwright.sync_api import Browser, Page, expect, sync_playwright

from meet_transcriber.core.transcript import Transcript
from tests.integration.api.serving import Server
from tests.simulated.meetings import keep, long_meeting
from tests.simulated.system import System

CHROMIUM = "/usr/bin/chromium"
_OBSERVER = """
window.longest = 0;
new PerformanceObserver((list) => {
  for (const task of list.getEntries()) window.longest = Math.max(window.longest, task.duration);
}).observe({ type: "longtask", buffered: true });
"""
_SEEN = """new Promise((done) => {
  const seen = () => requestAnimationFrame(() => done(performance.now()));
  const look = () => (document.querySelector(".segment .w") ? seen() : setTimeout(look, 5));
  look();
})"""
_SCROLL = """(async () => {
  const scroller = document.querySelector(".transcript");
  const frame = () => new Promise(requestAnimationFrame);
  for (let step = 0; step < 120; step += 1) { scroller.scrollTop += 400; await frame(); }
  for (let step = 1; step <= 40; step += 1) {
    scroller.scrollTop = scroller.scrollHeight * ((step * 7) % 40) / 40;
    await frame();
  }
})()"""
_SETTLED = "new Promise((done) => setTimeout(done, 300))"


@contextmanager
def served(folder: Path, transcript: Transcript) -> Iterator[tuple[str, str]]:
    """Serve the meeting; yields its URL in the API and that of its view."""
    with System(folder) as system:
        job_id = keep(system.service.context, transcript)
        env = {**system.environment, "LOG_LEVEL": "ERROR", "AUTH_MODE": "loopback"}
        server = Server("meet_transcriber", "serve", "--port", "0", env=env)
        try:
            yield f"{server.url}/transcribe/{job_id}", f"{server.url}/#/job/{job_id}"
        finally:
            server.end()


def seek(page: Page) -> None:
    """Seek to positions all over the recording."""
    slider = page.get_by_role("slider", name="Position in the recording")
    box = slider.bounding_box()
    assert box is not None
    for share in (0.9, 0.1, 0.5, 0.75, 0.3):
        page.mouse.click(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
        page.get_by_role("button", name="Follow").click(click_count=2)
        page.evaluate(_SETTLED)


def play(page: Page) -> None:
    """Play for two seconds at triple speed."""
    page.get_by_role("combobox", name="Speed").select_option("3")
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_timeout(2000)
    page.get_by_role("button", name="Pause").click()


def find(page: Page) -> None:
    """Search for a frequent word."""
    page.get_by_role("button", name="Find", exact=True).click()
    page.keyboard.type("thursday", delay=30)
    for _ in range(5):
        page.keyboard.press("Enter")
    page.keyboard.press("Escape")


def edit(page: Page) -> None:
    """Write, split, merge and undo in the middle of the transcript."""
    page.locator(".segment .w").nth(40).click()
    for keys in (
        ["e", "End", " and so on", "Enter"],
        ["ArrowRight", "ArrowRight", "s"],
        ["m"],
        ["2"],
        ["u"],
        ["u"],
    ):
        for key in keys:
            page.keyboard.type(key) if key.startswith(" ") else page.keyboard.press(key)
        page.evaluate(_SETTLED)
    expect(page.locator(".save-state")).to_have_text(" · saved", timeout=60_000)


DOINGS: dict[str, Callable[[Page], object]] = {
    "scrolling": lambda page: page.evaluate(_SCROLL),
    "seeking": seek,
    "playing": play,
    "finding": find,
    "editing": edit,
}


def answered(meeting: str) -> dict[str, float]:
    """Return the server's milliseconds by request; the first is uncached."""
    everywhere = {"replace": {"find": "thursday", "with": "Friday"}}
    asked = {
        "transcript, first": ("GET", "/download?format=json", None),
        "transcript, again": ("GET", "/download?format=json", None),
        "replace everywhere": ("PATCH", "/segments", everywhere),
        "transcript, after it": ("GET", "/download?format=json", None),
        "undo": ("POST", "/undo", None),
    }
    figures = {}
    with httpx.Client(timeout=120) as http:
        http.get(f"{meeting}/peaks").raise_for_status()  # warms up routes and stores
        for name, (method, path, body) in asked.items():
            began = time.perf_counter()
            http.request(method, meeting + path, json=body).raise_for_status()
            figures[name] = 1000 * (time.perf_counter() - began)
    return figures


def measured(chromium: Browser, address: str) -> dict[str, float]:
    """Return the milliseconds of one visit by action."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    context.add_init_script(_OBSERVER)
    page = context.new_page()
    page.goto(address)
    figures = {"words seen after": page.evaluate(_SEEN)}
    figures["first paint"] = page.evaluate(
        "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    )
    page.evaluate(_SETTLED)
    figures["longest task, loading"] = page.evaluate("window.longest")
    for name, do in DOINGS.items():
        page.evaluate("window.longest = 0")
        do(page)
        page.evaluate(_SETTLED)
        figures[f"longest task, {name}"] = page.evaluate("window.longest")
    figures["rows in the document"] = page.locator(".segment").count()
    context.close()
    return figures


def show(figures: dict[str, float]) -> None:
    """Print a line for each."""
    for name, figure in figures.items():
        unit = "" if name.startswith("rows") else " ms"
        print(f"  {name:<26}{figure:8.0f}{unit}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--words", type=int, default=40_000)
    parser.add_argument("--hours", type=float, default=4.0)
    parser.add_argument("--speakers", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args()
    transcript = long_meeting(wanted.words, 3600 * wanted.hours, wanted.speakers)
    print(
        f"{wanted.words} words in {len(transcript.segments)} segments, "
        f"{wanted.hours:g} h, {wanted.speakers} speakers"
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder), transcript) as (meeting, address),
        sync_playwright() as playwright,
    ):
        show(answered(meeting))
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        visits = [measured(chromium, address) for _ in range(wanted.rounds + 1)][
            1:
        ]  # the first one is a warm-up
        chromium.close()
    show({name: median(visit[name] for visit in visits) for name in visits[0]})


if __name__ == "__main__":
    main()
