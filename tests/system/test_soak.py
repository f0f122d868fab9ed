"""Jobs whose workers are killed: none is lost, none is done twice."""

from benchmarks.soak import Plan, soak


def test_forty_kills_lose_nothing_and_double_nothing() -> None:
    """`python -m benchmarks.soak` kills a hundred times."""
    outcome = soak(Plan(jobs=80, parts=8, workers=4, kills=40, seconds=0.5))
    assert outcome.kills >= 40
    assert outcome.in_commits >= 13
    assert outcome.bad == {}, outcome.why


def test_hostile_receivers_and_a_bucket_that_deletes_nothing_change_nothing() -> None:
    """More than the hundred jobs that a run of maintenance looks at keep failing it."""
    outcome = soak(Plan(jobs=120, parts=1, workers=3, kills=12, seconds=0.1, hostile=True))
    assert outcome.kills >= 12
    assert outcome.refused > 0
    assert outcome.bad == {}, outcome.why


def test_a_celery_worker_holds_no_more_messages_than_it_has_slots() -> None:
    """`python -m benchmarks.soak --celery` does so with 10,000 tasks."""
    outcome = soak(Plan(jobs=8, parts=37, workers=2, seconds=0.0, celery=True))
    assert outcome.held == 2
    assert outcome.messages >= outcome.tasks == 8 * 40
    assert outcome.bad == {}, outcome.why
