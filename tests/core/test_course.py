"""The curve of a session: complete from its beginning to its end, in bounded memory."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspdsr.core.course import POINTS_MAX, REPORT_WAIT_S, Course
from rtspdsr.core.quality import Quality
from tests.core.builders import report


def acknowledged(course: Course, quality: Quality, amount: int, at: float, client_bytes: int = 0) -> None:
    quality.acknowledged(amount, 0, at)
    course.measure(quality, client_bytes, at)


def test_a_point_holds_what_came_since_the_one_before() -> None:
    course, quality = Course(100.0), Quality()

    acknowledged(course, quality, 4_000, at=105.0, client_bytes=300)
    acknowledged(course, quality, 6_000, at=110.0, client_bytes=700)

    assert [(p.begun_at, p.ended_at, p.delivered_bytes, p.client_bytes) for p in course.points()] == [
        (100.0, 105.0, 4_000, 300),
        (105.0, 110.0, 6_000, 400),
    ]
    assert course.last() == list(course.points())[-1]


def test_over_udp_a_point_waits_for_a_report() -> None:
    course, quality = Course(0.0), Quality()
    quality.report(5000, report(highest=100, fraction=0.0), 4.0)
    course.measure(quality, 0, 5.0)
    course.measure(quality, 0, 10.0)
    assert len(list(course.points())) == 1

    quality.report(5000, report(highest=600, fraction=0.125, jitter=90), 11.0)
    course.measure(quality, 0, 15.0)

    last = list(course.points())[-1]
    assert (last.begun_at, last.ended_at, last.delivered_packets) == (5.0, 15.0, 500)
    assert (last.loss, last.jitter) == (0.125, 90)


def test_without_reports_time_goes_on_and_nothing_is_told_of_loss() -> None:
    course, quality = Course(0.0), Quality()
    quality.report(5000, report(highest=100, fraction=0.5), 4.0)
    course.measure(quality, 0, 5.0)

    course.measure(quality, 0, 5.0 + REPORT_WAIT_S)

    first, last = course.points()
    assert (first.loss, last.loss, last.jitter) == (0.5, None, None)


def test_a_restored_session_counts_from_where_it_was() -> None:
    quality = Quality()
    quality.acknowledged(50_000, 0, 10.0)
    course = Course(20.0, quality, client_bytes=900)

    acknowledged(course, quality, 1_000, at=25.0, client_bytes=950)

    (point,) = course.points()
    assert (point.begun_at, point.delivered_bytes, point.client_bytes) == (20.0, 1_000, 50)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=5 * POINTS_MAX))
def test_however_long_it_lasts_nothing_is_lost_but_detail(amounts: list[int]) -> None:
    course, quality = Course(0.0), Quality()
    for number, amount in enumerate(amounts, 1):
        acknowledged(course, quality, amount, at=5.0 * number)

    points = list(course.points())

    assert len(points) <= POINTS_MAX
    assert sum(point.delivered_bytes or 0 for point in points) == sum(amounts)
    assert points[0].begun_at == 0.0
    assert points[-1].ended_at == pytest.approx(5.0 * len(amounts))
    assert all(one.ended_at == other.begun_at for one, other in pairwise(points))


def test_merged_points_keep_the_worst_loss() -> None:
    course, quality = Course(0.0), Quality()
    for number in range(1, POINTS_MAX + 2):
        quality.report(
            5000, report(highest=100 * number, fraction=0.25 if number == 7 else 0.0), number - 0.5
        )
        course.measure(quality, 0, float(number))

    losses = [point.loss for point in course.points()]

    assert len(losses) == POINTS_MAX // 2 + 1
    assert losses.count(0.25) == 1
