"""Rules for every test."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

# Suites that test modules inherit show what they compared, too.
pytest.register_assert_rewrite(
    "tests.contract.audit_trail",
    "tests.contract.job_store_contract",
    "tests.contract.key_store_contract",
    "tests.contract.job_store_machine",
    "tests.contract.media_store",
    "tests.contract.media_store_elsewhere",
)

# Real weights, fetched once by the Makefile and kept between runs.
os.environ.setdefault("MODELS_DIR", str(Path(__file__).parents[1] / ".cache" / "models"))

# The host name of starlette's and of our own clients within a process.
os.environ.setdefault("ALLOWED_HOSTS", "testserver")

# Set by the Makefile, where each target brings what its tests need.
FORBID_SKIPS = os.environ.get("FORBID_SKIPS") == "1" or os.environ.get("CI") == "true"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failed one where skips are forbidden."""
    report = yield
    if FORBID_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"Skipped where nothing may be skipped: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn a skipped module into a failed one where skips are forbidden."""
    report = yield
    if FORBID_SKIPS and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"Skipped where nothing may be skipped: {report.longrepr}"
    return report
