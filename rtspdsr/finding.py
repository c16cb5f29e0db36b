"""What a check of a machine says of one thing: the one shape for media servers and the balancer.

Frozen values and nothing else. ``preparation.check`` and ``doctor`` make them, the command line shows them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a thing stands."""

    OK = "ok"
    ADVICE = "advice"  #: it works, and could work better or will not under load
    WRONG = "wrong"
    UNKNOWN = "unknown"  #: it cannot be told here; ``measured`` says why


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at.

    about:    what was looked at
    measured: what was found
    why:      why it matters
    mend:     what to run or do about it; empty if it is well
    """

    about: str
    verdict: Verdict
    measured: str
    why: str
    mend: str = ""


def judged(about: str, verdict: Verdict, measured: str, why: str, mend: str) -> Finding:
    """A finding whose remedy is told only where there is something to mend."""
    return Finding(
        about=about,
        verdict=verdict,
        measured=measured,
        why=why,
        mend="" if verdict is Verdict.OK else mend,
    )


def any_wrong(findings: Iterable[Finding]) -> bool:
    """Whether anything has to be mended."""
    return any(finding.verdict is Verdict.WRONG for finding in findings)
