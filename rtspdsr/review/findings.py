"""What a survey shows beyond chance: backends that are worse than the others, uneven shares, common causes.

The unit is always a client at a backend (see ``panel.py``). Each family of questions is corrected for their
number by Holm's method at ``FALSE_ALARMS``: of reviews in which nothing is wrong, at most so many raise any
alarm of the family. What is beyond chance but too small to matter is told, and no alarm.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rtspdsr.review.inference import (
    Estimate,
    binomial,
    cliffs_delta,
    fisher,
    hodges_lehmann,
    holm,
    mann_whitney,
    risk_ratio,
    spread,
    wilson,
)
from rtspdsr.review.panel import AMOUNTS, RATES, Member, Panel
from rtspdsr.review.selection import network_of
from rtspdsr.review.survey import Tables

FALSE_ALARMS = 0.01
CLIENTS_MIN = 8  # on each side of a comparison; fewer prove nothing
DELTA_MIN = 0.147  # the customary bound of a "small" effect (Romano et al., 2006)
RATIO_MIN = 1.5  # times as often
UNEVEN_MIN = 0.2  # of its share, more or less
SPREAD_MIN = 10.0  # values besides the commonest, below which amounts are compared as yes and no
VALUES_MAX = 50  # of one attribute that are looked at for what failures have in common


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A backend's clients against those of the other backends of its service, by one measure.

    value, other_value: medians of amounts, shares of clients of rates
    effect:   Cliff's delta of amounts (-1 to 1), risk ratio of rates
    shift:    of amounts, in their own unit (Hodges-Lehmann); None of rates
    chance:   of this much worse by chance alone, corrected for all comparisons of the review
    alarm:    beyond chance, and large enough to matter
    """

    service: str
    backend: str
    measure: str
    clients: int
    other_clients: int
    value: float
    other_value: float
    test: str
    effect: Estimate
    shift: Estimate | None
    chance: float
    alarm: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A backend's part of the new clients against its part of the slot table.

    expected: 0 to 1, over the time that the log covers
    known:    the log told the shares; if not, equal ones are assumed
    """

    service: str
    backend: str
    clients: int
    all_clients: int
    expected: float
    part: Estimate
    chance: float
    known: bool
    alarm: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Something that clients with failures have in common more often than the others.

    part, other_part: share of clients with any failure, with and without it
    """

    attribute: str
    value: str
    clients: int
    failing: int
    part: float
    other_part: float
    ratio: Estimate
    chance: float
    alarm: bool = False


# --- backends against each other -----------------------------------------------------------------------


def comparisons(panels: Mapping[str, Panel]) -> list[Comparison]:
    """Every backend of every service by every measure, the least likely first."""
    found = [one for service, panel in panels.items() for one in _of_service(service, panel)]
    corrected = holm([one.chance for one in found])
    judged = [
        replace(one, chance=chance, alarm=chance < FALSE_ALARMS and _matters(one))
        for one, chance in zip(found, corrected, strict=True)
    ]
    return sorted(judged, key=lambda one: (one.chance, one.service, one.backend, one.measure))


def untested(panels: Mapping[str, Panel]) -> list[tuple[str, str, int]]:
    """Backends with too few clients to be compared, with their number."""
    return [
        (service, name, len(sample.members))
        for service, panel in sorted(panels.items())
        for name, sample in sorted(panel.backends.items())
        if len(panel.backends) > 1 and len(sample.members) < CLIENTS_MIN
    ]


def _of_service(service: str, panel: Panel) -> Iterable[Comparison]:
    for measure in (*AMOUNTS, *RATES):
        values = {
            name: sorted(_values(measure, sample.members.values())) for name, sample in panel.backends.items()
        }
        for backend, ones in values.items():
            others = sorted(value for name, some in values.items() if name != backend for value in some)
            if min(len(ones), len(others)) >= CLIENTS_MIN:
                found = _compared(measure, ones, others)
                yield replace(found, service=service, backend=backend)


def _values(measure: str, members: Iterable[Member]) -> Iterable[float]:
    for member in members:
        if measure in RATES:
            yield float(getattr(member, measure) > 0)
        elif (mean := member.mean(measure)) is not None:
            yield mean


def _compared(measure: str, ones: Sequence[float], others: Sequence[float]) -> Comparison:
    commonest, varied = (0.0, 0.0) if measure in RATES else spread(ones, others)
    if measure not in RATES and varied >= SPREAD_MIN:
        return Comparison(
            service="",
            backend="",
            measure=measure,
            clients=len(ones),
            other_clients=len(others),
            value=ones[len(ones) // 2],
            other_value=others[len(others) // 2],
            test="Mann-Whitney",
            effect=cliffs_delta(ones, others),
            shift=hodges_lehmann(ones, others),
            chance=mann_whitney(ones, others),
        )
    hits, other_hits = (len(some) - bisect_right(some, commonest) for some in (ones, others))
    return Comparison(
        service="",
        backend="",
        measure=measure,
        clients=len(ones),
        other_clients=len(others),
        value=hits / len(ones),
        other_value=other_hits / len(others),
        test="Fisher",
        effect=risk_ratio(hits, len(ones), other_hits, len(others)),
        shift=None,
        chance=fisher(hits, len(ones), other_hits, len(others)),
    )


def _matters(one: Comparison) -> bool:
    return one.effect.value >= (DELTA_MIN if one.shift is not None else RATIO_MIN)


# --- shares -------------------------------------------------------------------------------------------


def shares(panels: Mapping[str, Panel], tables: Mapping[str, Tables]) -> list[Share]:
    """Each backend's part of the clients against its part of the slots, by service."""
    found = [one for service in sorted(panels) for one in _shares_of(service, panels[service], tables)]
    corrected = holm([one.chance for one in found])
    return [
        replace(
            one,
            chance=chance,
            alarm=one.known
            and chance < FALSE_ALARMS
            and abs(one.part.value - one.expected) > UNEVEN_MIN * one.expected,
        )
        for one, chance in zip(found, corrected, strict=True)
    ]


def _shares_of(service: str, panel: Panel, tables: Mapping[str, Tables]) -> Iterable[Share]:
    placed = panel.uniform()
    known = tables.get(service)
    if known is None:
        names = sorted(panel.backends)
        expected = {name: len(placed) / len(names) for name in names}
    else:
        placed = [(name, member) for name, member in placed if member.table is not None]
        expected = {name: 0.0 for shared in known.shares for name in shared}
        for _, member in placed:
            if member.table is not None:
                for name, share in known.shares[member.table].items():
                    expected[name] += share
    if len(placed) < CLIENTS_MIN or len(expected) < 2:
        return
    counts = dict.fromkeys(expected, 0)
    for name, _ in placed:
        counts[name] = counts.get(name, 0) + 1
    for name, clients in sorted(counts.items()):
        share = expected.get(name, 0.0) / len(placed)
        yield Share(
            service=service,
            backend=name,
            clients=clients,
            all_clients=len(placed),
            expected=share,
            part=wilson(clients, len(placed)),
            chance=binomial(clients, len(placed), share),
            known=known is not None,
        )


# --- what failures have in common -----------------------------------------------------------------------

_ATTRIBUTES: Mapping[str, Callable[[str, str, Member], str]] = {
    "backend": lambda service, backend, member: f"{service}/{backend}",
    "url": lambda service, backend, member: member.url,
    "user_agent": lambda service, backend, member: member.user_agent,
    "transport": lambda service, backend, member: member.transport,
    "network": lambda service, backend, member: network_of(member.client),
}


def causes(panels: Mapping[str, Panel]) -> list[Cause]:
    """Values that clients with failures share, the least likely first. One that all clients have is none."""
    members = [(name, *one) for name, panel in panels.items() for one in panel.uniform()]
    failing = sum(member.failed > 0 for *_, member in members)
    if not failing:
        return []
    found = [one for name in _ATTRIBUTES for one in _causes(name, members, failing)]
    corrected = holm([one.chance for one in found])
    judged = [
        replace(one, chance=chance, alarm=chance < FALSE_ALARMS and one.ratio.value >= RATIO_MIN)
        for one, chance in zip(found, corrected, strict=True)
    ]
    return sorted(judged, key=lambda one: (one.chance, -one.failing, one.attribute, one.value))


def _causes(attribute: str, members: Sequence[tuple[str, str, Member]], failing: int) -> Iterable[Cause]:
    counts: dict[str, tuple[int, int]] = {}
    for service, backend, member in members:
        value = _ATTRIBUTES[attribute](service, backend, member)
        clients, failed = counts.get(value, (0, 0))
        counts[value] = clients + 1, failed + (member.failed > 0)
    largest = sorted(counts.items(), key=lambda item: (-item[1][0], item[0]))[:VALUES_MAX]
    for value, (clients, failed) in largest:
        others = len(members) - clients
        if min(clients, others) < CLIENTS_MIN:
            continue
        yield Cause(
            attribute=attribute,
            value=value,
            clients=clients,
            failing=failed,
            part=failed / clients,
            other_part=(failing - failed) / others,
            ratio=risk_ratio(failed, clients, failing - failed, others),
            chance=fisher(failed, clients, failing - failed, others),
        )
