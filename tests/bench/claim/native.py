"""The benchmark's own C programs, compiled when they are wanted by the compiler that the XDP program has."""

import subprocess
from pathlib import Path

import hatch_build

_HERE = Path(__file__).parent


def build(name: str, directory: Path) -> Path:
    """Compile ``NAME.c`` of this directory; gives back the program."""
    program = directory / name
    command = [hatch_build.find_clang(), "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*command, "-o", str(program), str(_HERE / f"{name}.c")], check=True)
    return program
