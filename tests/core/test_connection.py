"""One control connection: what it gives back, and what it says of itself."""

from dataclasses import replace

import pytest

from rtspdsr.core.connection import MALFORMED_TOLD, MEDIA_BYTES, Connection
from rtspdsr.core.events import (
    Event,
    FlowDistrusted,
    Guess,
    OpaqueConnection,
    OpaqueKind,
    ReassemblyGap,
    RequestInferred,
    RequestMalformed,
)
from rtspdsr.core.limits import TrackerLimits
from rtspdsr.core.request import Headers, Request
from rtspdsr.model import PinFlag, Segment, TcpFlag
from tests.core.builders import URL, Control, of, only, request


def read(*segments: Segment, now: float = 1.0) -> tuple[Connection, list[str], list[Event]]:
    """A connection that has taken these segments in: the methods asked for, and what was said."""
    connection = Connection.begun_by(segments[0], TrackerLimits(), now)
    methods, said = list[str](), list[Event]()
    for segment in segments:
        for asked in connection.receive(segment, now, said):
            if isinstance(asked, Request):
                methods.append(asked.method)
                said += connection.note(asked, asked.shown_url, now)
    return connection, methods, said


def test_requests_come_in_their_order_however_the_segments_do() -> None:
    control = Control()
    options, describe, setup = (control.ask(method) for method in ("OPTIONS", "DESCRIBE", "SETUP"))
    late = replace(describe, acknowledgement=options.acknowledgement)
    setup = replace(setup, acknowledgement=options.acknowledgement)
    assert read(options, setup, late)[1] == ["OPTIONS", "DESCRIBE", "SETUP"]


def test_a_connection_joined_in_its_middle_is_read_from_the_next_request() -> None:
    control = Control(next=90_000)
    rest, play = control.segment(b"t of a header\r\n\r\n"), control.ask("PLAY")
    for initial in (None, 1000):
        first, second = replace(rest, initial=initial), replace(play, initial=initial)
        assert read(second)[1:] == (["PLAY"], [])
        if initial is None:
            assert read(first, second)[1:] == (["PLAY"], [])


def test_a_start_that_comes_late_is_waited_for() -> None:
    control = Control()
    text = request("OPTIONS")
    first, second = control.segment(text[:10]), control.segment(text[10:])
    assert read(second, first)[1] == ["OPTIONS"]


def test_a_hole_is_told_and_the_next_request_found() -> None:
    control = Control()
    options = control.ask("OPTIONS")
    control.ask("DESCRIBE")
    connection, methods, said = read(options, control.ask("SETUP"))
    assert methods == ["OPTIONS", "SETUP"]
    assert only(ReassemblyGap, said).missing_bytes == len(request("DESCRIBE"))
    assert connection.flags is PinFlag.NONE


def test_contradicting_bytes_are_not_read_on() -> None:
    control = Control()
    options = control.ask("OPTIONS")
    forged = replace(options, payload=options.payload.replace(b"OPTIONS", b"PLAYING"))
    connection, methods, said = read(options, forged, control.ask("SETUP"))
    assert methods == ["OPTIONS"]
    assert only(FlowDistrusted, said).sequence == 1001
    assert connection.flags is PinFlag.UNREAD
    assert connection.buffered == 0


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (bytes.fromhex("16030102000100 01fc0303") + bytes(40), OpaqueKind.TLS),
        (b"GET /clip HTTP/1.0\r\nx-sessioncookie: 1\r\n\r\n", OpaqueKind.HTTP_TUNNEL),
        (b"SSH-2.0-OpenSSH_9.2\r\n", OpaqueKind.NOT_RTSP),
    ],
)
def test_what_is_no_rtsp_is_only_forwarded(payload: bytes, kind: OpaqueKind) -> None:
    connection, _, said = read(Control().segment(payload))
    assert only(OpaqueConnection, said).kind is kind
    assert connection.flags is PinFlag.UNREAD


def test_a_request_that_is_put_off_counts_as_memory_until_it_is_taken_up() -> None:
    connection, _, _ = read(Control().ask("OPTIONS"))
    before = connection.buffered
    headers = Headers([("Session", "abc"), ("X", "y" * 5000)])
    for _ in range(2):
        connection.put_off(Request(method="TEARDOWN", url=URL, version="RTSP/1.0", headers=headers))
    assert 5000 < connection.buffered - before < 6000
    taken = connection.take_up()
    assert taken is not None
    assert (taken.method, connection.buffered, connection.take_up()) == ("TEARDOWN", before, None)
    connection.put_off(taken)
    connection.give_up_reading()
    assert connection.take_up() is None


def test_nonsense_is_told_a_few_times() -> None:
    control = Control()
    segments = [control.ask("OPTIONS")]
    for _ in range(MALFORMED_TOLD + 5):
        segments += [control.segment(b"nonsense\r\n\r\n"), control.ask("OPTIONS")]
    _, methods, said = read(*segments)
    assert len(of(RequestMalformed, said)) == MALFORMED_TOLD
    assert len(methods) == MALFORMED_TOLD + 6


def test_the_same_request_with_credentials_means_the_first_was_refused() -> None:
    control = Control()
    _, _, said = read(
        control.ask("DESCRIBE"), control.ask("DESCRIBE", Authorization="Basic eDp5"), control.ask("OPTIONS")
    )
    inferred = only(RequestInferred, said)
    assert (inferred.guess, inferred.method, inferred.url) == (Guess.UNAUTHORIZED, "DESCRIBE", URL)


def test_credentials_at_once_mean_nothing() -> None:
    control = Control()
    segments = [control.ask("DESCRIBE", Authorization="Basic eDp5") for _ in range(2)]
    assert read(*segments)[2] == []


def test_an_end_after_describe_means_it_was_refused() -> None:
    control = Control()
    _, _, said = read(control.ask("DESCRIBE"), control.fin(), control.fin())
    assert only(RequestInferred, said).guess is Guess.REFUSED


@pytest.mark.parametrize("methods", [["OPTIONS"], ["DESCRIBE", "SETUP"]])
def test_an_end_after_anything_else_means_nothing(methods: list[str]) -> None:
    control = Control()
    connection, _, said = read(*(control.ask(method) for method in methods), control.fin())
    assert said == []
    assert connection.finished_at == 1.0


def test_a_client_that_only_sends_is_taken_for_a_publisher_until_it_asks() -> None:
    control = Control()
    media = b"$\x00\x05\xa8" + bytes(1448)
    segments = [control.ask("OPTIONS")] + [control.segment(media) for _ in range(MEDIA_BYTES // 1452 + 1)]
    connection, _, _ = read(*segments)
    flags = [connection.flags]
    teardown = control.segment(b"cut" + request("TEARDOWN") + media)
    for one in connection.receive(teardown, 2.0, []):
        if isinstance(one, Request):
            connection.note(one, URL, 2.0)
            flags.append(connection.flags)
    assert flags == [PinFlag.UPSTREAM, PinFlag.NONE]


@pytest.mark.parametrize(
    ("initial", "sequence", "reused"),
    [
        (1000, 5000, False),  # the same connection, whatever its sequence number
        (None, 5000, False),
        (77_000_000, 77_000_001, True),
        (77_000_000, 77_000_400, True),
        (77_000_000, 1001 + len(request("OPTIONS")), False),  # a forged SYN: the stream goes on where it was
        (77_000_000, 99_000_000, False),  # neither here nor there
        (0xFFFFFFFF, 0, True),
    ],
)
def test_another_connection_from_the_same_port(initial: int | None, sequence: int, reused: bool) -> None:
    control = Control()
    connection, _, _ = read(control.ask("OPTIONS"))
    segment = replace(control.ask("OPTIONS"), initial=initial, sequence=sequence)
    assert connection.is_reused_by(segment) is reused


def test_acknowledgements_have_to_move_forwards() -> None:
    control = Control(acknowledgement=0xFFFFFFF0)
    first = control.ask("OPTIONS")
    connection = Connection.begun_by(first, TrackerLimits(), 1.0)
    moved = [
        connection.acknowledges(replace(first, acknowledgement=acknowledgement, flags=flags))
        for acknowledgement, flags in [
            (0xFFFFFFF0, TcpFlag.ACK),
            (0xFFFFFFF0, TcpFlag.ACK),
            (0xFFFFFF00, TcpFlag.ACK),
            (50, TcpFlag.RST),
            (50, TcpFlag.ACK),
        ]
    ]
    assert moved == [False, False, False, False, True]
