"""What arrives of one RTP stream: rate, loss, jitter, and the addresses it comes from.

Handed datagrams with their source and time of arrival, it counts; RFC 3550 appendix A.3 and A.8. The first
SSRC is followed, others and what is no RTP are passed over. It reads no clock.
"""

import struct
from collections import Counter

from rtspdsr.model import Address

_HEADER = struct.Struct("!BBHII")
_RTCP_TYPES = range(72, 77)  # of 200 to 204, in the place of a payload type
_WRAP = 1 << 16
RATE_SPAN_S = 0.2  # shorter, and a rate says nothing


class Reception:
    """One stream.

    clock_rate: of its RTP timestamps, Hz; None if not known
    packets:    RTP packets, repeated ones as well
    sources:    how many came from where
    """

    def __init__(self, clock_rate: int | None) -> None:
        self._clock_rate = clock_rate
        self._ssrc: int | None = None
        self._highest = 0
        self._seen: set[int] = set()
        self._octets = 0
        self._transit: float | None = None
        self._jitter = 0.0
        self.packets = 0
        self.sources: Counter[Address] = Counter()
        self.first_at: float | None = None
        self.last_at = 0.0

    def take(self, packet: bytes, source: Address, at: float) -> None:
        """Take in a datagram."""
        if len(packet) < _HEADER.size:
            return
        first, kind, sequence, timestamp, ssrc = _HEADER.unpack_from(packet)
        if first >> 6 != 2 or kind & 0x7F in _RTCP_TYPES:
            return
        if self._ssrc is None:
            self._ssrc, self._highest = ssrc, sequence
        if ssrc != self._ssrc:
            return
        if self.first_at is None:
            self.first_at = at
        else:
            self._octets += len(packet)  # those of the first came before the time that is measured
        step = (sequence - self._highest) % _WRAP
        extended = self._highest + (step if step < _WRAP // 2 else step - _WRAP)
        self._highest = max(self._highest, extended)
        self._seen.add(extended)
        self.packets += 1
        self.sources[source] += 1
        self.last_at = at
        self._take_transit(timestamp, at)

    def _take_transit(self, timestamp: int, at: float) -> None:
        if not self._clock_rate:
            return
        transit = at * self._clock_rate - timestamp
        if self._transit is not None:
            difference = abs(transit - self._transit)
            if difference < self._clock_rate * 10:  # else the timestamp wrapped or was set anew
                self._jitter += (difference - self._jitter) / 16
        self._transit = transit

    @property
    def jitter_s(self) -> float | None:
        """Interarrival jitter; None without two packets and a clock rate."""
        return self._jitter / self._clock_rate if self._clock_rate and self.packets > 1 else None

    @property
    def lost(self) -> float | None:
        """The fraction that is missing between the first and the last packet."""
        if not self._seen:
            return None
        expected = self._highest - min(self._seen) + 1
        return 1 - len(self._seen) / expected

    @property
    def bits_per_s(self) -> float | None:
        """From the first packet to the last one."""
        if self.first_at is None or self.last_at - self.first_at < RATE_SPAN_S:
            return None
        return 8 * self._octets / (self.last_at - self.first_at)
