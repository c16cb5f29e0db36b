"""The Transport header of a SETUP: how a client can receive a track, best first.

It is handed the values of the header and gives back every alternative in them, since the server's choice
among them is never seen, and what could not be read, in words. Both spellings are understood: RTSP/1.0
(RFC 2326 section 12.39) and RTSP/2.0 (RFC 7826 section 18.54). Addresses in it are told, never followed.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from rtspdsr.core.request import printable

#: Alternatives that are read; players offer up to 3, the largest list in the field holds 8.
ALTERNATIVES_MAX = 16

_ALTERNATIVE = re.compile(r'(?:[^,"]|"[^"]*(?:"|$))+')
_PARAMETER = re.compile(r'(?:[^;"]|"[^"]*(?:"|$))+')
_QUOTED = re.compile(r'"([^"]*)"')
_RANGE = re.compile(r"([0-9]{1,5})(?:\s*-\s*([0-9]{1,5}))?")
_HOST_PORT = re.compile(r"(?:\[([^\]]*)\]|([^:]*))(?::([0-9]{1,5}))?")

Lower = Literal["udp", "tcp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSpec:
    """One alternative of a Transport header.

    lower:        what carries RTP; ``tcp`` is interleaved in the control connection
    multicast:    RTP goes to a group, not to ``client_ports``
    client_ports: UDP ports of the client, RTP first
    channels:     interleaved channels, RTP first; empty if the server is to choose
    destinations: addresses that the client asks media to be sent to
    """

    lower: Lower
    multicast: bool = False
    client_ports: tuple[int, ...] = ()
    channels: tuple[int, ...] = ()
    destinations: tuple[str, ...] = ()


def parse_transport(values: Iterable[str]) -> tuple[list[TransportSpec], list[str]]:
    """Every alternative of one or more Transport headers, and the problems found, printable."""
    specs: list[TransportSpec] = []
    problems: list[str] = []
    for count, text in enumerate(_alternatives(values)):
        if count == ALTERNATIVES_MAX:
            problems.append(f"more than {ALTERNATIVES_MAX} alternatives")
            break
        try:
            specs.append(_spec(text))
        except ValueError as error:
            problems.append(printable(f"{error} in {text[:200]!r}"))
    return specs, problems


def _alternatives(values: Iterable[str]) -> Iterator[str]:
    for value in values:
        for match in _ALTERNATIVE.finditer(value):
            if text := match.group().strip():
                yield text


def _spec(text: str) -> TransportSpec:
    head, *rest = (match.group().strip() for match in _PARAMETER.finditer(text))
    parameters: dict[str, str] = {}
    for parameter in rest:
        name, _, value = parameter.partition("=")
        parameters.setdefault(name.strip().lower(), value.strip())
    lower = _lower(head)
    multicast = "multicast" in parameters and lower == "udp"
    destinations, ports = _destinations(parameters)
    if "client_port" in parameters:
        ports = _range(parameters["client_port"], "client_port", lowest=1, highest=65535)
    channels: tuple[int, ...] = ()
    if "interleaved" in parameters:
        channels = _range(parameters["interleaved"], "interleaved", lowest=0, highest=255)
    return TransportSpec(
        lower=lower,
        multicast=multicast,
        client_ports=_with_rtcp(ports, "rtcp-mux" in parameters) if lower == "udp" and not multicast else (),
        channels=channels if lower == "tcp" else (),
        destinations=destinations,
    )


def _lower(protocol: str) -> Lower:
    """``RTP/AVP/TCP`` is over TCP; without a third part a profile is over UDP."""
    parts = protocol.lower().split("/")
    if parts[-1] == "tcp":
        return "tcp"
    if parts[-1] == "udp" or (parts[0] == "rtp" and len(parts) == 2):
        return "udp"
    raise ValueError("unknown transport")


def _range(text: str, name: str, lowest: int, highest: int) -> tuple[int, ...]:
    match = _RANGE.fullmatch(text.strip('"'))
    if match is None:
        raise ValueError(f"{name} is neither a number nor a pair")
    numbers = tuple(int(number) for number in match.groups() if number is not None)
    if not all(lowest <= number <= highest for number in numbers):
        raise ValueError(f"{name} is not within {lowest} to {highest}")
    return tuple(dict.fromkeys(numbers))


def _with_rtcp(ports: tuple[int, ...], mux: bool) -> tuple[int, ...]:
    """RTP and RTCP: of a single port the next higher one is RTCP's, unless both share it."""
    if mux:
        return ports[:1]
    if len(ports) == 1 and ports[0] < 65535:
        return (ports[0], ports[0] + 1)
    return ports


def _destinations(parameters: dict[str, str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Addresses asked for, and the ports of RTSP/2.0's ``dest_addr``, which hold also without an address."""
    hosts: list[str] = []
    if destination := parameters.get("destination", "").strip('"'):
        hosts.append(destination)
    ports: list[int] = []
    for text in _QUOTED.findall(parameters.get("dest_addr", "")):
        match = _HOST_PORT.fullmatch(text)
        if match is None:
            raise ValueError("dest_addr is no address and port")
        host, port = match[1] or match[2], int(match[3] or 0)
        if port > 65535:
            raise ValueError("dest_addr holds a port above 65535")
        hosts.extend([host] if host else [])
        ports.extend([port] if port else [])
    return tuple(dict.fromkeys(printable(host[:255]) for host in hosts)), tuple(ports[:2])
