"""Transport headers: what players offer, both versions of RTSP, and what must not be followed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspdsr.core.transport import ALTERNATIVES_MAX, TransportSpec, parse_transport


def udp(*ports: int, multicast: bool = False, to: tuple[str, ...] = ()) -> TransportSpec:
    return TransportSpec(lower="udp", client_ports=ports, multicast=multicast, destinations=to)


def tcp(*channels: int) -> TransportSpec:
    return TransportSpec(lower="tcp", channels=channels)


@pytest.mark.parametrize(
    ("value", "specs"),
    [
        pytest.param("RTP/AVP;unicast;client_port=5000-5001", [udp(5000, 5001)], id="a pair"),
        pytest.param("RTP/AVP/UDP;unicast;client_port=5001-5002", [udp(5001, 5002)], id="an odd pair"),
        pytest.param("RTP/AVP;unicast;client_port=5000", [udp(5000, 5001)], id="one port"),
        pytest.param("RTP/AVP;unicast;client_port=65535", [udp(65535)], id="one port, and none above it"),
        pytest.param("RTP/AVP;unicast;client_port=5000-5000", [udp(5000, 5001)], id="a pair of one port"),
        pytest.param("RTP/AVP;unicast;client_port=5000-5001;RTCP-mux", [udp(5000)], id="one port for both"),
        pytest.param(
            "rtp/savpf ; UNICAST ; Client_Port = 5000 - 5001", [udp(5000, 5001)], id="case and blanks"
        ),
        pytest.param("RTP/AVP/TCP;unicast;interleaved=0-1", [tcp(0, 1)], id="interleaved"),
        pytest.param("RTP/AVP/TCP;interleaved=2", [tcp(2)], id="one channel"),
        pytest.param("RTP/AVP/TCP;unicast", [tcp()], id="the server is to choose the channels"),
        pytest.param("RTP/AVP/TCP;unicast;interleaved=0-1;mode=record", [tcp(0, 1)], id="publishing"),
        pytest.param(
            'RTP/AVP;unicast;client_port=5000-5001;mode="PLAY,RECORD"',
            [udp(5000, 5001)],
            id="a comma in quotes",
        ),
        pytest.param("RTP/AVP;unicast;client_port=5000-5001;mode=PLAY", [udp(5000, 5001)], id="mode play"),
        pytest.param("RTP/AVP;multicast;port=5000-5001;ttl=1", [udp(multicast=True)], id="multicast"),
        pytest.param(
            "RTP/AVP;multicast;client_port=5000-5001",
            [udp(multicast=True)],
            id="multicast pins no client port",
        ),
        pytest.param("RTP/AVP", [udp()], id="nothing but the profile"),
        pytest.param("MP2T/H2221/UDP;unicast;client_port=7000", [udp(7000, 7001)], id="a transport stream"),
        pytest.param(
            "RTP/AVP;unicast;client_port=5000-5001,RTP/AVP/TCP;unicast;interleaved=0-1, RTP/AVP;multicast",
            [udp(5000, 5001), tcp(0, 1), udp(multicast=True)],
            id="three alternatives",
        ),
        pytest.param(
            "RTP/AVP;unicast;destination=198.51.100.9;client_port=5000-5001",
            [udp(5000, 5001, to=("198.51.100.9",))],
            id="a destination is told",
        ),
        pytest.param(
            'RTP/AVP;unicast;dest_addr=":5000"/":5001";src_addr=":1"', [udp(5000, 5001)], id="ports of 2.0"
        ),
        pytest.param('RTP/AVP/UDP;unicast;dest_addr=":5000"', [udp(5000, 5001)], id="one port of 2.0"),
        pytest.param('RTP/AVP/UDP;dest_addr=":5000";RTCP-mux', [udp(5000)], id="one port for both in 2.0"),
        pytest.param(
            'RTP/AVP;dest_addr="198.51.100.9:5000"/"198.51.100.9:5001"',
            [udp(5000, 5001, to=("198.51.100.9",))],
            id="an address of 2.0 is told once",
        ),
        pytest.param(
            'RTP/AVP;dest_addr="[2001:db8::9]:5000"',
            [udp(5000, 5001, to=("2001:db8::9",))],
            id="an IPv6 address",
        ),
        pytest.param("RTP/AVP;destination=a\x1b[2J", [udp(to=("a\\x1b[2J",))], id="an escape is printable"),
        pytest.param("", [], id="nothing"),
        pytest.param(" , ,", [], id="commas only"),
    ],
)
def test_alternatives(value: str, specs: list[TransportSpec]) -> None:
    assert parse_transport([value]) == (specs, [])


def test_several_headers_are_one_list() -> None:
    values = ["RTP/AVP;client_port=5000-5001", "RTP/AVP/TCP;interleaved=0-1"]
    assert parse_transport(values) == ([udp(5000, 5001), tcp(0, 1)], [])


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("RTP/AVP;client_port=none", "client_port is neither a number nor a pair"),
        ("RTP/AVP;client_port=0-1", "client_port is not within 1 to 65535"),
        ("RTP/AVP;client_port=65536", "client_port is not within 1 to 65535"),
        ("RTP/AVP;client_port=-5", "client_port is neither a number nor a pair"),
        ("RTP/AVP;client_port=\u0665\u0660\u0660\u0660", "client_port is neither a number nor a pair"),
        ("RTP/AVP/TCP;interleaved=0-256", "interleaved is not within 0 to 255"),
        ('RTP/AVP;dest_addr="a:b:c"', "dest_addr is no address and port"),
        ('RTP/AVP;dest_addr=":70000"', "dest_addr holds a port above 65535"),
        ("x-pn-tng;client_port=5000", "unknown transport"),
    ],
)
def test_an_unreadable_alternative_is_told_and_the_next_is_read(value: str, problem: str) -> None:
    specs, problems = parse_transport([f"{value},RTP/AVP/TCP;interleaved=0-1"])
    assert specs == [tcp(0, 1)]
    assert len(problems) == 1
    assert problems[0].startswith(problem)


def test_a_list_without_end_is_cut() -> None:
    specs, problems = parse_transport(["RTP/AVP," * 1000])
    assert len(specs) == ALTERNATIVES_MAX
    assert problems == [f"more than {ALTERNATIVES_MAX} alternatives"]


@given(
    st.lists(
        st.lists(
            st.sampled_from(
                [
                    "RTP/AVP",
                    "RTP/AVP/TCP",
                    ";",
                    ",",
                    '"',
                    "client_port=",
                    "5000",
                    "-",
                    "interleaved=",
                    "dest_addr=",
                ]
            )
            | st.text(max_size=5)
        ).map("".join),
        max_size=3,
    )
)
def test_any_text_is_read_without_harm(values: list[str]) -> None:
    specs, problems = parse_transport(values)
    assert all(problem.isprintable() for problem in problems)
    assert all(0 < port < 65536 for spec in specs for port in spec.client_ports)
    assert all(len(spec.client_ports) <= 2 for spec in specs)
