"""Web sites for each test."""

from collections.abc import Iterator

import pytest

from tests.unit.outbound.sites import Site


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


@pytest.fixture
def other_site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()
