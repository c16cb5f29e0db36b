"""Numbers as an operator reads them."""

from collections.abc import Mapping
from typing import Any


def bits(per_s: float | None) -> str:
    """A rate: ``3.12 Mb/s``."""
    if per_s is None:
        return "-"
    for unit, size in (("Gb/s", 1e9), ("Mb/s", 1e6), ("kb/s", 1e3)):
        if per_s >= size:
            return f"{per_s / size:.2f} {unit}"
    return f"{per_s:.0f} b/s"


def delivered(sums: Mapping[str, Any]) -> str:
    """What some sessions get together: ``3.12 Mb/s``; with ``…`` if some have told nothing yet; ``-`` if none
    will.
    """
    from rtspdsr.cli.tables import WAITING

    per_s: float = sums["delivered_bits_per_s"]
    if not sums["waiting"]:
        return bits(None if sums["untold"] and sums["untold"] == sums["sessions"] else per_s)
    return f"{bits(per_s)} + {WAITING}" if per_s else WAITING


def share(fraction: float | None) -> str:
    """A loss: ``1.2 %``."""
    return "-" if fraction is None else f"{100 * fraction:.1f} %"


def lasting(of_s: float) -> str:
    """How long, in the two largest units: ``42 s``, ``12 min 5 s``, ``1 d 2 h``."""
    whole = round(of_s)
    parts = []
    for name, unit in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        number, whole = divmod(whole, unit)
        if number:
            parts.append(f"{number} {name}")
    return " ".join(parts[:2]) or "0 s"


def counted(number: int, noun: str) -> str:
    """How many of what: ``1 session``, ``2,000 sessions``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
