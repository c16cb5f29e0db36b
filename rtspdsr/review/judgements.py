"""The tables of what was judged: backends compared, shares, common causes, with how certain each is.

Handed the values of ``findings.py``, gives back tables. It decides nothing: an alarm was one before.
"""

from collections.abc import Iterable, Mapping

from rtspdsr.review.findings import CLIENTS_MIN, FALSE_ALARMS, Cause, Comparison, Share, untested
from rtspdsr.review.report import Column, Table, Value, chance, count, number, share, yes
from rtspdsr.review.survey import Survey


def causes_table(found: Iterable[Cause]) -> Table:
    rows: list[Mapping[str, Value]] = [
        {
            "attribute": one.attribute,
            "value": one.value,
            "clients": one.clients,
            "failing": one.failing,
            "part": one.part,
            "other_part": one.other_part,
            "ratio": one.ratio.value,
            "ratio_low": one.ratio.low,
            "ratio_high": one.ratio.high,
            "chance": one.chance,
            "alarm": one.alarm,
        }
        for one in found
        if one.failing
    ]
    return Table(
        name="failure_causes",
        title="What failures have in common",
        columns=(
            Column("attribute", "attribute"),
            Column("value", "value"),
            count("clients", "clients"),
            count("failing", "failing"),
            share("part", "with it"),
            share("other_part", "without"),
            number("ratio", "times"),
            number("ratio_low", "95% from"),
            number("ratio_high", "to"),
            chance("chance", "chance"),
            yes("alarm", "alarm"),
        ),
        rows=rows,
        note="Clients with any failed session, of a sample of the clients. chance: of so many by chance "
        "(Fisher, corrected by Holm).",
        ample=True,
    )


def shares_table(found: Iterable[Share], survey: Survey) -> Table:
    rows: list[Mapping[str, Value]] = [
        {
            "service": one.service,
            "backend": one.backend,
            "clients": one.clients,
            "all_clients": one.all_clients,
            "expected": one.expected,
            "part": one.part.value,
            "part_low": one.part.low,
            "part_high": one.part.high,
            "chance": one.chance,
            "shares_known": one.known,
            "alarm": one.alarm,
        }
        for one in found
    ]
    notes = ["Clients at a backend against its share of the slots. chance: of such a part by chance."]
    if survey.selection.narrows:
        notes = ["Not told for a part of the clients, URLs or backends."]
    elif any(not row["shares_known"] for row in rows):
        notes.append("A service without a line table_filled: equal shares are assumed, and raise no alarm.")
    return Table(
        name="shares",
        title="Evenness",
        columns=(
            Column("service", "service"),
            Column("backend", "backend"),
            count("clients", "clients"),
            share("expected", "share"),
            share("part", "part"),
            share("part_low", "95% from"),
            share("part_high", "to"),
            chance("chance", "chance"),
            yes("alarm", "alarm"),
        ),
        rows=rows,
        note=" ".join(notes),
    )


def comparisons_table(found: Iterable[Comparison], survey: Survey) -> Table:
    rows: list[Mapping[str, Value]] = [
        {
            "service": one.service,
            "backend": one.backend,
            "measure": one.measure,
            "clients": one.clients,
            "other_clients": one.other_clients,
            "value": one.value,
            "other_value": one.other_value,
            "shift": one.shift.value if one.shift else None,
            "shift_low": one.shift.low if one.shift else None,
            "shift_high": one.shift.high if one.shift else None,
            "effect": one.effect.value,
            "effect_low": one.effect.low,
            "effect_high": one.effect.high,
            "test": one.test,
            "chance": one.chance,
            "alarm": one.alarm,
        }
        for one in found
    ]
    few = [f"{service}/{name} ({clients})" for service, name, clients in untested(survey.panels)]
    note = (
        "Clients of a backend against those of the others of its service. Mann-Whitney: medians, shift by "
        "Hodges and Lehmann, effect is Cliff's delta (-1 to 1). Fisher: shares of clients, effect is the "
        f"risk ratio. chance: of so much worse by chance, corrected by Holm; below {FALSE_ALARMS:g} and with "
        "an effect that matters it is an alarm."
    )
    if few:
        shown = ", ".join(few[:10]) + (", ..." if len(few) > 10 else "")
        note += f" Not compared, with fewer than {CLIENTS_MIN} clients: {shown}."
    return Table(
        name="comparisons",
        title="Backends compared",
        columns=(
            Column("service", "service"),
            Column("backend", "backend"),
            Column("measure", "measure"),
            count("clients", "clients"),
            number("value", "value"),
            number("other_value", "others"),
            number("shift", "shift"),
            number("shift_low", "95% from"),
            number("shift_high", "to"),
            number("effect", "effect"),
            number("effect_low", "95% from"),
            number("effect_high", "to"),
            Column("test", "test"),
            chance("chance", "chance"),
            yes("alarm", "alarm"),
        ),
        rows=rows,
        note=note,
        ample=True,
    )
