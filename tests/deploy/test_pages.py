"""Pages about running the service: blocks are sound, commands exist, platforms say everything."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer
import yaml
from typer.core import TyperGroup

from meet_transcriber.cli import app
from scripts.guide import GUIDE, ROOT
from tests.deploy.pages import FOLDER, PAGES, SHELLS, blocks, prose, simple_commands

EVERY = [block for page in PAGES for block in blocks(page)]
SHELL = [block for block in EVERY if block.language in SHELLS]
PLATFORMS = (
    *("compose", "systemd", "kubernetes", "aws", "google-cloud", "azure", "railway-render"),
)  # fmt: skip
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))


# -- blocks ------------------------------------------------------------------------------------


def _nothing(text: str) -> None:
    """What stands there for people to read."""


CHECKS: dict[str, Callable[[str], Any]] = {
    "json": json.loads,
    "yaml": lambda text: list(yaml.safe_load_all(text)),
    "python": lambda text: compile(text, "page", "exec"),
    "text": _nothing,
    "promql": _nothing,
    **dict.fromkeys(SHELLS, _nothing),  # all of them at once, below
}


def test_every_block_names_its_language_and_parses() -> None:
    for block in EVERY:
        assert block.text, block.id
        CHECKS[block.language](block.text)


def test_every_command_is_sound(tmp_path: Path) -> None:
    files = []
    for block in SHELL:
        assert re.findall(r"<[a-z-]+>", block.text) == [], block.id  # would be a redirection
        files.append(tmp_path / f"{block.id}.sh")
        files[-1].write_text(f"#!/bin/bash\nset -e\n{block.text}")
        parsed = subprocess.run(["bash", "-n", files[-1]], capture_output=True, check=False)
        assert parsed.stderr == b""
    # SC2154: what a page has in capitals is the reader's to set.
    checked = subprocess.run(
        [Path(sys.executable).parent / "shellcheck", "-e", "SC2154", *files],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.stdout == ""


# -- what commands name ------------------------------------------------------------------------


def _ours(words: list[str]) -> list[str]:
    """The words after `meet-transcriber`, where they are a command of ours; else none."""
    if "--" in words:
        words = words[words.index("--") + 1 :]
    elif "exec" in words:  # the service's name comes between
        words = words[words.index("exec") + 2 :]
    return words[1:] if words[:1] == ["meet-transcriber"] else []


def _problems(words: list[str]) -> Iterator[str]:
    """What in the words after `meet-transcriber` does not exist."""
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while isinstance(command, TyperGroup) and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        if name not in command.commands:
            yield f"no command {name}: {words}"
            return
        command = command.commands[name]
    known = {option for each in command.params for option in each.opts} | {"--help"}
    for word in rest:
        option = word.partition("=")[0]
        if option.startswith("--") and option not in known:
            yield f"no option {option}: {words}"


def test_our_own_commands_exist_with_their_options() -> None:
    named = [words for page in PAGES for each in simple_commands(page) if (words := _ours(each))]
    assert len(named) > 30
    assert [problem for words in named for problem in _problems(words)] == []


def test_commands_that_do_not_exist_are_found() -> None:
    assert list(_problems(["queue", "--slip"])) == ["no option --slip: ['queue', '--slip']"]
    assert list(_problems(["slip"])) == ["no command slip: ['slip']"]
    assert list(_problems(["models", "pull", "tiny"])) == []
    assert _ours(["docker", "compose", "exec", "api", "meet-transcriber", "slip"]) == ["slip"]
    assert _ours(["docker", "build", "-t", "meet-transcriber", "."]) == []


VALUED = {"--scale", "--profile", "--tail", "--format", "--since", "--user", "--volume"}
OF_SERVICES = {"exec", "logs", "restart", "stop", "start", "ps", "up", "build", "pull", "run"}


def _named(words: list[str]) -> Iterator[tuple[str, str]]:
    """("service" or "profile", name) of a command of `docker compose`."""
    verb, rest = "", iter(words[2:])
    for word in rest:
        if word in VALUED:
            value = next(rest, "")
            if word == "--profile":
                yield "profile", value
            if word == "--scale":
                yield "service", value.partition("=")[0]
        elif word.startswith("-"):
            continue
        elif not verb:
            verb = word
        elif verb in OF_SERVICES:
            yield "service", word
            if verb in {"exec", "run"}:  # the rest is the container's
                return


def test_services_and_profiles_of_compose_exist() -> None:
    profiles = {x for each in COMPOSE["services"].values() for x in each.get("profiles", ())}
    known = {"service": set(COMPOSE["services"]), "profile": profiles}
    named = [
        found
        for page in PAGES
        for words in simple_commands(page)
        if words[:2] == ["docker", "compose"]
        for found in _named(words)
    ]
    assert [(kind, name) for kind, name in named if name not in known[kind]] == []


def test_a_service_is_found_behind_options() -> None:
    words = ["docker", "compose", "--profile", "gpu", "up", "-d", "--scale", "worker=0", "api"]
    assert list(_named(words)) == [("profile", "gpu"), ("service", "worker"), ("service", "api")]


MADE = re.compile(r"/mine|/secrets\.yaml$")
"""Files that the reader makes."""


def test_every_file_that_a_page_names_exists() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"(?<![\w./-])(?:deploy|docs|scripts|src|tests)/[\w./-]*\w", text))
    named |= set(re.findall(r"(?<![\w./-])(?:railway[\w.]*\.json|render\.yaml)", text))
    known = {x.removesuffix("/NAME") for x in named if not MADE.search(x)}
    assert [x for x in sorted(known) if not (ROOT / x).exists()] == []


def test_every_module_and_target_that_a_page_names_exists() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    makefile = (ROOT / "Makefile").read_text()
    modules = re.findall(r"python -m ((?:benchmarks|scripts)\.\w+)", text)
    modules += [f"benchmarks.{name}" for name in re.findall(r"make bench\s+NAME=(\w+)", text)]
    lost = [x for x in modules if not (ROOT / f"{x.replace('.', '/')}.py").exists()]
    targets = re.findall(r"`make\s+([a-z-]+)", text)
    assert lost + [x for x in targets if not re.search(rf"^{x}:", makefile, re.MULTILINE)] == []


# -- the guide ---------------------------------------------------------------------------------


def _rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the table under a heading."""
    text = (FOLDER / f"{page}.md").read_text(encoding="utf-8")
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def _guides(heading: str) -> list[list[str]]:
    """The cells of the guide's table under a heading."""
    section = GUIDE.read_text(encoding="utf-8").partition(f"### {heading}\n")[2]
    lines = [line for line in section.partition("\n#")[0].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_every_symptom_of_the_guide_has_a_section() -> None:
    common = GUIDE.read_text(encoding="utf-8").partition("### Common Issues")[2]
    symptoms = re.findall(r"(?m)^\*\*(.*):\*\*$", common)
    headings = re.findall(r"(?m)^## (.*)$", prose(FOLDER / "troubleshooting.md"))
    assert symptoms
    assert [x for x in [*symptoms, "Health checks"] if x not in headings] == []


def test_the_guides_instances_hold_what_the_page_says() -> None:
    rows, guides = _rows("sizing", "The guide's instances"), _guides("Resource Requirements")
    an_hour_gb = (128 * 0.45 + 117.2) / 1000
    assert len(rows) == 4
    for (workload, instance, _, _, storage), row in zip(guides, rows, strict=True):
        assert (row[0], row[1]) == (workload, f"`{instance}`, {storage.replace('GB', ' GB')}")
        memory = re.search(r"(\d+) GB", row[2])
        assert memory is not None
        rest = int(memory[1]) - (2 + 0.5 + 0.25)
        hours = (int(storage.removesuffix("GB")) - 20) / an_hour_gb
        assert (int(row[3]), int(row[4])) == (int(max(0, rest) // 8), int(hours))


def test_the_guides_usage_patterns_hold_up_to_the_factor_that_the_page_says() -> None:
    rows = _rows("sizing", "The guide's usage patterns")
    assert [row[:2] for row in rows] == _guides("Right-Sizing")
    for pattern, _, workers, rtf in rows[:3]:
        most = int(re.findall(r"\d+", pattern)[-1])
        needed = most * float(rtf) / (24 * 0.7)
        assert int(workers) - 1 < needed <= int(workers) + 1e-9 < needed * 1.001 + 1e-9
