"""The steps of a preparation: each a frozen value that says what it changes, from what, to what, and why.

Steps do nothing themselves (``apply.py`` performs and reverses them); they can be printed, and written
into the record that ``undo`` reads.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rtspdsr.model import Address
from rtspdsr.preparation.network import LOOPBACK, Route, Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSysctl:
    """Write a sysctl; ``key`` is the path below /proc/sys."""

    key: str
    old: str
    new: str
    why: str
    kind: Literal["sysctl"] = "sysctl"

    @property
    def subject(self) -> str:
        return self.key

    @property
    def what(self) -> str:
        return f"sysctl {self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddAddress:
    """Put the VIP on lo, in a way that it is never chosen as a source by itself."""

    vip: Address
    why: str
    kind: Literal["address"] = "address"

    @property
    def subject(self) -> str:
        return str(self.vip)

    @property
    def what(self) -> str:
        return f"address on {LOOPBACK}"

    @property
    def old(self) -> str:
        return "none"

    @property
    def new(self) -> str:
        quiet = "scope host" if self.vip.version == 4 else "nodad preferred_lft 0"
        return f"{self.vip}/{self.vip.max_prefixlen} {quiet}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddRoute:
    """Add a route to the clients' own table."""

    route: Route
    why: str
    kind: Literal["route"] = "route"

    @property
    def subject(self) -> str:
        return str(self.route)

    @property
    def what(self) -> str:
        return f"IPv{self.route.destination.version} client route"

    @property
    def old(self) -> str:
        return "none"

    @property
    def new(self) -> str:
        return str(self.route)


@dataclass(frozen=True, slots=True, kw_only=True)
class DropRoute:
    """Remove a route from the clients' own table that the main table does not have (any more)."""

    route: Route
    why: str
    kind: Literal["stale_route"] = "stale_route"

    @property
    def subject(self) -> str:
        return str(self.route)

    @property
    def what(self) -> str:
        return f"IPv{self.route.destination.version} client route"

    @property
    def old(self) -> str:
        return str(self.route)

    @property
    def new(self) -> str:
        return "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddRule:
    """Send the packets meant for clients to the clients' own table."""

    rule: Rule
    why: str
    kind: Literal["rule"] = "rule"

    @property
    def subject(self) -> str:
        return f"IPv{self.rule.version} {self.rule}"

    @property
    def what(self) -> str:
        return f"IPv{self.rule.version} rule"

    @property
    def old(self) -> str:
        return "none"

    @property
    def new(self) -> str:
        return str(self.rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteFile:
    """Write a configuration file that survives a reboot.

    before: the text that was there; None if there was no such file
    made:   directories that must be made for it, outermost first
    """

    path: Path
    text: str
    before: str | None
    made: tuple[Path, ...]
    why: str
    kind: Literal["file"] = "file"

    @property
    def subject(self) -> str:
        return str(self.path)

    @property
    def what(self) -> str:
        return f"file {self.path}"

    @property
    def old(self) -> str:
        return "none" if self.before is None else f"{len(self.before.splitlines())} lines"

    @property
    def new(self) -> str:
        return f"{len(self.text.splitlines())} lines"


Step = SetSysctl | AddAddress | AddRoute | DropRoute | AddRule | WriteFile
