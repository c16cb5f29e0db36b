"""Whether each backend is fit for new clients: checks become due, their outcomes become states.

It is handed which backends belong to which service, the outcome of each check, and ``now``; it gives back the
checks that are due and what has changed. It reaches no backend itself, and moves no session.

Three things keep a false alarm small. A backend is taken out only while another of its service passes the
same check at the same time: if none does, the fault may be ours, and the last table stays in force. A backend
that goes up and down needs ever more passes in a row. And one check of a kind runs for a backend at a time.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from rtspdsr.core.events import BackendDown, BackendUp, Event, HealthChanged, ServiceFailing
from rtspdsr.model import Address

CHECKS_PER_S = 200  # a check costs the loop half a millisecond; with more backends the interval grows
JITTER = 0.2  # of an interval, so that backends are not all asked at one moment
RECHECK_S = 0.1  # after a failure, to know soon whether it was one
PLAY_RECHECK_S = 5.0  # a play takes two seconds by itself
WITNESSES = 2  # others asked at once when a backend begins to fail
FLAP_S = 300.0  # a backend that goes down again within this time flaps
FLAPS_MAX = 5  # doublings of ``rise``
REPEAT_S = 60.0  # between two warnings that no backend of a service passes


class Check(StrEnum):
    """How a backend is asked."""

    TCP = "tcp"
    OPTIONS = "options"
    DESCRIBE = "describe"
    PLAY = "play"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How the backends of one service are checked.

    check:           the frequent one; None for none
    play_interval_s: between two plays; None for none
    rise, fall:      passes and failures in a row that count
    """

    check: Check | None
    interval_s: float = 1.0
    play_interval_s: float | None = None
    rise: int = 3
    fall: int = 2

    def intervals(self) -> dict[Check, float]:
        """Every kind of check that is made, and how often."""
        found = {} if self.check is None else {self.check: self.interval_s}
        return found if self.play_interval_s is None else {**found, Check.PLAY: self.play_interval_s}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one check found; ``None`` where it did not come so far.

    problem:     why it failed, in words; "" if it passed
    response_s:  from the first SYN to the first response (``tcp``: to the connection)
    first_rtp_s: from PLAY to the first RTP packet
    bits_per_s:  of RTP, payload and headers of RTP
    lost:        fraction of the RTP packets, 0 to 1
    jitter_s:    interarrival jitter (RFC 3550)
    source:      address that RTP came from
    """

    problem: str = ""
    response_s: float | None = None
    first_rtp_s: float | None = None
    bits_per_s: float | None = None
    lost: float | None = None
    jitter_s: float | None = None
    source: Address | None = None

    @property
    def passed(self) -> bool:
        """Nothing is wrong."""
        return not self.problem


@dataclass(frozen=True, slots=True)
class Order:
    """A check to be made now."""

    backend_id: int
    check: Check


@dataclass(slots=True)
class Checked:
    """One kind of check of one backend.

    failing:    by rise and fall
    streak:     outcomes in a row that speak against ``failing``
    suspect_at: when the first check of a streak of failures began
    begun_at:   when the check began whose outcome is ``last``
    """

    due_at: float
    running: bool = False
    started_at: float = 0.0
    failing: bool = False
    streak: int = 0
    suspect_at: float = 0.0
    last: Outcome | None = None
    last_at: float = 0.0
    begun_at: float = 0.0

    def passes_since(self, at: float) -> bool:
        """Whether the last check began after ``at`` and passed."""
        return not self.failing and self.last is not None and self.last.passed and self.begun_at >= at


@dataclass(slots=True)
class Member:
    """One backend of a service.

    down:       it takes no new clients
    changed_at: when it last went up or down; None if it never did
    flaps:      how often it went down soon after it came up, the last time included
    """

    backend_id: int
    checks: dict[Check, Checked] = field(default_factory=dict)
    down: bool = False
    changed_at: float | None = None
    flaps: int = 0

    @property
    def failing(self) -> list[tuple[Check, Checked]]:
        """The checks that it fails."""
        return [(check, checked) for check, checked in self.checks.items() if checked.failing]


@dataclass(slots=True)
class Group:
    """The backends of one service."""

    service_id: int
    policy: Policy
    members: dict[int, Member]
    warned_at: float | None = None


class Health:
    """All backends of all services.

    jitter: numbers from 0 to 1, without end
    """

    def __init__(self, jitter: Iterator[float]) -> None:
        self._jitter = jitter
        self._groups: dict[int, Group] = {}
        self._members: dict[int, tuple[Group, Member]] = {}

    @property
    def members(self) -> Mapping[int, tuple[Group, Member]]:
        """Every backend that is watched, by its id. To be read only."""
        return self._members

    def watch(self, services: Iterable[tuple[int, Policy, Sequence[int]]], now: float) -> list[Event]:
        """Watch these backends and no others; what is known of those that stay is kept.

        services: id, policy and backend ids of each
        """
        former = self._members
        self._members, groups = {}, {}
        for service_id, policy, backend_ids in services:
            members = {one: former[one][1] if one in former else Member(one) for one in backend_ids}
            group = groups[service_id] = Group(service_id, policy, members)
            for member in members.values():
                self._arrange(member, policy, now)
                self._members[member.backend_id] = (group, member)
        self._groups = groups
        said: list[Event] = []
        for group in groups.values():
            self._settle(group, now, said)
        return said

    def recall(self, backend_id: int, problems: Mapping[str, str], since: float, now: float) -> None:
        """Go on with a backend that was down before, by these checks: it comes up when they pass again.

        problems: what they found, by check; if none of them is made any more, it counts as up
        """
        if backend_id not in self._members:
            return
        _, member = self._members[backend_id]
        for check, checked in member.checks.items():
            if check in problems:
                checked.failing, checked.last = True, Outcome(problem=problems[check])
                checked.last_at = checked.begun_at = checked.suspect_at = now
        if member.failing:
            member.down, member.changed_at = True, since

    def fallen(self, backend_id: int) -> tuple[float, dict[str, str]] | None:
        """Since when a backend is down and by what, as ``recall`` takes it; None if it is not."""
        if not self.is_down(backend_id):
            return None
        _, member = self._members[backend_id]
        problems = {str(check): one.last.problem for check, one in member.failing if one.last is not None}
        return member.changed_at or 0.0, problems

    def is_down(self, backend_id: int) -> bool:
        """Whether a backend is to take no new clients. One that is not watched may."""
        return backend_id in self._members and self._members[backend_id][1].down

    def problem(self, backend_id: int) -> str:
        """What is wrong with a backend, by the checks that it fails; "" if it fails none."""
        failing = self._members[backend_id][1].failing if backend_id in self._members else []
        return "; ".join(checked.last.problem for _, checked in failing if checked.last is not None)

    # --- what is to be done --------------------------------------------------------------------------

    def due(self, now: float) -> list[Order]:
        """The checks to be made now. Each is due again only when its outcome was taken in."""
        orders = []
        for _, member in self._members.values():
            for check, checked in member.checks.items():
                if not checked.running and checked.due_at <= now:
                    checked.running, checked.started_at = True, now
                    orders.append(Order(member.backend_id, check))
        return orders

    def next_timer(self) -> float | None:
        """When ``due`` has something to say without further news."""
        waiting = (
            checked.due_at
            for _, member in self._members.values()
            for checked in member.checks.values()
            if not checked.running
        )
        return min(waiting, default=None)

    # --- what was found ------------------------------------------------------------------------------

    def take(self, order: Order, outcome: Outcome, now: float) -> list[Event]:
        """Take in the outcome of a check."""
        group, member = self._members.get(order.backend_id, (None, None))
        if group is None or member is None or order.check not in member.checks:
            return []  # it left the configuration meanwhile
        checked = member.checks[order.check]
        said: list[Event] = []
        began_to_fail = not outcome.passed and (checked.last is None or checked.last.passed)
        checked.running, checked.last, checked.last_at = False, outcome, now
        checked.begun_at = checked.started_at
        if began_to_fail:
            checked.suspect_at = checked.started_at
            self._ask_witnesses(group, member, order.check, now)
        self._count(group, member, order.check, checked, said)
        self._plan(group, order.check, checked, now)
        self._settle(group, now, said)
        return said

    def forgo(self, order: Order, now: float) -> None:
        """A check could not be made, by a fault of ours: nothing is known, and it is due again."""
        group, member = self._members.get(order.backend_id, (None, None))
        if group is not None and member is not None and order.check in member.checks:
            checked = member.checks[order.check]
            checked.running = False
            checked.due_at = now + self._spread(group.policy, order.check)

    def _count(self, group: Group, member: Member, check: Check, checked: Checked, said: list[Event]) -> None:
        """Let outcomes in a row turn the verdict of a check."""
        if checked.last is None or checked.last.passed is not checked.failing:
            checked.streak = 0
            return
        checked.streak += 1
        needed = group.policy.rise << min(member.flaps, FLAPS_MAX) if checked.failing else group.policy.fall
        if checked.streak < needed:
            return
        checked.failing, checked.streak = not checked.failing, 0
        said.append(
            HealthChanged(
                at=checked.last_at,
                service_id=group.service_id,
                backend_id=member.backend_id,
                check=check,
                passing=not checked.failing,
                problem=checked.last.problem,
            )
        )

    def _plan(self, group: Group, check: Check, checked: Checked, now: float) -> None:
        """Say when a check is due again."""
        if checked.last is not None and not checked.last.passed and not checked.failing:
            checked.due_at = now + (PLAY_RECHECK_S if check is Check.PLAY else RECHECK_S)
            return
        checked.due_at = max(now, checked.started_at + self._spread(group.policy, check))

    def _ask_witnesses(self, group: Group, suspect: Member, check: Check, now: float) -> None:
        """Have others checked at once: does only this backend fail, or do all?"""
        others = (one for one in group.members.values() if one is not suspect and not one.down)
        waiting = [
            one.checks[check] for one in others if check in one.checks and not one.checks[check].failing
        ]
        for checked in sorted(waiting, key=lambda one: one.due_at)[:WITNESSES]:
            checked.due_at = min(checked.due_at, now)

    def _settle(self, group: Group, now: float, said: list[Event]) -> None:
        """Take out whoever fails while another passes, and let in whoever fails no more."""
        for member in group.members.values():
            failing = member.failing
            if member.down and not failing:
                self._up(group, member, now, said)
            elif not member.down:
                for check, checked in failing:
                    if self._another_passes(group, member, check, checked.suspect_at):
                        self._down(group, member, check, checked, now, said)
                        break
        self._warn(group, now, said)

    @staticmethod
    def _another_passes(group: Group, member: Member, check: Check, since: float) -> bool:
        return any(
            check in one.checks and one.checks[check].passes_since(since) and not one.failing
            for one in group.members.values()
            if one is not member and not one.down
        )

    def _down(
        self, group: Group, member: Member, check: Check, checked: Checked, now: float, said: list[Event]
    ) -> None:
        recent = member.changed_at is not None and now - member.changed_at < FLAP_S
        member.flaps = member.flaps + 1 if recent else 0
        member.down, member.changed_at = True, now
        said.append(
            BackendDown(
                at=now,
                service_id=group.service_id,
                backend_id=member.backend_id,
                check=check,
                problem=checked.last.problem if checked.last else "",
            )
        )

    @staticmethod
    def _up(group: Group, member: Member, now: float, said: list[Event]) -> None:
        since, member.changed_at, member.down = member.changed_at, now, False
        lasted = now - (now if since is None else since)
        said.append(
            BackendUp(at=now, service_id=group.service_id, backend_id=member.backend_id, down_s=lasted)
        )

    @staticmethod
    def _warn(group: Group, now: float, said: list[Event]) -> None:
        """Say loudly, and again and again, that no backend of a service is fit."""
        failing = [one.failing for one in group.members.values()]
        if not failing or not all(failing):
            group.warned_at = None
            return
        if group.warned_at is not None and now - group.warned_at < REPEAT_S:
            return
        group.warned_at = now
        problems = {checked.last.problem: None for one in failing for _, checked in one if checked.last}
        said.append(
            ServiceFailing(
                at=now,
                service_id=group.service_id,
                backends=len(failing),
                problem="no backend passes, so the last table stays in force: " + "; ".join(problems),
            )
        )

    # --- inside --------------------------------------------------------------------------------------

    def _arrange(self, member: Member, policy: Policy, now: float) -> None:
        """Begin the checks of a policy that a backend does not have yet, each at its own moment."""
        wanted = policy.intervals()
        member.checks = {
            check: member.checks.get(check) or Checked(due_at=now + interval * next(self._jitter))
            for check, interval in wanted.items()
        }
        for check, checked in member.checks.items():
            checked.due_at = min(checked.due_at, now + wanted[check])

    def _spread(self, policy: Policy, check: Check) -> float:
        """An interval, a little longer or shorter each time."""
        interval_s = max(policy.intervals()[check], len(self._members) / CHECKS_PER_S)
        return interval_s * (1 - JITTER / 2 + JITTER * next(self._jitter))
