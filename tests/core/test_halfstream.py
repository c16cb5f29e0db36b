"""The half-stream: a table of what networks do, and models of any order, repetition, loss and lie."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspdsr.core.halfstream import (
    HISTORY_MAX,
    HISTORY_S,
    PIECE_COST,
    WINDOW,
    Conflict,
    Data,
    Delivery,
    Finished,
    Gap,
    HalfStream,
)
from rtspdsr.model import FlowKey, Proto, Segment, TcpFlag

ACK, FIN, RST, SYN = TcpFlag.ACK, TcpFlag.FIN | TcpFlag.ACK, TcpFlag.RST, TcpFlag.SYN
FLOW = FlowKey(0, Proto.TCP, ip_address("192.0.2.20"), 50000, 554)
INITIAL = 0xFFFFFFF0  # so that every test passes the wrap
LIMIT = 65536
REQUEST = b"PLAY rtsp://192.0.2.10/clip RTSP/1.0\r\n\r\n"


def segment(place: int, payload: bytes = b"", flags: TcpFlag = ACK, acknowledgement: int = 100) -> Segment:
    """A segment whose first byte is the stream's byte number ``place``."""
    return Segment(
        flow=FLOW,
        backend_id=1,
        sequence=(INITIAL + 1 + place) & 0xFFFFFFFF,
        acknowledgement=acknowledgement,
        flags=flags,
        payload=payload,
        initial=INITIAL,
    )


def sequence(place: int) -> int:
    return (INITIAL + 1 + place) & 0xFFFFFFFF


def read(*segments: Segment, initial: int | None = INITIAL, limit: int = LIMIT) -> list[Delivery]:
    stream = HalfStream(initial, limit)
    return [said for one in segments for said in stream.receive(one, now=1.0)]


def data_of(said: Sequence[Delivery]) -> bytes:
    return b"".join(one.data for one in said if isinstance(one, Data))


# --- order ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("segments", "said"),
    [
        pytest.param(
            [segment(0, b"abc"), segment(3, b"def")], [Data(b"abc", True), Data(b"def", True)], id="in order"
        ),
        pytest.param(
            [segment(3, b"def"), segment(0, b"abc")], [Data(b"abc", True), Data(b"def", True)], id="swapped"
        ),
        pytest.param(
            [segment(0, b"abc"), segment(0, b"abc")], [Data(b"abc", True)], id="the same bytes again"
        ),
        pytest.param(
            [segment(3, b"def"), segment(3, b"def"), segment(0, b"abc")],
            [Data(b"abc", True), Data(b"def", True)],
            id="the same bytes again while they wait",
        ),
        pytest.param(
            [segment(0, b"abc"), segment(0, b"abcdef")],
            [Data(b"abc", True), Data(b"def", False)],
            id="a retransmission with more behind it",
        ),
        pytest.param(
            [segment(0, b"abc"), segment(2, b"cde")],
            [Data(b"abc", True), Data(b"de", False)],
            id="an overlap with what was delivered",
        ),
        pytest.param(
            [segment(2, b"cd"), segment(6, b"gh"), segment(1, b"bcdefghi"), segment(0, b"a")],
            [
                Data(b"a", True),
                Data(b"b", True),
                Data(b"cd", True),
                Data(b"ef", False),
                Data(b"gh", True),
                Data(b"i", False),
            ],
            id="one segment over several that wait",
        ),
        pytest.param(
            [segment(4, b"efgh"), segment(2, b"cdef"), segment(0, b"ab")],
            [Data(b"ab", True), Data(b"cd", True), Data(b"efgh", True)],
            id="an overlap with what waits",
        ),
        pytest.param([segment(-1, flags=SYN), segment(0, b"abc")], [Data(b"abc", True)], id="a bare SYN"),
        pytest.param(
            [segment(-1, b"abc", flags=SYN), segment(3, b"d")],
            [Data(b"abc", True), Data(b"d", True)],
            id="a SYN with payload",
        ),
        pytest.param(
            [segment(0, b"abc"), segment(2), segment(2, b"\0"), segment(3, b"d")],
            [Data(b"abc", True), Data(b"d", True)],
            id="keepalive probes, with and without their byte",
        ),
        pytest.param(
            [segment(0, b"abc"), segment(3 + WINDOW + 1, b"x"), segment(3, b"d")],
            [Data(b"abc", True), Data(b"d", True)],
            id="a segment from outside the window",
        ),
    ],
)
def test_order(segments: list[Segment], said: list[Delivery]) -> None:
    assert read(*segments) == said


def test_a_stream_whose_syn_was_not_seen_begins_with_the_first_segment() -> None:
    assert read(segment(500, b"abc"), segment(503, b"d"), segment(100, b"old"), initial=None) == [
        Data(b"abc", True),
        Data(b"d", True),
    ]


@pytest.mark.parametrize("place", [WINDOW + 1, 3_000_000_000])
def test_an_old_connection_of_which_nothing_was_read_is_taken_up_where_it_is(place: int) -> None:
    assert read(segment(place, b"abc"), segment(place + 3, b"d"), segment(0, b"old")) == [
        Gap(place),
        Data(b"abc", True),
        Data(b"d", True),
    ]


def test_a_restart_takes_the_next_segment_wherever_it_lies() -> None:
    stream = HalfStream(INITIAL, LIMIT)
    stream.receive(segment(0, b"abc"), now=1.0)
    stream.receive(segment(10, b"waits"), now=1.0)
    stream.restart()
    assert stream.buffered == 0
    assert stream.next_timer() is None
    assert stream.receive(segment(3_000_000_000, b"def"), now=2.0) == [Data(b"def", True)]


# --- the end -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("segments", "said"),
    [
        pytest.param([segment(0, flags=FIN)], [Finished(reset=False)], id="FIN"),
        pytest.param(
            [segment(0, b"a", FIN)], [Data(b"a", True), Finished(reset=False)], id="FIN with payload"
        ),
        pytest.param(
            [segment(1, b"b", FIN), segment(0, b"a")],
            [Data(b"a", True), Data(b"b", True), Finished(reset=False)],
            id="FIN before the last bytes",
        ),
        pytest.param(
            [segment(0, flags=FIN), segment(0, flags=FIN), segment(1, b"b"), segment(1, flags=RST)],
            [Finished(reset=False)],
            id="nothing after the end",
        ),
        pytest.param(
            [segment(5, flags=FIN), segment(2, flags=FIN), segment(0, b"ab")],
            [Data(b"ab", True)],
            id="another FIN before the first",
        ),
        pytest.param(
            [segment(0, b"a"), segment(1, flags=RST)], [Data(b"a", True), Finished(reset=True)], id="RST"
        ),
        pytest.param(
            [segment(WINDOW, flags=RST)], [Finished(reset=True)], id="RST at the edge of the window"
        ),
        pytest.param([segment(WINDOW + 1, flags=RST)], [], id="RST beyond the window"),
        pytest.param(
            [segment(0, b"ab"), segment(1, flags=RST)], [Data(b"ab", True)], id="RST behind the window"
        ),
    ],
)
def test_the_end(segments: list[Segment], said: list[Delivery]) -> None:
    assert read(*segments) == said


def test_a_finished_stream_keeps_nothing() -> None:
    stream = HalfStream(INITIAL, LIMIT)
    stream.receive(segment(0, b"abc"), now=1.0)
    stream.receive(segment(10, b"waits"), now=1.0)
    stream.receive(segment(3, flags=RST), now=1.0)
    assert stream.buffered == 0
    assert stream.next_timer() is None


# --- lies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("segments", "place"),
    [
        pytest.param([segment(0, b"abcd"), segment(0, b"abXd")], 2, id="of what was delivered"),
        pytest.param([segment(0, b"abcd"), segment(2, b"cXef")], 3, id="in part of what was delivered"),
        pytest.param([segment(4, b"efgh"), segment(4, b"eXgh")], 5, id="of what waits"),
        pytest.param([segment(4, b"efgh"), segment(2, b"cdeX")], 5, id="in part of what waits"),
    ],
)
def test_other_bytes_than_before_are_told_once_and_nothing_more_is_read(
    segments: list[Segment], place: int
) -> None:
    stream = HalfStream(INITIAL, LIMIT)
    said = [one for each in segments for one in stream.receive(each, now=1.0)]
    assert [one for one in said if not isinstance(one, Data)] == [Conflict(sequence(place))]
    assert stream.buffered == 0
    assert stream.receive(segment(0, b"zz"), now=1.0) == []
    assert stream.receive(segment(4, b"efgh"), now=1.0) == []
    assert stream.receive(segment(8, flags=FIN), now=1.0) == [Finished(reset=False)]


def test_a_retransmission_older_than_the_history_is_passed_over() -> None:
    stream = HalfStream(INITIAL, LIMIT)
    stream.receive(segment(0, b"a" * 100), now=1.0)
    stream.receive(segment(100, b"b" * HISTORY_MAX), now=1.0)
    assert stream.receive(segment(0, b"c" * 100), now=1.0) == []
    assert stream.receive(segment(99, b"ab"), now=1.0) == []
    assert stream.receive(segment(99, b"ac"), now=1.0) == [Conflict(sequence(100))]


def test_a_silent_stream_gives_up_its_history() -> None:
    stream = HalfStream(INITIAL, LIMIT)
    stream.receive(segment(0, b"abc"), now=1.0)
    stream.expire(now=0.9 + HISTORY_S)
    assert stream.buffered == 3
    stream.expire(now=1.0 + HISTORY_S)
    assert stream.buffered == 0
    assert stream.receive(segment(3, b"d"), now=50.0) == [Data(b"d", True)]


# --- holes ---------------------------------------------------------------------------------------


def test_a_hole_is_a_gap_after_its_time() -> None:
    stream = HalfStream(INITIAL, LIMIT, gap_wait_s=1.0)
    assert stream.next_timer() is None
    assert stream.receive(segment(5, b"fg"), now=10.0) == []
    assert stream.receive(segment(9, b"j"), now=10.5) == []
    assert stream.next_timer() == 11.0
    assert stream.expire(now=10.9) == []
    assert stream.expire(now=11.0) == [Gap(5), Data(b"fg", True)]
    assert stream.next_timer() == 11.5
    assert stream.expire(now=11.5) == [Gap(2), Data(b"j", True)]
    assert stream.next_timer() is None
    assert stream.receive(segment(0, b"abcde"), now=12.0) == []


def test_what_comes_too_late_for_its_hole_is_passed_over() -> None:
    stream = HalfStream(INITIAL, LIMIT)
    stream.receive(segment(0, b"abc"), now=10.0)
    stream.receive(segment(5, b"fg"), now=10.0)
    assert stream.expire(now=11.0) == [Gap(2), Data(b"fg", True)]
    assert stream.receive(segment(1, b"bcde"), now=11.0) == []
    assert stream.receive(segment(3, b"defgh"), now=11.0) == [Data(b"h", False)]


def test_a_hole_before_the_end_is_a_gap_after_its_time() -> None:
    stream = HalfStream(INITIAL, LIMIT, gap_wait_s=1.0)
    assert stream.receive(segment(5, flags=FIN), now=10.0) == []
    assert stream.next_timer() == 11.0
    assert stream.expire(now=11.0) == [Gap(5), Finished(reset=False)]
    assert stream.next_timer() is None


def test_a_request_that_was_asked_after_an_answer_closes_the_hole_before_it() -> None:
    stream = HalfStream(INITIAL, LIMIT)
    stream.receive(segment(0, b"abc", acknowledgement=100), now=1.0)
    assert stream.receive(segment(10, b"kl", acknowledgement=150), now=1.0) == []
    assert stream.receive(segment(20, REQUEST, acknowledgement=200), now=1.0) == [
        Gap(7),
        Data(b"kl", True),
        Gap(8),
        Data(REQUEST, True),
    ]


@pytest.mark.parametrize(
    "late",
    [
        pytest.param(segment(10, REQUEST, acknowledgement=100), id="that acknowledges nothing new"),
        pytest.param(segment(10, REQUEST, acknowledgement=99), id="that acknowledges less"),
        pytest.param(segment(10, b"k", acknowledgement=200), id="that is no request"),
    ],
)
def test_a_hole_stays_open_before_a_segment(late: Segment) -> None:
    assert read(segment(0, b"abc"), late) == [Data(b"abc", True)]


def test_without_anything_in_order_the_first_that_waits_tells_what_was_acknowledged() -> None:
    early, asked = segment(10, REQUEST, acknowledgement=100), segment(100, REQUEST, acknowledgement=200)
    assert read(early, asked) == [Gap(10), Data(REQUEST, True), Gap(90 - len(REQUEST)), Data(REQUEST, True)]


def test_acknowledgements_wrap() -> None:
    before = segment(0, b"abc", acknowledgement=0xFFFFFF00)
    assert read(before, segment(10, REQUEST, acknowledgement=5))[1:] == [Gap(7), Data(REQUEST, True)]


def test_at_the_byte_limit_the_oldest_hole_is_a_gap() -> None:
    limit = 2 * (PIECE_COST + 10)
    waiting = [segment(100, b"a" * 10), segment(200, b"b" * 10), segment(300, b"c" * 10)]
    assert read(*waiting, limit=limit) == [Gap(100), Data(b"a" * 10, True)]


def test_a_segment_larger_than_the_limit_goes_through() -> None:
    stream = HalfStream(INITIAL, 1000)
    assert stream.receive(segment(5, b"a" * 60000), now=1.0) == [Gap(5), Data(b"a" * 60000, True)]
    assert stream.buffered <= 1000


# --- models --------------------------------------------------------------------------------------

STREAM = bytes(range(256)) * 8
RANGES = st.tuples(st.integers(0, len(STREAM) - 2), st.integers(2, 200)).map(
    lambda r: (r[0], min(r[0] + r[1], len(STREAM)))
)


@st.composite
def covering(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Ranges that together are the whole stream, some of it several times, in any order."""
    places = sorted(
        {0, len(STREAM), *draw(st.lists(st.integers(1, len(STREAM) // 2 - 1).map(lambda n: 2 * n)))}
    )
    ranges = [*pairwise(places), *draw(st.lists(RANGES, max_size=20))]
    return draw(st.permutations(ranges))


def at(initial: int, place: int, payload: bytes, acknowledgement: int = 1, flags: TcpFlag = ACK) -> Segment:
    return replace(
        segment(0, payload, flags, acknowledgement),
        sequence=(initial + 1 + place) & 0xFFFFFFFF,
        initial=initial,
    )


@given(st.integers(0, 0xFFFFFFFF), covering(), st.data())
def test_any_order_and_repetition_delivers_the_stream(
    initial: int, ranges: list[tuple[int, int]], draw: st.DataObject
) -> None:
    stream = HalfStream(initial, 1 << 20)
    segments = [at(initial, begin, STREAM[begin:end]) for begin, end in ranges]
    segments.insert(draw.draw(st.integers(0, len(segments))), at(initial, len(STREAM), b"", flags=FIN))
    said = [one for each in segments for one in stream.receive(each, now=1.0)]
    assert data_of(said) == STREAM
    assert said[-1] == Finished(reset=False)
    assert all(isinstance(one, Data) for one in said[:-1])


@given(covering(), RANGES, st.data())
def test_a_changed_byte_is_told(
    ranges: list[tuple[int, int]], lie: tuple[int, int], draw: st.DataObject
) -> None:
    begin, end = lie
    place = draw.draw(st.integers(begin, end - 1))
    payload = bytearray(STREAM[begin:end])
    payload[place - begin] ^= 0x20
    segments = [at(INITIAL, a, STREAM[a:b]) for a, b in ranges]
    segments.insert(draw.draw(st.integers(0, len(segments))), at(INITIAL, begin, bytes(payload)))
    said = read(*segments, limit=1 << 20)
    assert [one for one in said if not isinstance(one, Data)] == [Conflict(sequence(place))]


@given(
    st.lists(
        st.tuples(RANGES, st.integers(0, 50), st.floats(0, 0.5), st.sampled_from([ACK, ACK, ACK, FIN])),
        max_size=60,
    ),
    st.integers(1, 3000),
    st.booleans(),
)
def test_with_loss_the_bytes_still_lie_where_they_belong_and_memory_is_bounded(
    sent: list[tuple[tuple[int, int], int, float, TcpFlag]], limit: int, seen_from_syn: bool
) -> None:
    """Every delivered byte is the stream's at the place that deliveries and gaps add up to."""
    stream = HalfStream(INITIAL if seen_from_syn else None, limit)
    place = 0 if seen_from_syn or not sent else sent[0][0][0]
    now = 0.0
    said: list[Delivery] = []
    for (begin, end), acknowledgement, pause, flags in sent:
        now += pause
        said += stream.expire(now)
        said += stream.receive(at(INITIAL, begin, STREAM[begin:end], acknowledgement, flags), now)
        assert stream.buffered <= limit
        timer = stream.next_timer()
        assert timer is None or timer <= now + 1.0
    said += stream.expire(now + 1.0)
    assert stream.next_timer() is None
    for one in said:
        if isinstance(one, Gap):
            assert one.missing_bytes > 0
            place += one.missing_bytes
        elif isinstance(one, Data):
            assert one.data == STREAM[place : place + len(one.data)]
            place += len(one.data)
        else:
            assert one == Finished(reset=False)
            assert one is said[-1]


@given(
    st.lists(
        st.builds(
            Segment,
            flow=st.just(FLOW),
            backend_id=st.just(1),
            sequence=st.sampled_from([0, 1, 5, 1 << 20, 1 << 31, 0xFFFFFFFF]) | st.integers(0, 0xFFFFFFFF),
            acknowledgement=st.integers(0, 0xFFFFFFFF),
            flags=st.integers(0, 31).map(TcpFlag),
            payload=st.binary(max_size=20) | st.just(REQUEST),
        ),
        max_size=30,
    ),
    st.none() | st.integers(0, 0xFFFFFFFF),
)
def test_any_segments_are_taken_without_harm(segments: list[Segment], initial: int | None) -> None:
    stream = HalfStream(initial, 1000)
    said: list[Delivery] = []
    for now, one in enumerate(segments):
        said += stream.receive(one, float(now))
        assert stream.buffered <= 1000
    said += stream.expire(len(segments) + 1.0)
    assert sum(isinstance(one, Conflict) for one in said) <= 1
    assert not any(isinstance(one, Finished) for one in said[:-1])
