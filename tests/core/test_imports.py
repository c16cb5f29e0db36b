"""What may import what (design section 2): core/ decides, and touches nothing; dependencies run one way."""

import ast
from pathlib import Path

import pytest

import rtspdsr

ROOT = Path(rtspdsr.__file__).parent

#: What reaches out of the process, waits, tells the time, or costs the daemon its start.
FORBIDDEN = frozenset(
    {"asyncio", "socket", "ssl", "select", "selectors", "threading", "subprocess", "signal", "ctypes", "mmap"}
    | {"time", "datetime", "random", "secrets", "os", "io", "pathlib", "logging", "structlog"}
    | {"scapy", "pyroute2", "aiohttp", "aiortsp", "asyncio_dgram", "pydantic", "typer", "rich"}
)

#: The layers of design section 2, from the top; a module may import its own layer and those below.
CORE, BASE = "rtspdsr.core", ("rtspdsr.model", "rtspdsr.errors")


def modules() -> dict[str, Path]:
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(name: str) -> set[str]:
    """Modules that a module imports, be it for its types alone or within a function."""
    tree = ast.parse(MODULES[name].read_text())
    package = name if MODULES[name].name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]).rstrip(".")
            found.update(
                whole if (whole := f"{base}.{alias.name}") in MODULES else base for alias in node.names
            )
    return found


CORE_MODULES = sorted(name for name in MODULES if name.startswith(CORE))


@pytest.mark.parametrize("name", CORE_MODULES)
def test_core_touches_nothing(name: str) -> None:
    assert {one.partition(".")[0] for one in imported(name)}.isdisjoint(FORBIDDEN)


@pytest.mark.parametrize("name", CORE_MODULES)
def test_core_imports_only_itself_and_the_values(name: str) -> None:
    ours = {one for one in imported(name) if one.startswith("rtspdsr")}
    assert {one for one in ours if not one.startswith((CORE, *BASE))} == set()


@pytest.mark.parametrize("name", BASE)
def test_values_and_errors_import_nothing_of_ours(name: str) -> None:
    assert {one for one in imported(name) if one.startswith("rtspdsr")} == set()


def test_nothing_below_the_shell_imports_it() -> None:
    shell = {"rtspdsr.balancer.balancer", "rtspdsr.cli"}
    below = [name for name in MODULES if name.startswith((CORE, "rtspdsr.dataplane", *BASE))]
    for name in below:
        assert {one for one in imported(name) if one.startswith(tuple(shell))} == set(), name


def test_no_module_imports_itself_by_way_of_others() -> None:
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name in done:
            return
        for one in sorted(imported(name)):
            if one in MODULES:
                visit(one, (*way, name))
        done.add(name)

    for name in sorted(MODULES):
        visit(name, ())
