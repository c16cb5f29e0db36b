"""What is known of each backend's deliveries, from whole conversations."""

from rtspdsr.core.delivery import PACKET_BYTES
from tests.core.builders import Control, World, play_tcp, play_udp, report, udp


def test_over_tcp_every_acknowledged_byte_counts_once_whatever_shares_the_connection() -> None:
    world, control = World(), Control(backend_id=3)
    world.feed(*play_tcp(control), *play_tcp(control, session="def"))
    world.hear(control.flow, packets=10, delivered=50_000)
    world.wait(12.0)
    world.hear(control.flow, packets=10, delivered=20_000)
    world.wait(12.0)

    assert world.tracker.deliveries.of(3).acknowledged_bytes == 70_000
    assert world.tracker.deliveries.of(3).bytes == 70_000


def test_over_udp_reports_tell_packets_and_bytes_are_estimated() -> None:
    world, control = World(), Control()
    world.feed(*play_udp(control))
    for highest, lost in ((1000, 2), (1400, 2), (1500, 7)):
        world.hear(udp(5001), report=report(highest, lost=lost, fraction=0.01, jitter=90))
        world.wait(12.0)

    account = world.tracker.deliveries.of(1)
    assert (account.packets, account.lost_packets, account.jitter) == (500, 5, 90.0)
    assert account.bytes == 495 * PACKET_BYTES


def test_a_backend_of_which_nothing_was_heard_has_delivered_nothing() -> None:
    account = World().tracker.deliveries.of(2)
    assert (account.bytes, account.packets, account.jitter) == (0, 0, None)


def test_jitter_follows_the_reports_slowly() -> None:
    world, control = World(), Control()
    world.feed(*play_udp(control))
    for number in range(40):
        world.hear(udp(5001), report=report(1000 + 100 * number, jitter=100 if number < 3 else 300))
        world.wait(6.0)

    jitter = world.tracker.deliveries.of(1).jitter
    assert jitter is not None
    assert 200 < jitter < 300


def test_duplicates_are_no_loss() -> None:
    world, control = World(), Control()
    world.feed(*play_udp(control))
    for highest, lost in ((1000, 0), (1100, -4), (1200, -4)):
        world.hear(udp(5001), report=report(highest, lost=lost))
        world.wait(12.0)

    assert world.tracker.deliveries.of(1).lost_packets == 0


def test_what_reports_say_is_kept_by_size() -> None:
    world, control = World(), Control()
    world.feed(*play_udp(control))
    for highest, fraction, jitter in ((1000, 0.0, 90), (1100, 0.25, 90), (1200, 0.015, 1000)):
        world.hear(udp(5001), report=report(highest, fraction=fraction, jitter=jitter))
        world.wait(12.0)

    account = world.tracker.deliveries.of(1)
    assert (account.losses.total, account.jitters.total) == (0.265, 1090)
    assert [count for _, count in account.losses.cumulated()] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [count for _, count in account.jitters.cumulated()] == [1, 1, 1, 1, 2, 2, 2, 2, 2]


def test_another_backend_with_its_number_begins_with_nothing() -> None:
    world, control = World(), Control(backend_id=3)
    world.feed(*play_tcp(control))
    world.hear(control.flow, packets=10, delivered=50_000)
    world.wait(12.0)
    world.tracker.deliveries.forget(3)
    assert world.tracker.deliveries.of(3).bytes == 0
