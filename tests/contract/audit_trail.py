"""The contract of AuditTrail; a test module per adapter inherits it and provides `trail`."""

import itertools

import pytest

from meet_transcriber.core.auth import AuditEntry, AuditQuery
from meet_transcriber.core.errors import InvalidOptions
from meet_transcriber.ports.auth import AuditTrail


def entry(at: float, action: str = "read", **fields: object) -> AuditEntry:
    """An entry of the log."""
    return AuditEntry(at, action, **fields)  # type: ignore[arg-type]


class AuditTrailContract:
    """Entries are complete, the latest first."""

    def test_what_was_appended_is_read(self, trail: AuditTrail) -> None:
        whole = entry(1.5, "submit", key="aa", tenant="acme", job="j", target="t", status=202,
                      address="::1", request_id="r", name="Sitzung \n会议.mp3")  # fmt: skip
        trail.append(whole)
        assert list(trail.read_page(AuditQuery()).entries) == [whole]

    def test_entries_that_are_written_together_keep_their_order(self, trail: AuditTrail) -> None:
        trail.append(*(entry(float(number)) for number in range(3)))
        assert [each.at for each in trail.read_page(AuditQuery()).entries] == [2, 1, 0]

    def test_a_trail_without_entries_is_empty(self, trail: AuditTrail) -> None:
        page = trail.read_page(AuditQuery())
        assert (list(page.entries), page.after) == ([], None)

    def test_pages_lead_through_all_entries_once(self, trail: AuditTrail) -> None:
        for number in range(7):
            trail.append(entry(float(number)))
        seen, query = list[float](), AuditQuery(limit=3)
        for _ in itertools.count():
            page = trail.read_page(query)
            seen += [each.at for each in page.entries]
            if page.after is None:
                break
            query = AuditQuery(limit=3, after=page.after)
        assert seen == [6, 5, 4, 3, 2, 1, 0]

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            (AuditQuery(action="delete"), [3]),
            (AuditQuery(key="aa"), [2, 1]),
            (AuditQuery(tenant=""), [3]),
            (AuditQuery(job="j"), [2]),
            (AuditQuery(since=2, until=3), [2]),
        ],
    )
    def test_entries_are_filtered(
        self, trail: AuditTrail, query: AuditQuery, found: list[float]
    ) -> None:
        trail.append(entry(1, key="aa", tenant="acme"))
        trail.append(entry(2, key="aa", tenant="acme", job="j"))
        trail.append(entry(3, "delete"))
        assert [each.at for each in trail.read_page(query).entries] == found

    @pytest.mark.parametrize("cursor", ["x", "-1", "9" * 40, "1-x", "٣"])
    def test_an_invalid_cursor_is_refused(self, trail: AuditTrail, cursor: str) -> None:
        trail.append(entry(1))
        with pytest.raises(InvalidOptions, match="after"):
            trail.read_page(AuditQuery(after=cursor))
