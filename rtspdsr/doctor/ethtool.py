"""What an interface's driver tells of itself (SIOCETHTOOL): offloads, rings, queues, counters.

Handed an interface's name; gives back plain values, and None where the driver does not tell. It changes
nothing, and speaks of the network namespace that it is called in.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

from pyroute2.ethtool.ioctl import EthtoolError, IoctlEthtool

from rtspdsr.doctor.machine import Share

FEATURES = {  # as the kernel names them -> as the command ethtool takes them
    "rx-vlan-hw-parse": "rxvlan",
    "rx-gro": "gro",
    "rx-lro": "lro",
    "rx-gro-hw": "rx-gro-hw",
    "tx-tcp-segmentation": "tso",
    "tx-generic-segmentation": "gso",
}
HALF = 0  # DUPLEX_HALF
FULL = 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one driver tells; see ``machine.Interface``."""

    features: Mapping[str, bool]
    ring: Share | None
    queues: Share | None
    duplex: str
    unsent: int | None


def ask(interface: str) -> Told:
    """Ask the driver for all of it."""
    with closing(IoctlEthtool(interface)) as asked:
        return Told(
            features=_answer(lambda: _features(asked), {}),
            ring=_answer(lambda: _share(asked.get_rings(), "rx", "rx_max"), None),
            queues=_answer(lambda: _queues(asked.get_channels()), None),
            duplex=_answer(lambda: _duplex(asked), ""),
            unsent=unsent(interface),
        )


def unsent(interface: str) -> int | None:
    """Frames that an XDP program answered or forwarded, and the driver could not send."""
    with closing(IoctlEthtool(interface)) as asked:
        statistics: list[tuple[str, int]] = _answer(asked.get_statistics, [])
    counted = [(name, value) for name, value in statistics if _is_unsent(name)]
    # Most drivers repeat a counter for each queue, with its number; some have only those.
    whole = [value for name, value in counted if not any(one.isdigit() for one in name)]
    return sum(whole or [value for _, value in counted]) if counted else None


def _answer(question: Callable[[], T], otherwise: T) -> T:
    """A driver that lacks an answer says so by one of several errors."""
    try:
        return question()
    except (OSError, EthtoolError):
        return otherwise


def _features(asked: Any) -> dict[str, bool]:
    told = asked.get_features()
    return {
        short: bool(told.is_active(name))
        for name, short in FEATURES.items()
        if name in told and (told.is_available(name) or told.is_active(name))
    }


def _share(told: Any, used: str, most: str) -> Share | None:
    return Share(used=told[used], most=told[most]) if told[most] else None


def _queues(told: Any) -> Share | None:
    return _share(told, "combined_count", "max_combined") or _share(told, "rx_count", "max_rx")


def _duplex(asked: Any) -> str:
    return {HALF: "half", FULL: "full"}.get(asked.get_link_settings()["duplex"], "")


def _is_unsent(name: str) -> bool:
    """Such as rx_xdp_tx_full, tx_xdp_tx_drops, rx_queue_0_xdp_tx_errors; a drop on receiving may be meant."""
    words = name.split("_")
    return (
        "xdp" in words
        and ("tx" in words or "redirect" in words)
        and words[-1]
        in (
            "err",
            "errors",
            "full",
            "drops",
        )
    )
