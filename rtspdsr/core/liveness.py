"""Whether the daemon does its work, judged by what only its work changes.

Handed looks at the detour and at the tracker's deadline, a few seconds apart; gives back what is wrong, in
words, or nothing. A daemon that fails here is better ended: the kernel forwards without it, and the next one
adopts what stands.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was seen at one moment.

    alive_until: the tracker's deadline as XDP reads it, monotonic clock, seconds
    waiting:     whether anything is in the rings, or taken from them and not read yet
    read:        segments and notices that were read so far
    """

    alive_until: float
    waiting: bool
    read: int


class Liveness:
    """Compares each look with the one before it."""

    def __init__(self) -> None:
        self._before: Look | None = None

    def judge(self, look: Look) -> str | None:
        """What is wrong, None if nothing is."""
        before, self._before = self._before, look
        if before is None:
            return None
        if look.alive_until == before.alive_until:
            return "the tracker's deadline is not renewed: XDP forwards requests unread"
        if before.waiting and look.waiting and look.read == before.read:
            return "the detour stands still: requests wait, and none is read"
        return None
