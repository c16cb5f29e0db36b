"""Compile the XDP program: ``forward.bpf.c`` -> ``forward.bpf.o``, which the wheel carries.

Handed the tree it stands in, by hatchling (wheels and editable installs) or by ``python hatch_build.py``
(the Makefile). Bytecode does not depend on the processor, so the wheel stays ``py3-none-any``, and
installing it needs no clang.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
SOURCE = Path("rtspdsr/dataplane/forward.bpf.c")
OBJECT = SOURCE.with_suffix(".o")
LLVM = Path("/usr/lib")  # where Debian puts llvm-*/bin, which is seldom in PATH
PREFERRED = 14  # the release of Debian 12; what the measurements were made with


class CompileError(Exception):
    """Says what is missing or wrong, and how to mend it."""


def find_clang() -> str:
    """``$CLANG``, else clang-14, else the newest clang there is."""
    if named := os.environ.get("CLANG"):
        if found := shutil.which(named):
            return found
        raise CompileError(f"CLANG={named} is no program; unset CLANG or name another")
    if found := shutil.which(f"clang-{PREFERRED}"):
        return found
    installed = {
        int(match[1]): path
        for path in LLVM.glob("llvm-*/bin/clang")
        if (match := re.search(r"llvm-(\d+)", str(path)))
    }
    if PREFERRED in installed:
        return str(installed[PREFERRED])
    if found := shutil.which("clang"):
        return found
    if installed:
        return str(installed[max(installed)])
    raise CompileError(
        "clang is needed to build the XDP program, and there is none; on Debian and Ubuntu run\n"
        "    apt-get install -y clang-14 libbpf-dev linux-libc-dev"
    )


def command(clang: str, target: Path) -> list[str]:
    """The compiler's command line, to be run in the root of the tree."""
    multiarch = sysconfig.get_config_var("MULTIARCH") or f"{platform.machine()}-linux-gnu"
    return [
        *(clang, "-O2", "-g", "-Wall", "-Werror"),
        *("-target", "bpf", "-mcpu=v3", f"-I/usr/include/{multiarch}"),
        "-ffile-compilation-dir=.",  # the same object wherever the tree lies
        *("-c", str(SOURCE), "-o", str(target)),
    ]


def compile_object(root: Path) -> Path:
    """Compile; the object appears whole or not at all. Returns its path."""
    partial = OBJECT.with_suffix(f".o.{os.getpid()}")
    try:
        ran = subprocess.run(
            command(find_clang(), partial), cwd=root, capture_output=True, text=True, check=False
        )
        if ran.returncode != 0:
            hint = "\nthe headers are in: apt-get install -y libbpf-dev linux-libc-dev" * (
                "file not found" in ran.stderr
            )
            raise CompileError(f"clang could not compile {SOURCE}:\n{ran.stderr.rstrip()}{hint}")
        (root / partial).replace(root / OBJECT)
    finally:
        (root / partial).unlink(missing_ok=True)
    return root / OBJECT


class BpfBuildHook(BuildHookInterface[Any]):
    """What hatchling runs before it packs a wheel or links a tree."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and add the object, which git ignores, to the wheel."""
        try:
            compile_object(Path(self.root))
        except CompileError as error:
            self.app.abort(str(error))
        build_data["artifacts"].append(f"/{OBJECT}")


if __name__ == "__main__":
    try:
        print(compile_object(ROOT))
    except CompileError as error:
        sys.exit(f"error: {error}")
