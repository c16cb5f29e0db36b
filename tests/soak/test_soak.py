"""A soak stands only if it could have found what grows."""

import pytest

from tests.soak.soak import MEMORY_KIB, Outcome, Sample


def outcome(kib_per_minute: float, judged_from: float | None) -> Outcome:
    """Ten minutes of samples, of which some are judged."""
    samples = [
        Sample(
            at=at,
            pid=1,
            memory_kib=50_000 + round(kib_per_minute * at / 60),
            descriptors=20,
            sessions=8,
            pins=24,
        )
        for at in range(0, 600, 5)
    ]
    return Outcome(samples=samples, judged_from=judged_from)


@pytest.mark.parametrize("judged_from", [None, 595.0], ids=["never full", "full at the very end"])
def test_growth_that_was_not_judged_is_a_problem(judged_from: float | None) -> None:
    unjudged = ["memory: growth was not judged", "descriptors: growth was not judged"]
    assert outcome(0, judged_from).problems == unjudged


def test_growth_that_was_judged_is_one_if_it_is_too_fast() -> None:
    assert outcome(0, 200.0).problems == []
    (problem,) = outcome(2 * MEMORY_KIB, 200.0).problems
    assert problem.startswith("memory: ")
