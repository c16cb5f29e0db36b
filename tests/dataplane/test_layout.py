"""Every struct and number that Python packs, held against what the compiler made of shared.h."""

import json
import re
import subprocess
from functools import cache
from hashlib import sha256
from ipaddress import ip_address
from typing import Any

import pytest

from rtspdsr.dataplane import layout
from rtspdsr.dataplane.layout import Layout, Verdict
from rtspdsr.dataplane.loader import OBJECT
from rtspdsr.model import FlowKey, PinFlag, Proto, Service


@cache
def types() -> list[dict[str, Any]]:
    """The BTF of the object."""
    dump = subprocess.run(
        ["bpftool", "-j", "btf", "dump", "file", str(OBJECT)], check=True, capture_output=True, text=True
    )
    found: list[dict[str, Any]] = json.loads(dump.stdout)["types"]
    return found


def btf(kind: str, name: str) -> dict[str, Any]:
    """One type by its kind and name."""
    return next(one for one in types() if one["kind"] == kind and one["name"] == name)


@pytest.mark.parametrize("one", layout.LAYOUTS, ids=lambda one: one.name)
def test_a_struct_is_packed_as_the_compiler_lays_it_out(one: Layout) -> None:
    compiled = btf("STRUCT", one.name)
    offsets = {member["name"]: member["bits_offset"] // 8 for member in compiled["members"]}
    assert one.offsets() == {name: offsets[name] for name in one.offsets()}
    assert set(offsets) == set(one.offsets())
    assert one.size == compiled["size"]


def test_verdicts_have_the_numbers_of_the_program() -> None:
    compiled = {value["name"]: value["val"] for value in btf("ENUM", "verdict")["values"]}
    assert compiled.pop("VERDICT_COUNT") == len(Verdict)
    assert compiled == {f"VERDICT_{one.name}": one.value for one in Verdict}
    assert set(layout.MEANINGS) == set(Verdict)


def test_flags_have_the_numbers_of_the_program() -> None:
    header = OBJECT.with_name("shared.h").read_text()  # an enum that no member has as its type is not in BTF
    numbers = {
        name: int(number)
        for name, number in re.findall(r"\b((?:PIN|BACKEND|SCHEDULE)_[A-Z_]+) = (\d+)", header)
    }
    assert {name: numbers[name] for name in numbers if name.startswith("PIN_")} == {
        "PIN_UNREAD": PinFlag.UNREAD,
        "PIN_UPSTREAM": PinFlag.UPSTREAM,
    }
    assert {name: numbers[name] for name in numbers if name.startswith("BACKEND_")} == {
        f"BACKEND_{one.name}": one.value for one in layout.BackendFlag
    }
    assert {name: numbers[name] for name in numbers if name.startswith("SCHEDULE_")} == {
        f"SCHEDULE_{one.name}": one.value for one in layout.ScheduleFlag
    }


@pytest.mark.parametrize("client", ["192.0.2.7", "2001:db8::7"])
def test_a_flow_survives_packing(client: str) -> None:
    flow = FlowKey(3, Proto.TCP, ip_address(client), 51000, 554)
    assert layout.unpack_flow(layout.pack_flow(flow)) == flow


def test_a_flow_key_is_laid_out_in_network_order() -> None:
    packed = layout.pack_flow(FlowKey(1, Proto.UDP, ip_address("192.0.2.7"), 0x1234))
    assert packed[:16] == bytes(10) + b"\xff\xff\xc0\x00\x02\x07"
    assert packed[16:20] == b"\x12\x34\x00\x00"


def test_a_service_names_its_ports_in_network_order() -> None:
    service = Service(service_id=2, name="cams", vips=(ip_address("192.0.2.1"),), ports=(554, 322))
    named = layout.SERVICE.named(layout.pack_service(service))
    assert named["ports"] == b"\x02\x2a\x01\x42" + bytes(12)
    assert named["id"] == 2


#: What shared.h and maps.h say, by version; comments and blanks left out. A change of either: a new version,
#: and a new line here. A member whose unit changes gets another name: adoption goes by names.
DIGESTS = {4: "63608afca92bb218"}


def test_a_change_of_what_is_shared_raises_the_version() -> None:
    headers = "".join(OBJECT.with_name(name).read_text() for name in ("shared.h", "maps.h"))
    (version,) = re.findall(r"#define LAYOUT_VERSION (\d+)", headers)
    assert int(version) == layout.LAYOUT_VERSION == max(DIGESTS)
    said = re.sub(r"/\*.*?\*/|[\s\\]", "", headers, flags=re.DOTALL)
    assert sha256(said.encode()).hexdigest()[:16] == DIGESTS[layout.LAYOUT_VERSION]


def test_a_report_with_more_duplicates_than_losses_has_a_negative_count() -> None:
    packed = layout.PIN_STATISTICS.pack(9, 900, 5, 0, 0, 0, 7, 0x80_FFFFFE, 4000, 12, 6_000_000_000)
    report = layout.unpack_statistics(packed, 0, float).report
    assert report is not None
    assert (report.fraction_lost, report.cumulative_lost) == (0.5, -2)
