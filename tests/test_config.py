"""A configuration is read whole, or refused with every mistake named by its key."""

import re
import tomllib
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic_core import PydanticUndefined

from rtspdsr.config import TABLES, Config, Mode, Section, load, load_effective
from rtspdsr.errors import ConfigError

SHIPPED = Path(__file__).parent.parent / "rtspdsr.toml"

SMALLEST = """
[dataplane]
interfaces = ["eth0"]
[[service]]
name = "cams"
vips = ["192.0.2.10", "2001:db8::10"]
[[service.backend]]
name = "cam-a"
addresses = ["192.0.2.21", "2001:db8::21"]
[[service.backend]]
name = "cam-b"
addresses = ["192.0.2.22"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rtspdsr.toml"


def read(file: Path, text: str) -> Config:
    file.write_text(text, encoding="utf-8")
    return load(file)


def mistakes(file: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        read(file, text)
    for mistake in refused.value.mistakes:
        assert mistake in str(refused.value)
    assert str(file) in str(refused.value)
    return list(refused.value.mistakes)


def test_the_smallest_file_has_defaults_for_the_rest(file: Path) -> None:
    config = read(file, SMALLEST)

    assert config.dataplane.mode is Mode.AUTO
    assert config.dataplane.pins_max == 1_000_000
    assert config.tracker.idle_s == 90.0
    (service,) = config.services
    assert service.vips == (IPv4Address("192.0.2.10"), IPv6Address("2001:db8::10"))
    assert service.ports == (554,)
    assert [backend.weight for backend in service.backends] == [100, 100]


class Case(NamedTuple):
    """One piece of the smallest file, replaced, and the mistakes that must be named."""

    name: str
    old: str
    new: str
    expected: list[str]


CASES = [
    Case("a key misspelt", 'name = "cam-b"', 'name = "cam-b"\nwieght = 5',
         ["service[0].backend[1].wieght: is no key; did you mean 'weight'?"]),
    Case("a key that resembles none", "[dataplane]", "[tracker]\nx = 1\n[dataplane]",
         ["tracker.x: is no key; there are idle_s, linger_s, provisional_s, provisional_max, "
          "connections_max, client_connections_max, buffer_mib, header_kib, stall_s"]),
    Case("a section misspelt", "[dataplane]", "[trakcer]\n[dataplane]",
         ["trakcer: is no key; did you mean 'tracker'?"]),
    Case("a number in quotes", "[dataplane]", "[dataplane]\npins_max = '5'",
         ["dataplane.pins_max: '5' should be a valid integer"]),
    Case("true for a number", "[dataplane]", "[dataplane]\npins_max = true",
         ["dataplane.pins_max: True should be a valid integer"]),
    Case("a schedule that there is not", 'name = "cams"', 'name = "cams"\nschedule = "random"',
         ["service[0].schedule: 'random' should be 'hash', 'weighted-round-robin', 'least-sessions' or "
          "'least-bandwidth'"]),
    Case("a limit below nothing", 'name = "cam-b"', 'name = "cam-b"\nmax_sessions = -1',
         ["service[0].backend[1].max_sessions: -1 should be greater than or equal to 0"]),
    Case("a slow start of days", 'name = "cams"', 'name = "cams"\nslow_start_s = 86400',
         ["service[0].slow_start_s: 86400 should be less than or equal to 3600"]),
    Case("a weight of nothing", 'name = "cam-b"', 'name = "cam-b"\nweight = 0',
         ["service[0].backend[1].weight: 0 should be greater than or equal to 1"]),
    Case("an endless time", "[dataplane]", "[tracker]\nidle_s = inf\n[dataplane]",
         ["tracker.idle_s: inf should be a finite number"]),
    Case("a ring of a size that the kernel refuses", "[dataplane]", "[dataplane]\nsegments_ring_mib = 3",
         ["dataplane.segments_ring_mib: 3 should be a power of two: the kernel makes no other rings"]),
    Case("an unknown mode", "[dataplane]", "[dataplane]\nmode = 'fast'",
         ["dataplane.mode: 'fast' should be 'auto', 'native' or 'generic'"]),
    Case("a relative directory", "[dataplane]", "[daemon]\nrun_dir = 'run'\n[dataplane]",
         ["daemon.run_dir: 'run' should be an absolute path"]),
    Case("a relative log file", "[dataplane]", "[log]\nfile = 'sessions.log'\n[dataplane]",
         ["log.file: 'sessions.log' should be an absolute path"]),
    Case("an admin address without a port", "[dataplane]",
         "[admin]\nlisten = '127.0.0.1'\ntoken_file = '/etc/token'\n[dataplane]",
         ["admin.listen: '127.0.0.1' should be ADDRESS:PORT"]),
    Case("an admin address of IPv6 without brackets", "[dataplane]",
         "[admin]\nlisten = '::1:8554'\ntoken_file = '/etc/token'\n[dataplane]",
         ["admin.listen: '::1:8554' should be ADDRESS:PORT, with an IPv6 address in brackets"]),
    Case("an admin address that anybody could ask", "[dataplane]",
         "[admin]\nlisten = '127.0.0.1:8554'\n[dataplane]",
         ["admin.token_file: is required with admin.listen, or anybody could change things; "
          "make one: openssl rand -hex 32"]),
    Case("no interface", '"eth0"', "", ["dataplane.interfaces: should not be empty"]),
    Case("the interfaces left out", 'interfaces = ["eth0"]', "", ["dataplane.interfaces: is required"]),
    Case("an interface twice", '"eth0"', '"eth0", "eth0"',
         ["dataplane.interfaces[1]: 'eth0' is already dataplane.interfaces[0]"]),
    Case("an interface that Linux could not name", '"eth0"', '"eth 0"',
         ["dataplane.interfaces[0]: 'eth 0' is no usable name"]),
    Case("an interface name that is too long", '"eth0"', '"sixteen-letters1"',
         ["dataplane.interfaces[0]: 'sixteen-letters1' string should have at most 15 characters"]),
    Case("a section that is a number", "[dataplane]", "log = 5\n[dataplane]", ["log: 5 should be a table"]),
    Case("one bracket too few", "[[service]]", "[service]",
         ["service: should be a list of tables; write [[service]]"]),
    Case("a service name with a blank", '"cams"', '"my cams"',
         ["service[0].name: 'my cams' is no usable name"]),
    Case("no VIP", '"192.0.2.10", "2001:db8::10"', "", ["service[0].vips: should not be empty"]),
    Case("a VIP with a prefix length", '"192.0.2.10"', '"192.0.2.10/24"',
         ["service[0].vips[0]: '192.0.2.10/24' should be an IPv4 or IPv6 address, "
          "without a prefix length"]),
    Case("a VIP without quotes", '"192.0.2.10"', "5",
         ["service[0].vips[0]: 5 should be an address in quotes"]),
    Case("a multicast VIP", '"192.0.2.10"', '"224.0.0.1"',
         ["service[0].vips[0]: '224.0.0.1' is multicast, not the address of one machine"]),
    Case("a loopback VIP", '"2001:db8::10"', '"::1"',
         ["service[0].vips[1]: '::1' is loopback, not the address of one machine"]),
    Case("an unspecified VIP", '"192.0.2.10"', '"0.0.0.0"',
         ["service[0].vips[0]: '0.0.0.0' is unspecified, not the address of one machine"]),
    Case("a broadcast VIP", '"192.0.2.10"', '"255.255.255.255"',
         ["service[0].vips[0]: '255.255.255.255' is broadcast, not the address of one machine"]),
    Case("a link-local VIP", '"2001:db8::10"', '"fe80::1"',
         ["service[0].vips[1]: 'fe80::1' is link-local, not the address of one machine"]),
    Case("an address with a zone", '"2001:db8::21"', '"fe80::1%eth0"',
         ["service[0].backend[0].addresses[1]: 'fe80::1%eth0' has a zone; "
          "a VIP and its backends have routable addresses"]),
    Case("IPv4 in IPv6's clothes", '"2001:db8::10"', '"::ffff:192.0.2.10"',
         ["service[0].vips[1]: '::ffff:192.0.2.10' should be written as IPv4: 192.0.2.10"]),
    Case("two VIPs of one family", '"2001:db8::10"', '"192.0.2.11"',
         ["service[0].vips[1]: a second IPv4 VIP, after service[0].vips[0]; give it a service of its own"]),
    Case("a VIP that is a backend", '"192.0.2.10"', '"192.0.2.22"',
         ["service[0].vips[0]: 192.0.2.22 is also service[0].backend[1].addresses[0]; "
          "a backend needs an address of its own"]),
    Case("two backends of one name", '"cam-b"', '"cam-a"',
         ["service[0].backend[1].name: 'cam-a' is already the name of a backend of this service: "
          "service[0].backend[0].name"]),
    Case("two backends at one address", '"192.0.2.22"', '"192.0.2.21"',
         ["service[0].backend[1].addresses[0]: 192.0.2.21 is already service[0].backend[0].addresses[0]"]),
    Case("two addresses of one family", '"192.0.2.22"', '"192.0.2.22", "192.0.2.23"',
         ["service[0].backend[1].addresses[1]: a second IPv4 address, after "
          "service[0].backend[1].addresses[0]; one a family is enough"]),
    Case("a port that is none", 'name = "cams"', 'name = "cams"\nports = [0, 65536]',
         ["service[0].ports[0]: 0 should be greater than or equal to 1",
          "service[0].ports[1]: 65536 should be less than or equal to 65535"]),
    Case("a port twice", 'name = "cams"', 'name = "cams"\nports = [554, 554]',
         ["service[0].ports[1]: 554 is already service[0].ports[0]"]),
    Case("more ports than fit", 'name = "cams"', 'name = "cams"\nports = [1, 2, 3, 4, 5, 6, 7, 8, 9]',
         ["service[0].ports: has 9 entries, 8 at most"]),
    Case("an opaque port that is not served", 'name = "cams"', 'name = "cams"\nopaque_ports = [322]',
         ["service[0].opaque_ports[0]: 322 is not in service[0].ports; name it there too"]),
    Case("a check that is none", 'name = "cams"', 'name = "cams"\nhealth.check = "ping"',
         ["service[0].health.check: 'ping' should be 'none', 'tcp', 'options' or 'describe'"]),
    Case("a health key misspelt", 'name = "cams"', 'name = "cams"\nhealth.intervall_s = 2.0',
         ["service[0].health.intervall_s: is no key; did you mean 'interval_s'?"]),
    Case("a description of nothing", 'name = "cams"', 'name = "cams"\nhealth.check = "describe"',
         ["service[0].health.check: 'describe' needs service[0].health.probe_url: what is to be described?"]),
    Case("a check that outlasts its interval", 'name = "cams"', 'name = "cams"\nhealth.timeout_s = 1.5',
         ["service[0].health.timeout_s: 1.5 is longer than service[0].health.interval_s, 1"]),
    Case("a play of another protocol", 'name = "cams"',
         'name = "cams"\nhealth.probe_url = "http://192.0.2.10/x"',
         ["service[0].health.probe_url: 'http://192.0.2.10/x' should begin with rtsp:// and name a VIP of "
          "the service"]),
    Case("a play past the VIP", 'name = "cams"', 'name = "cams"\nhealth.probe_url = "rtsp://192.0.2.21/x"',
         ["service[0].health.probe_url: 192.0.2.21 is not in service[0].vips; checks go through a VIP of the "
          "service"]),
    Case("a play by name", 'name = "cams"', 'name = "cams"\nhealth.probe_url = "rtsp://cams.example/x"',
         ["service[0].health.probe_url: should name a VIP of the service by its address, as clients may"]),
    Case("a play on another port", 'name = "cams"',
         'name = "cams"\nhealth.probe_url = "rtsp://[2001:db8::10]:8554/x"',
         ["service[0].health.probe_url: port 8554 is none on which service[0] speaks RTSP in the clear"]),
    Case("plays too often", 'name = "cams"', 'name = "cams"\nhealth.play_interval_s = 5.0',
         ["service[0].health.play_interval_s: 5.0 should be greater than or equal to 10"]),
    Case("more than all of the backends", 'name = "cams"', 'name = "cams"\nhealth.reset_max_share = 1.5',
         ["service[0].health.reset_max_share: 1.5 should be less than or equal to 1"]),
    Case("marks that would run into each other", "[dataplane]", "[probe]\nmark_base = 0x10001\n[dataplane]",
         ["probe.mark_base: 65537 should be a multiple of 65536: the lower 16 bits are a backend's number"]),
    Case("more backends than there is room for", "[dataplane]", "[dataplane]\nbackends_max = 1",
         ["dataplane.backends_max: 1 is too small for the 2 backends configured"]),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=attrgetter("name"))
def test_a_mistake_is_named_by_its_key(case: Case, file: Path) -> None:
    assert case.old in SMALLEST
    assert mistakes(file, SMALLEST.replace(case.old, case.new, 1)) == case.expected


def test_every_mistake_of_a_file_is_named_at_once(file: Path) -> None:
    text = SMALLEST
    for case in CASES:
        if case.name in (
            "a key misspelt",
            "a multicast VIP",
            "two backends at one address",
            "an unknown mode",
        ):
            text = text.replace(case.old, case.new, 1)

    assert len(mistakes(file, text)) == 4


def test_services_share_neither_name_nor_vip_but_may_share_machines(file: Path) -> None:
    second = SMALLEST[SMALLEST.index("[[service]]") :]

    assert mistakes(file, SMALLEST + second) == [
        "service[1].name: 'cams' is already the name of a service: service[0].name",
        "service[1].vips[0]: 192.0.2.10 is already service[0].vips[0]; one VIP belongs to one service",
        "service[1].vips[1]: 2001:db8::10 is already service[0].vips[1]; one VIP belongs to one service",
    ]
    other = second.replace("::10", "::11").replace("2.10", "2.11").replace("cams", "doors")
    assert [service.name for service in read(file, SMALLEST + other).services] == ["cams", "doors"]


def test_a_syntax_error_tells_its_line(file: Path) -> None:
    (mistake,) = mistakes(file, "[dataplane]\ninterfaces = [eth0]\n")

    assert mistake.startswith(f"{file}: not TOML: ")
    assert "line 2" in mistake


def test_a_file_that_cannot_be_read_is_named(file: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"{file}: cannot be read: No such file or directory")):
        load(file)
    file.write_bytes(b"[log]\n# \xff\n")
    with pytest.raises(ConfigError, match="not UTF-8 text: byte 8 is 0xff"):
        load(file)


def test_what_is_in_force_reads_back_as_it_was(file: Path) -> None:
    config = read(file, SMALLEST)
    file.write_text(config.model_dump_json(), encoding="utf-8")

    assert load_effective(file) == config


def test_what_no_daemon_wrote_is_refused(file: Path) -> None:
    file.write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="not what a daemon writes"):
        load_effective(file)


# --- the shipped file --------------------------------------------------------------------------------


REPEATED = (("service",), ("service", "backend"))  # written as [[...]]


def keys_with_defaults() -> Iterator[tuple[tuple[str, ...], str, Any]]:
    for table, model in TABLES.items():
        for name, field in model.model_fields.items():
            if isinstance(field.default, Section) or field.alias:
                continue  # a table itself
            if table or field.default is not PydanticUndefined:
                yield table, name, field.default


@pytest.fixture(scope="module")
def shipped_tables() -> dict[tuple[str, ...], dict[str, Any]]:
    raw = tomllib.loads(SHIPPED.read_text(encoding="utf-8"))
    service = raw["service"][0]
    return {
        **{(name,): raw[name] for name in ("daemon", "dataplane", "tracker", "log", "admin", "probe")},
        ("service",): service,
        ("service", "health"): service["health"],
        ("service", "backend"): service["backend"][0],
    }


def test_every_table_of_the_model_is_known() -> None:
    """So that the test below leaves out none."""
    assert {model for table, model in TABLES.items() if table} == set(Section.__subclasses__()) - {Config}


@pytest.mark.parametrize(
    ("table", "key", "default"),
    [pytest.param(*row, id=".".join((*row[0], row[1]))) for row in keys_with_defaults() if row[0]],
)
def test_the_shipped_file_has_every_key_with_its_default_and_a_comment(
    table: tuple[str, ...], key: str, default: Any, shipped_tables: dict[tuple[str, ...], dict[str, Any]]
) -> None:
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    name = ".".join(table)
    header = f"[[{name}]]" if table in REPEATED else f"[{name}]"
    start = lines.index(header)
    place = next(n for n, line in enumerate(lines[start:], start) if line.startswith(f"{key} = "))

    assert lines[place - 1].startswith("# "), f"no comment above {key}"
    if default is PydanticUndefined:
        comment = [line for line in lines[start:place] if line.startswith("#")]
        assert any(line.startswith("# Required.") for line in comment)
    else:
        value = shipped_tables[table][key]
        assert (tuple(value) if isinstance(value, list) else value) == (
            str(default) if isinstance(default, Path) else default
        )


def test_the_shipped_file_is_valid() -> None:
    assert len(load(SHIPPED).services) == 1
