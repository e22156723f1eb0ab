"""The C core by itself: strict warnings, sanitizers, valgrind, and the devices' processors.

Two kinds of program: the C tests, and each fuzz target over its seeds with every cut and bit flip.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.checkout

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests/native/c"
FUZZ = ROOT / "native/fuzz"
CORE = sorted((ROOT / "native/src").glob("*.c"))
PROGRAMS = {
    "tests": sorted(set(TESTS.glob("*.c")) - {TESTS / "replay.c"}),
    **{
        target.stem.removeprefix("fuzz_"): [target, TESTS / "replay.c"]
        for target in FUZZ.glob("fuzz_*.c")
    },
}
STRICT = (
    "-std=c11",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wshadow",
    "-Wpedantic",
    "-Wmissing-prototypes",
    "-Wstrict-prototypes",
    "-Werror",
    "-Inative/include",
    "-Inative/src",
)
CLANG = "clang" if shutil.which("clang") else "clang-14"
SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(folder: Path, compiler: str, *flags: str) -> list[list[str]]:
    """Command lines of all programs, freshly built."""
    objects = []
    for source in CORE:
        objects.append(str(folder / f"{source.stem}.o"))
        run(compiler, *STRICT, *flags, "-c", str(source), "-o", objects[-1])
    commands = []
    for name, sources in sorted(PROGRAMS.items()):
        program = str(folder / name)
        run(compiler, *STRICT, *flags, *map(str, sources), *objects, "-o", program)
        seeds = sorted(map(str, (FUZZ / "corpus" / name).glob("*")))
        assert seeds or name == "tests", f"{name} has no seeds"
        commands.append([program, *seeds])
    return commands


def needs(*commands: str) -> pytest.MarkDecorator:
    missing = [command for command in commands if shutil.which(command) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@needs("gcc")
def test_strict_and_sanitized(tmp_path: Path) -> None:
    for command in build(tmp_path, "gcc", *SANITIZED):
        assert run(*command) == "ok\n"


@pytest.mark.slow
@needs("gcc", "valgrind")
def test_valgrind(tmp_path: Path) -> None:
    for command in build(tmp_path, "gcc", "-O1", "-g"):
        seeds = command[1:6]
        found = run("valgrind", "-q", "--error-exitcode=9", "--leak-check=full", command[0], *seeds)
        assert found == "ok\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compiler", "emulator", "flags"),
    [
        pytest.param(CLANG, [], SANITIZED, marks=needs(CLANG), id="clang"),
        pytest.param(
            "aarch64-linux-gnu-gcc",
            ["qemu-aarch64"],
            ("-O2", "-static"),
            marks=needs("aarch64-linux-gnu-gcc", "qemu-aarch64"),
            id="aarch64",
        ),
        pytest.param(
            "arm-linux-gnueabihf-gcc",
            ["qemu-arm"],
            ("-O2", "-static", "-march=armv6", "-mfpu=vfp", "-marm"),
            marks=needs("arm-linux-gnueabihf-gcc", "qemu-arm"),
            id="armhf",
        ),
    ],
)
def test_other_compilers_and_processors(
    tmp_path: Path, compiler: str, emulator: list[str], flags: tuple[str, ...]
) -> None:
    for command in build(tmp_path, compiler, *flags):
        assert run(*emulator, *command) == "ok\n"
