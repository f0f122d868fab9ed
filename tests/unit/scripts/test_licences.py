"""Nothing that we install is under the AGPL, or for some uses only."""

import pytest

from scripts.licences import declared, is_allowed, locked_here, refused


@pytest.mark.parametrize("lock", ["build", "runtime", "test"])
def test_every_locked_package_may_be_shipped(lock: str) -> None:
    assert locked_here(lock)
    assert list(refused(lock)) == []


@pytest.mark.parametrize(
    "licence",
    ["MIT", "Apache-2.0 OR BSD-2-Clause", "BSD License", "MPL-2.0 AND MIT", "LGPL-3.0-or-later"],
)
def test_a_permissive_licence_is_allowed(licence: str) -> None:
    assert is_allowed(licence)


@pytest.mark.parametrize(
    "licence",
    [
        "",
        "UNKNOWN",
        "AGPL-3.0-or-later",
        "GNU Affero General Public License v3",
        "GNU General Public License v3 (GPLv3)",
        "GPL-2.0-only",
        "CC-BY-NC-4.0",
        "MIT, non-commercial use only",
        "BUSL-1.1",
        "Other/Proprietary License",
    ],
)
def test_a_restrictive_licence_is_refused(licence: str) -> None:
    assert not is_allowed(licence)


def test_a_licence_is_found_wherever_a_package_names_it() -> None:
    assert declared("httpx").startswith("BSD")
    assert declared("celery") == "BSD-3-Clause"
    assert declared("pydantic") == "MIT"
