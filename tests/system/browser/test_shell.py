"""The frame of every view."""

from playwright.sync_api import Page, expect

from tests.system.browser.watching import no_violations


def test_the_page_opens_with_the_meetings(page: Page) -> None:
    expect(page.get_by_role("heading", name="Meetings", level=1)).to_be_visible()
    no_violations(page)
