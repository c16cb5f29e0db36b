"""How long a check that plays may take: in the process that makes it, and for whoever waits for it."""

PLAY_S = 12.0  # for all of a play but its end
END_S = 2.0  # for a SETUP on its way, and again for TEARDOWN


def longest_s(timeout_s: float | None) -> float:
    """From the first packet of a check to its last, at most; ``timeout_s`` is of a ``describe``."""
    return (PLAY_S if timeout_s is None else timeout_s) + 2 * END_S
