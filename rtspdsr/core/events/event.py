"""What every event is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something the deciding code said at ``at``."""

    at: float
