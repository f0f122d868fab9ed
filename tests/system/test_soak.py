"""Jobs under fire: killed workers lose nothing and double nothing."""

from benchmarks.soak import Plan, soak


def test_a_hundred_kills_lose_nothing_and_double_nothing() -> None:
    outcome = soak(Plan(jobs=200, parts=8, workers=4, kills=100, seconds=0.5))
    assert outcome.kills >= 100
    assert outcome.in_commits >= 33
    assert (outcome.lost, outcome.doubled, outcome.stuck) == (0, 0, 0), outcome.why
    assert (outcome.orphans, outcome.untold, outcome.told_twice) == (0, 0, 0)
