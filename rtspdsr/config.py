"""The configuration: a TOML file in, one frozen ``Config`` out, or every mistake in it named by its key.

``load`` is handed a path and reads that file; nothing here looks at the machine. ``Config.reloaded`` says
what is in force after a reload: what a running daemon cannot change (``NEEDS_RESTART``) stays as it was.
"""

import json
import reprlib
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from rtspdsr.clientnames import ClientAddresses
from rtspdsr.conflicts import conflicts, usable
from rtspdsr.errors import ConfigError
from rtspdsr.model import Address, PlaceBy, Schedule

PORTS_MAX = 8  # SERVICE_PORTS in shared.h
SERVICES_MAX = 256  # each takes two halves of 65,537 slots, 512 KiB
BACKENDS_MAX = 65_535  # 16 bits in shared.h's struct pin
ENTRIES_MAX = 1 << 26  # entries of a kernel map that this machine could still hold


class Mode(StrEnum):
    """How XDP attaches."""

    AUTO = "auto"  #: native where the driver can, else generic
    NATIVE = "native"
    GENERIC = "generic"


class FastCheck(StrEnum):
    """How a backend is asked all the time."""

    NONE = "none"
    TCP = "tcp"
    OPTIONS = "options"
    DESCRIBE = "describe"


class OnBackendDown(StrEnum):
    """What becomes of a dead backend's clients."""

    RESET = "reset"  #: told by a RST, so that they connect again at once
    KEEP = "keep"


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("should be an absolute path")
    return path


def _log_file(file: str) -> str:
    if file != "-":
        _absolute(Path(file))
    return file


def _token_file(file: str) -> str:
    if file:
        _absolute(Path(file))
    return file


def _listen(where: str) -> str:
    if where:
        listen_address(where)
    return where


def listen_address(where: str) -> tuple[str, int]:
    """``192.0.2.1:8554`` or ``[2001:db8::1]:8554`` as address and port. Raises ValueError."""
    address, _, port = where.rpartition(":")
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise ValueError("should be ADDRESS:PORT")
    try:
        if address.startswith("["):
            return str(IPv6Address(address.removeprefix("[").removesuffix("]"))), int(port)
        return str(IPv4Address(address)), int(port)
    except ValueError:
        raise ValueError("should be ADDRESS:PORT, with an IPv6 address in brackets") from None


def _address(value: object) -> Address:
    if not isinstance(value, str):
        raise ValueError("should be an address in quotes")
    try:
        address = ip_address(value)
    except ValueError:
        raise ValueError("should be an IPv4 or IPv6 address, without a prefix length") from None
    if problem := usable(address):
        raise ValueError(problem)
    return address


def _power_of_two(number: int) -> int:
    if number & (number - 1):
        raise ValueError("should be a power of two: the kernel makes no other rings")
    return number


def _mark(number: int) -> int:
    if number & 0xFFFF:
        raise ValueError("should be a multiple of 65536: the lower 16 bits are a backend's number")
    return number


def _probe_url(url: str) -> str:
    if url and (urlsplit(url).scheme != "rtsp" or not urlsplit(url).hostname):
        raise ValueError("should begin with rtsp:// and name a VIP of the service")
    return url


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
ConfigAddress = Annotated[IPv4Address | IPv6Address, PlainValidator(_address)]
Count = Annotated[int, Field(strict=True, ge=1, le=ENTRIES_MAX)]
Mib = Annotated[int, Field(strict=True, ge=1, le=65_536)]
Seconds = Annotated[float, Field(strict=True, gt=0, le=86_400, allow_inf_nan=False)]
Port = Annotated[int, Field(strict=True, ge=1, le=65_535)]
Name = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
HostName = Annotated[str, Field(max_length=253, pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$")]
Interface = Annotated[str, Field(max_length=15, pattern=r"^[^\s/:.][^\s/:]*$")]


class Section(BaseModel):
    """A table of the file: frozen, and without room for a key that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True, validate_default=True)


class DaemonSection(Section):
    """``[daemon]``: where it keeps what must survive it."""

    state_dir: AbsolutePath = Path("/var/lib/rtspdsr")
    run_dir: AbsolutePath = Path("/run/rtspdsr")


class DataplaneSection(Section):
    """``[dataplane]``: where the XDP program attaches, and the sizes of its maps."""

    interfaces: Annotated[tuple[Interface, ...], Field(min_length=1, max_length=64)]
    mode: Mode = Mode.AUTO
    bpffs: AbsolutePath = Path("/sys/fs/bpf")
    pins_max: Count = 1_000_000
    flows_max: Count = 262_144
    clients_max: Count = 262_144
    newcomers_max: Count = 65_536
    services_max: Annotated[int, Field(strict=True, ge=1, le=SERVICES_MAX)] = 16
    backends_max: Annotated[int, Field(strict=True, ge=1, le=BACKENDS_MAX)] = 1024
    segments_ring_mib: Annotated[Mib, Field(le=1024), AfterValidator(_power_of_two)] = 4


class TrackerSection(Section):
    """``[tracker]``: how long sessions are believed in, and what reading them may cost."""

    idle_s: Seconds = 90.0
    linger_s: Seconds = 10.0
    provisional_s: Seconds = 10.0
    provisional_max: Count = 65_536
    connections_max: Count = 262_144
    client_connections_max: Count = 4096
    buffer_mib: Mib = 256
    header_kib: Annotated[int, Field(strict=True, ge=1, le=1024)] = 64
    stall_s: Seconds = 10.0


class LogSection(Section):
    """``[log]``: the session log."""

    file: Annotated[str, Field(min_length=1), AfterValidator(_log_file)] = "/var/log/rtspdsr/sessions.log"
    rotate_mib: Mib = 100
    rotate_keep: Annotated[int, Field(strict=True, ge=1, le=1000)] = 10
    queue_max: Count = 65_536
    client_addresses: ClientAddresses = ClientAddresses.FULL


class AdminSection(Section):
    """``[admin]``: how operators reach the API beside its Unix socket."""

    listen: Annotated[str, AfterValidator(_listen)] = ""
    token_file: Annotated[str, AfterValidator(_token_file)] = ""
    hosts: tuple[HostName, ...] = ()


class ProbeSection(Section):
    """``[probe]``: the packet marks and routing tables by which checks reach a backend through the VIP."""

    mark_base: Annotated[int, Field(strict=True, ge=1 << 16, le=0xFFFF0000), AfterValidator(_mark)] = (
        0x52440000
    )
    table_base: Annotated[int, Field(strict=True, ge=1 << 16, le=0xFFFF0000)] = 0x52440000
    rule_priority: Annotated[int, Field(strict=True, ge=1, le=32_000)] = 5000


class HealthSection(Section):
    """``[service.health]``: how its backends are checked, and what becomes of a dead one's clients."""

    check: FastCheck = FastCheck.OPTIONS
    interval_s: Annotated[Seconds, Field(ge=0.2, le=60)] = 1.0
    timeout_s: Annotated[Seconds, Field(ge=0.05, le=60)] = 0.8
    rise: Annotated[int, Field(strict=True, ge=1, le=100)] = 3
    fall: Annotated[int, Field(strict=True, ge=1, le=100)] = 2
    probe_url: Annotated[str, Field(max_length=1024), AfterValidator(_probe_url)] = ""
    play_interval_s: Annotated[Seconds, Field(ge=10, le=30)] = 20.0
    on_backend_down: OnBackendDown = OnBackendDown.RESET
    reset_max_share: Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)] = 0.5
    resets_per_s: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 100


class BackendSection(Section):
    """``[[service.backend]]``: one media server."""

    name: Name
    addresses: Annotated[tuple[ConfigAddress, ...], Field(min_length=1)]
    weight: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 100
    max_sessions: Annotated[int, Field(strict=True, ge=0, le=ENTRIES_MAX)] = 0


class ServiceSection(Section):
    """``[[service]]``: a VIP, or one of each family, and the media servers behind it."""

    name: Name
    vips: Annotated[tuple[ConfigAddress, ...], Field(min_length=1)]
    ports: Annotated[tuple[Port, ...], Field(min_length=1, max_length=PORTS_MAX)] = (554,)
    opaque_ports: tuple[Port, ...] = ()
    schedule: Schedule = Schedule.HASH
    place_by: PlaceBy = PlaceBy.CLIENT
    slow_start_s: Annotated[float, Field(strict=True, ge=0, le=3600, allow_inf_nan=False)] = 0.0
    health: HealthSection = HealthSection()
    backends: Annotated[tuple[BackendSection, ...], Field(min_length=1, alias="backend")]


class Config(Section):
    """The whole file."""

    daemon: DaemonSection = DaemonSection()
    dataplane: DataplaneSection
    tracker: TrackerSection = TrackerSection()
    log: LogSection = LogSection()
    admin: AdminSection = AdminSection()
    probe: ProbeSection = ProbeSection()
    services: Annotated[tuple[ServiceSection, ...], Field(min_length=1, alias="service")]

    def reloaded(self, new: Self) -> Self:
        """What is in force after a reload of ``new``: all of it, but what needs a restart."""
        return new.model_copy(
            update={
                "daemon": self.daemon,
                "dataplane": self.dataplane,
                "admin": self.admin,
                "probe": self.probe,
                "log": new.log.model_copy(
                    update={
                        "file": self.log.file,
                        "queue_max": self.log.queue_max,
                        "client_addresses": self.log.client_addresses,
                    },
                ),
            }
        )


#: Sections and keys that a running daemon cannot change.
NEEDS_RESTART = ("daemon", "dataplane", "admin", "probe", "log.file", "log.queue_max", "log.client_addresses")

#: The model of each table, by its place in the file.
TABLES: Mapping[tuple[str, ...], type[Section]] = {
    (): Config,
    ("daemon",): DaemonSection,
    ("dataplane",): DataplaneSection,
    ("tracker",): TrackerSection,
    ("log",): LogSection,
    ("admin",): AdminSection,
    ("probe",): ProbeSection,
    ("service",): ServiceSection,
    ("service", "health"): HealthSection,
    ("service", "backend"): BackendSection,
}

# --- reading ---------------------------------------------------------------------------------------


def load(path: Path) -> Config:
    """Read a TOML file. Raises ``ConfigError`` with every mistake in ``mistakes``."""
    try:
        raw = tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    return _validated(raw, path)


def load_effective(path: Path) -> Config:
    """Read what a daemon wrote of its configuration in force (``Config.model_dump_json()``)."""
    try:
        raw = json.loads(_read(path))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}: not what a daemon writes: {error}") from error
    return _validated(raw, path)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}; "
            "name the configuration with --config, or in RTSPDSR_CONFIG"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}"
        ) from error


def _validated(raw: object, path: Path) -> Config:
    mistakes: list[str] = []
    config = None
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        mistakes += [_in_words(detail) for detail in error.errors(include_url=False) if not _follows(detail)]
    mistakes += conflicts(raw)
    if config is None or mistakes:
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        raise ConfigError("\n  ".join([f"{path}: {count}:", *mistakes]), mistakes)
    return config


def _follows(detail: Mapping[str, Any]) -> bool:
    """Whether a list is short only because its entries are wrong, which is reported already."""
    return detail["type"] == "too_short" and len(detail["input"]) > 0


def _in_words(detail: Mapping[str, Any]) -> str:
    """One of pydantic's error details as ``key: 'value' is wrong in this way``."""
    place: tuple[str | int, ...] = detail["loc"]
    key = dotted(place)
    match detail["type"]:
        case "missing":
            return f"{key}: is required"
        case "extra_forbidden":
            table = TABLES[tuple(part for part in place[:-1] if isinstance(part, str))]
            known = [field.alias or name for name, field in table.model_fields.items()]
            near = get_close_matches(str(place[-1]), known, n=1)
            return f"{key}: is no key; " + (
                f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            )
        case "tuple_type" if place[-1] in ("service", "backend"):
            tables = ".".join(part for part in place if isinstance(part, str))
            return f"{key}: should be a list of tables; write [[{tables}]]"
        case "model_type":
            return f"{key}: {reprlib.repr(detail['input'])} should be a table"
        case "string_pattern_mismatch":
            return f"{key}: {reprlib.repr(detail['input'])} is no usable name"
        case "too_short":
            return f"{key}: should not be empty"
        case "too_long":
            return (
                f"{key}: has {detail['ctx']['actual_length']} entries, {detail['ctx']['max_length']} at most"
            )
        case _:
            text = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
            return f"{key}: {reprlib.repr(detail['input'])} {text[0].lower()}{text[1:]}"


def dotted(place: Iterable[str | int]) -> str:
    """``("service", 0, "vips", 1)`` -> ``service[0].vips[1]``."""
    key = ""
    for part in place:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else part
    return key
