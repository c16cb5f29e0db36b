"""Numbers as an operator reads them."""


def bits(per_s: float | None) -> str:
    """A rate: ``3.12 Mb/s``."""
    if per_s is None:
        return "-"
    for unit, size in (("Gb/s", 1e9), ("Mb/s", 1e6), ("kb/s", 1e3)):
        if per_s >= size:
            return f"{per_s / size:.2f} {unit}"
    return f"{per_s:.0f} b/s"


def share(fraction: float | None) -> str:
    """A loss: ``1.2 %``."""
    return "-" if fraction is None else f"{100 * fraction:.1f} %"


def lasted(seconds: float) -> str:
    """How long: ``42 s``, ``12 min 05 s``, ``3 h 12 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
