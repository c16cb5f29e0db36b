"""The record keeps what undo needs, whatever happens in between."""

from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from rtspdsr.errors import PreparationError
from rtspdsr.preparation.network import Hop, Route, Rule
from rtspdsr.preparation.record import Record, load, save
from rtspdsr.preparation.steps import AddAddress, AddRoute, AddRule, DropRoute, SetSysctl, Step, WriteFile

from .conftest import CLIENT4, REQUEST, VIP4, VIP6

ROUTE = Route(
    table=554,
    destination=ip_network("10.5.0.0/16"),
    hops=(Hop(interface="eth0", gateway=CLIENT4),),
    source=VIP4,
)
RULE = Rule(version=4, priority=554, table=554, incoming="lo", protocol=17, ports=(1024, 65534))
FILE = WriteFile(path=Path("/etc/a"), text="new", before=None, made=(Path("/etc/b"),), why="why")
SYSCTL = SetSysctl(key="net/ipv4/conf/all/arp_ignore", old="0", new="1", why="why")
STEPS: tuple[Step, ...] = (
    SYSCTL,
    AddAddress(vip=VIP4, why="why"),
    AddAddress(vip=VIP6, why="why"),
    AddRoute(route=ROUTE, why="why"),
    AddRule(rule=RULE, why="why"),
    AddRule(rule=replace(RULE, version=6), why="why"),
    FILE,
)


def recorded(*steps: Step) -> Record:
    record = Record(request=REQUEST)
    for step in steps:
        record = record.with_step(step)
    return record


def test_a_record_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "made" / "state.json"
    save(recorded(*STEPS), path)
    assert load(path) == Record(request=REQUEST, steps=STEPS)
    assert [entry.name for entry in path.parent.iterdir()] == ["state.json"]


def test_a_thing_changed_twice_keeps_the_value_it_had_at_first() -> None:
    again = SetSysctl(key=SYSCTL.key, old="2", new="8", why="why")
    rewritten = WriteFile(path=FILE.path, text="newer", before="new", made=(), why="why")
    assert recorded(SYSCTL, FILE, again, rewritten).steps == (
        replace(again, old="0"),
        replace(rewritten, before=None, made=FILE.made),
    )


def test_a_route_that_came_and_went_leaves_nothing_to_undo() -> None:
    record = recorded(SYSCTL, AddRoute(route=ROUTE, why="why"), DropRoute(route=ROUTE, why="why"))
    assert record.settled().steps == (SYSCTL,)


@pytest.mark.parametrize("text", ["", "{}", '{"request": 1}'])
def test_a_record_that_is_damaged_is_told_with_its_path(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)
    with pytest.raises(PreparationError, match=str(path)):
        load(path)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PreparationError, match="--state"):
        save(recorded(), tmp_path / "file" / "state.json")
