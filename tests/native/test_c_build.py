"""The C core by itself: strict warnings, sanitizers, valgrind, and the devices' processors."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    str(path.relative_to(ROOT))
    for folder in ("native/src", "tests/native/c")
    for path in (ROOT / folder).glob("*.c")
)
STRICT = [
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
]


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(program: Path, compiler: str, *flags: str) -> str:
    run(compiler, *STRICT, *flags, *SOURCES, "-o", str(program))
    return str(program)


def needs(*commands: str) -> pytest.MarkDecorator:
    missing = [command for command in commands if shutil.which(command) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@needs("gcc")
def test_strict_and_sanitized(tmp_path: Path) -> None:
    sanitizers = "-fsanitize=address,undefined"
    program = build(tmp_path / "c", "gcc", "-O1", "-g", sanitizers, "-fno-sanitize-recover=all")

    assert run(program) == "ok\n"


@pytest.mark.slow
@needs("gcc", "valgrind")
def test_valgrind(tmp_path: Path) -> None:
    program = build(tmp_path / "c", "gcc", "-O1", "-g")

    assert run("valgrind", "-q", "--error-exitcode=9", "--leak-check=full", program) == "ok\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compiler", "emulator", "flags"),
    [
        pytest.param("clang-14", "", ("-O2",), marks=needs("clang-14"), id="clang"),
        pytest.param(
            "aarch64-linux-gnu-gcc",
            "qemu-aarch64",
            ("-O2", "-static"),
            marks=needs("aarch64-linux-gnu-gcc", "qemu-aarch64"),
            id="aarch64",
        ),
        pytest.param(
            "arm-linux-gnueabihf-gcc",
            "qemu-arm",
            ("-O2", "-static", "-march=armv6", "-mfpu=vfp", "-marm"),
            marks=needs("arm-linux-gnueabihf-gcc", "qemu-arm"),
            id="armhf",
        ),
    ],
)
def test_other_compilers_and_processors(
    tmp_path: Path, compiler: str, emulator: str, flags: tuple[str, ...]
) -> None:
    program = build(tmp_path / "c", compiler, *flags)

    assert run(*([emulator] if emulator else []), program) == "ok\n"
