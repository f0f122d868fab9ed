"""The product's packages can be listed, audited and updated."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.licences import locked_here, refused
from tests.unit.outbound.sites import Answer, Site

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def says(answer: dict[str, Any]) -> Answer:
    body = json.dumps(answer).encode()
    return lambda request: request.send(body, connection="close")


@pytest.fixture
def database() -> Iterator[Site]:
    """An advisory database that knows of nothing."""
    site = Site()
    site.answers["/v1/query"] = says({})
    yield site
    site.close()


def audited(database: Site, *locks: str) -> subprocess.CompletedProcess[str]:
    return run("scripts/audit.sh", *locks, OSV_URL=database.url("/v1/query"))


def test_every_locked_package_is_checked(database: Site) -> None:
    done = audited(database)
    assert (done.returncode, done.stderr) == (0, "")
    assert "No known vulnerabilities" in done.stdout
    asked = {json.loads(seen.body)["package"]["name"] for seen in database.seen}
    assert {*locked_here("runtime"), *locked_here("system"), "torch"} - {"colorama"} <= asked


def test_a_vulnerability_is_named_and_fails(database: Site) -> None:
    found = {
        "id": "OSV-2026-1",
        "summary": "bad",
        "affected": [{"package": {"ecosystem": "PyPI", "name": "cython"}, "ranges": []}],
    }
    database.answers["/v1/query"] = says({"vulns": [found]})
    done = audited(database, "requirements/build.txt")
    assert done.returncode == 1
    assert "OSV-2026-1" in done.stdout
    assert "make lock ARGS=--upgrade" in done.stderr


def test_an_unreachable_database_fails() -> None:
    done = run("scripts/audit.sh", OSV_URL="http://127.0.0.1:9/v1/query")
    assert done.returncode == 2
    assert "cannot be reached, so nothing was checked" in done.stderr


def test_make_audit_checks_every_lock() -> None:
    planned = run("make", "--dry-run", "--no-print-directory", "audit").stdout.splitlines()[-1]
    assert planned.strip().endswith("scripts/audit.sh")


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `make sbom` writes, which is the same each time."""
    made = []
    for _ in range(2):
        done = run("make", "sbom")
        assert done.returncode == 0, done.stderr
        made.append((ROOT / "dist" / "sbom.cdx.json").read_bytes())
    assert made[0] == made[1]
    return dict(json.loads(made[0]))


def test_the_bill_of_materials_names_every_package(bill: dict[str, Any]) -> None:
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == (
        "CycloneDX",
        "meet-transcriber",
    )
    assert set(locked_here("runtime")) <= {each["name"] for each in bill["components"]}


def test_the_bill_of_materials_has_hashes_and_no_time(bill: dict[str, Any]) -> None:
    references = [each["externalReferences"] for each in bill["components"]]
    assert all(reference[0]["hashes"] for reference in references)
    assert "timestamp" not in bill["metadata"]
    assert "serialNumber" not in bill


def test_the_configuration_of_updates_follows_its_schema() -> None:
    done = run(
        "check-jsonschema", "--builtin-schema", "vendor.dependabot", ".github/dependabot.yml"
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("lock", ["audit", "managers", "system"])
def test_every_locked_package_may_be_shipped(lock: str) -> None:
    assert list(refused(lock)) == []
