"""The wall clock: read from the kernel, and judged.

``adjtimex`` without a change is a question: Python has no other way to ask it.
"""

import ctypes

from rtspdsr.doctor.machine import Clock
from rtspdsr.finding import Finding, Verdict, judged

STA_UNSYNC = 0x0040
TIME_ERROR = 5
ERROR_MAX_S = 1.0  # NTP over the Internet stays below a tenth of that


class _Timex(ctypes.Structure):
    """The beginning of ``struct timex`` (linux/timex.h), and room for the rest of it."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        *((name, ctypes.c_long) for name in ("offset", "freq", "maxerror", "esterror")),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 40),
    )


def read() -> Clock | None:
    """Ask the kernel; None if it does not answer."""
    timex = _Timex(modes=0)
    state = ctypes.CDLL(None).adjtimex(ctypes.byref(timex))
    if state < 0:
        return None
    return Clock(
        synchronised=state != TIME_ERROR and not timex.status & STA_UNSYNC,
        error_s=timex.maxerror / 1e6,
    )


def judge(clock: Clock | None) -> Finding:
    """Whether somebody keeps the clock right."""
    about = "clock"
    why = "times in logs, and the sender reports that players line up sound and picture with, come from it"
    mend = "apt-get install -y chrony  # its default configuration has rtcsync, by which the kernel knows"
    if clock is None:
        return judged(about, Verdict.UNKNOWN, "the kernel does not tell", why, "adjtimex -p")
    if not clock.synchronised:
        return judged(about, Verdict.ADVICE, "nothing synchronises it, as the kernel knows", why, mend)
    right = clock.error_s < ERROR_MAX_S
    measured = f"synchronised, wrong by {1000 * clock.error_s:.0f} ms at most"
    return judged(about, Verdict.OK if right else Verdict.ADVICE, measured, why, "chronyc tracking")
