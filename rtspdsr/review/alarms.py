"""What somebody should look at, as sentences: what, how much, how certain.

Handed what ``findings.py`` judged and what the survey counted, gives back one sentence an alarm, the most
certain first. It judges nothing anew.
"""

from collections.abc import Iterable, Sequence

from rtspdsr.review.findings import Cause, Comparison, Share
from rtspdsr.review.report import Kind, shown
from rtspdsr.review.survey import Survey

_WORSE = {
    "setup_s": "set-up takes longer",
    "first_delivery_s": "media begins later",
    "loss": "more packets are lost",
    "jitter": "jitter is larger (RTP timestamp units)",
    "stalled": "more clients see stalls",
    "failed": "more clients have failed sessions",
}
_KINDS = {"setup_s": Kind.SECONDS, "first_delivery_s": Kind.SECONDS, "loss": Kind.SHARE}


def alarms(
    survey: Survey, compared: Sequence[Comparison], placed: Sequence[Share], common: Sequence[Cause]
) -> list[str]:
    """One sentence each."""
    return [
        *_about_log(survey),
        *(_compared(one, len(compared)) for one in compared if one.alarm),
        *(_placed(one) for one in placed if one.alarm),
        *(_common(one) for one in common if one.alarm),
    ]


def _about_log(survey: Survey) -> Iterable[str]:
    if survey.lines_dropped:
        yield f"the log is not whole: {survey.lines_dropped:,} lines were dropped when it was written"
    damaged = sum(places.count for places in survey.damaged.values())
    if damaged:
        first = next(iter(survey.damaged.values())).first
        yield f"{damaged:,} damaged lines were passed over, the first at {first}"


def _compared(one: Comparison, number: int) -> str:
    chance = f"chance {shown(one.chance, Kind.CHANCE)} after correction for {number} comparisons"
    what = f"{one.service}/{one.backend}: {_WORSE[one.measure]}:"
    if one.shift is None:
        return (
            f"{what} {shown(one.value, Kind.SHARE)} of {one.clients:,} clients against "
            f"{shown(one.other_value, Kind.SHARE)} at the other backends, {one.effect.value:.3g} times as "
            f"many (95 % {one.effect.low:.3g} to {one.effect.high:.3g}); {chance}"
        )
    kind = _KINDS.get(one.measure, Kind.NUMBER)
    value, other, shift, low, high = (
        shown(number, kind)
        for number in (one.value, one.other_value, one.shift.value, one.shift.low, one.shift.high)
    )
    return (
        f"{what} {value} against {other} at the other backends (median client), {shift} more "
        f"(95 % {low} to {high}); Cliff's delta {one.effect.value:.2f} "
        f"({one.effect.low:.2f} to {one.effect.high:.2f}), {chance}"
    )


def _placed(one: Share) -> str:
    way = "more" if one.part.value > one.expected else "fewer"
    return (
        f"{one.service}/{one.backend}: {way} clients than its share: {shown(one.part.value, Kind.SHARE)} of "
        f"them (95 % {shown(one.part.low, Kind.SHARE)} to {shown(one.part.high, Kind.SHARE)}) with "
        f"{shown(one.expected, Kind.SHARE)} of the slots; chance {shown(one.chance, Kind.CHANCE)}"
    )


def _common(one: Cause) -> str:
    return (
        f"failures have {one.attribute.replace('_', ' ')} {one.value} in common: "
        f"{shown(one.part, Kind.SHARE)} of its {one.clients:,} clients against "
        f"{shown(one.other_part, Kind.SHARE)} of the others, {one.ratio.value:.3g} times as many "
        f"(95 % {one.ratio.low:.3g} to {one.ratio.high:.3g}); chance {shown(one.chance, Kind.CHANCE)}"
    )
