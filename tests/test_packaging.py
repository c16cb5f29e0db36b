"""The tree builds into a wheel that needs no compiler, and starts from nothing with one command."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import hatch_build

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OBJECT = "rtspdsr/dataplane/forward.bpf.o"
CAPTURES = "rtspdsr/review/capture.py"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that git knows or would take, and no built object."""
    copy = tmp_path_factory.mktemp("tree")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    subprocess.run(["git", "init", "--quiet"], cwd=copy, check=True)
    assert not (copy / OBJECT).exists()
    return copy


def build(tree: Path, target: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", target],
        cwd=tree, check=False, capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip


def built(tree: Path, pattern: str) -> Path:
    (found,) = (tree / "dist").glob(pattern)
    return found


def test_the_wheel_holds_the_object_and_suits_every_processor(tree: Path) -> None:
    assert build(tree, "wheel").returncode == 0

    wheel = built(tree, "*.whl")
    assert wheel.name == f"rtspdsr-{PROJECT['version']}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
        assert content.read(OBJECT)[:5] == b"\x7fELF\x02"
        assert str(tree).encode() not in content.read(OBJECT)
        entry_points = next(name for name in names if name.endswith("entry_points.txt"))
        assert b"rtspdsr = rtspdsr.cli:main" in content.read(entry_points)
    assert "rtspdsr/py.typed" in names
    assert f"rtspdsr-{PROJECT['version']}.data/data/share/rtspdsr/rtspdsr.toml" in names
    licenses = {Path(name).name for name in names if "/licenses/" in name}
    assert licenses == {"LICENSE", "GPL-2.0-only.txt", "BSD-2-Clause.txt", "MIT-uPlot.txt"}
    page = ROOT / "rtspdsr/admin/page"
    served = {str(file.relative_to(ROOT)) for file in page.rglob("*") if file.is_file()}
    assert served <= set(names)
    assert "rtspdsr/admin/page/vendor/LICENSE.uplot.txt" in served
    assert not [name for name in names if name.endswith((".c", ".h")) or name.startswith("tests/")]


def test_a_source_archive_builds_the_same_wheel(tree: Path, tmp_path: Path) -> None:
    assert build(tree, "sdist").returncode == 0
    subprocess.run(["tar", "-xzf", built(tree, "*.tar.gz"), "-C", tmp_path], check=True)
    (unpacked,) = tmp_path.iterdir()
    assert not (unpacked / OBJECT).exists()
    assert (unpacked / "rtspdsr/dataplane/forward.bpf.c").exists()

    assert build(unpacked, "wheel").returncode == 0
    assert build(tree, "wheel").returncode == 0

    with zipfile.ZipFile(built(tree, "*.whl")) as one, zipfile.ZipFile(built(unpacked, "*.whl")) as other:
        assert one.namelist() == other.namelist()
        assert one.read(OBJECT) == other.read(OBJECT)


def test_a_source_that_does_not_compile_stops_the_build_with_clang_s_words(tree: Path) -> None:
    source = tree / "rtspdsr/dataplane/forward.bpf.c"
    good = source.read_text()
    hatch_build.compile_object(tree)
    before = (tree / OBJECT).read_bytes()
    try:
        source.write_text(good + "\nint broken(\n")
        ran = build(tree, "wheel")
    finally:
        source.write_text(good)

    assert ran.returncode != 0
    assert "clang could not compile rtspdsr/dataplane/forward.bpf.c" in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    assert (tree / OBJECT).read_bytes() == before
    assert not list(tree.glob("rtspdsr/dataplane/*.o.*"))


def test_without_clang_the_build_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CLANG", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(hatch_build, "LLVM", tmp_path)

    with pytest.raises(
        hatch_build.CompileError, match="apt-get install -y clang-14 libbpf-dev linux-libc-dev"
    ):
        hatch_build.find_clang()


def test_clang_14_is_found_outside_path_and_preferred(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def program(path: Path) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o755)
        return str(path)

    monkeypatch.delenv("CLANG", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(hatch_build, "LLVM", tmp_path)

    newest = program(tmp_path / "llvm-19/bin/clang")
    program(tmp_path / "llvm-9/bin/clang")
    assert hatch_build.find_clang() == newest
    in_path = program(tmp_path / "bin/clang")
    assert hatch_build.find_clang() == in_path
    fourteen = program(tmp_path / "llvm-14/bin/clang")
    assert hatch_build.find_clang() == fourteen
    monkeypatch.setenv("CLANG", "no-such-clang")
    with pytest.raises(hatch_build.CompileError, match="CLANG=no-such-clang is no program"):
        hatch_build.find_clang()


# --- dependencies ------------------------------------------------------------------------------------


def imported(folder: Path) -> Iterator[tuple[str, str]]:
    """Every top-level module that is imported there, with the file that does it."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((alias.name.split(".")[0], str(path.relative_to(ROOT))) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.split(".")[0], str(path.relative_to(ROOT))


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9_.-]", one)[0].replace("-", "_") for one in requirements}


def foreign(module: str) -> bool:
    return module not in sys.stdlib_module_names and module != "rtspdsr"


def test_what_the_daemon_imports_is_what_it_declares() -> None:
    used = {
        module: path
        for module, path in imported(ROOT / "rtspdsr")
        if foreign(module) and not path.startswith(("rtspdsr/lab/", CAPTURES))
    }
    assert set(used) == names(PROJECT["dependencies"]), used


def test_what_reads_captures_imports_beyond_that_is_in_its_extra() -> None:
    used = {module for module, path in imported(ROOT / "rtspdsr") if foreign(module) and path == CAPTURES}
    assert used == names(PROJECT["optional-dependencies"]["pcap"])


def test_what_the_lab_imports_beyond_that_is_in_its_extra() -> None:
    used = {module: path for module, path in imported(ROOT / "rtspdsr/lab") if foreign(module)}
    declared = names(PROJECT["dependencies"]) | names(PROJECT["optional-dependencies"]["lab"])
    assert set(used) <= declared, used


# --- from nothing ------------------------------------------------------------------------------------


def test_nothing_is_installed_when_nothing_is_missing() -> None:
    ran = subprocess.run([ROOT / "apt/install-missing"], check=True, capture_output=True, text=True, cwd="/")
    assert ran.stdout + ran.stderr == ""


@pytest.mark.parametrize(
    ("written", "stays"),
    [
        ("# made by install-missing of rtspdsr, process 99999999", False),
        (f"# made by install-missing of rtspdsr, process {os.getpid()}", True),
        ("# the operator's own", True),
    ],
    ids=["left behind by a kill", "in use", "of somebody else"],
)
def test_what_forbids_services_to_start_outlives_only_a_kill(
    tmp_path: Path, written: str, stays: bool
) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text(f"#!/bin/sh\n{written}\nexit 101\n")
    script = (ROOT / "apt/install-missing").read_text()
    assert "/usr/sbin/policy-rc.d" in script
    (tmp_path / "install-missing").write_text(script.replace("/usr/sbin/policy-rc.d", str(policy)))
    (tmp_path / "packages.txt").write_text("bash\n")

    subprocess.run(["bash", tmp_path / "install-missing"], check=True)

    assert policy.exists() is stays


@pytest.mark.parametrize("named", [None, "bench.txt"])
def test_what_is_missing_is_named_to_one_who_may_not_install_it(tmp_path: Path, named: str | None) -> None:
    shutil.copy(ROOT / "apt/install-missing", tmp_path)
    (tmp_path / (named or "packages.txt")).write_text("# none such\nbash\nno-such-package  # here\n")
    for path in (tmp_path, *tmp_path.parents):
        if path.is_relative_to("/tmp/pytest-of-root"):
            path.chmod(0o755)

    command = [str(tmp_path / "install-missing"), *([named] if named else [])]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, user="nobody", cwd="/")

    assert ran.returncode == 1
    assert "sudo apt-get install -y no-such-package" in ran.stderr
    assert "bash" not in ran.stderr


@pytest.mark.parametrize("failing", [None, "check", "test", "test-deb"])
def test_ci_runs_the_checks_and_the_tests_from_anywhere(tmp_path: Path, failing: str | None) -> None:
    calls = tmp_path / "calls"
    make = tmp_path / "make"
    make.write_text(f'#!/bin/sh\necho "$PWD $*" >>{calls}\ncat\n[ "$1" != "{failing}" ]\n')
    make.chmod(0o755)

    silent, open_end = os.pipe()  # a terminal at which nobody types

    ran = subprocess.run(
        ["bash", ROOT / ".ci/run"],
        check=False, cwd="/", timeout=20, capture_output=True, stdin=silent,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    os.close(silent)
    os.close(open_end)

    expected = {"check": ["check"], "test": ["check", "test"]}.get(
        failing or "", ["check", "test", "test-deb"]
    )
    assert calls.read_text().splitlines() == [f"{ROOT} {target}" for target in expected]
    assert (ran.returncode == 0) == (failing is None)


def test_make_lists_its_targets() -> None:
    ran = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True)
    listed = {line.split()[1] for line in ran.stdout.splitlines()}
    assert {"demo", "test", "check", "build", "clean", "help"} <= listed


def test_the_package_recommends_what_its_commands_run() -> None:
    """``rtspdsr selftest`` lays its way with ip and nft."""
    control = (ROOT / "deploy/deb/control").read_text()
    (recommended,) = re.findall(r"^Recommends: (.*)$", control, re.MULTILINE)
    assert {"iproute2", "nftables"} <= set(re.split(r",\s*", recommended))
