"""How often what happened, since the daemon started: handed every event, it counts."""

from collections import Counter

from rtspdsr.core.events import CloseReason, Effect, Event, SessionAdopted, SessionClosed, SessionOpened


class Tally:
    """Counts of events.

    events:  facts, by their class
    opened:  sessions, by backend; those taken over too
    closed:  sessions, by backend and reason
    """

    def __init__(self) -> None:
        self.events: Counter[type[Event]] = Counter()
        self.opened: Counter[int] = Counter()
        self.closed: Counter[tuple[int, CloseReason]] = Counter()

    def note(self, event: Event) -> None:
        """Count an event."""
        if isinstance(event, Effect):
            return
        self.events[type(event)] += 1
        match event:
            case SessionOpened() | SessionAdopted():
                self.opened[event.backend_id] += 1
            case SessionClosed():
                self.closed[event.backend_id, event.reason] += 1

    def forget(self, backend_id: int) -> None:
        """A backend is gone, and another one may have its number."""
        del self.opened[backend_id]
        for reason in CloseReason:
            del self.closed[backend_id, reason]
