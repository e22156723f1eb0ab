"""The bytecode of the daemon, which an installation writes with the options of the unit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from device import bytecode
from scripts.device_lab.measure import AS_INSTALLED

STARTED = "import device.light_imports, device.daemon, device.runs, engine.service.session"


def python(cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPYCACHEPREFIX": str(cache), "PYTHONDONTWRITEBYTECODE": ""}
    return subprocess.run(
        [sys.executable, *AS_INSTALLED, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_a_daemon_compiles_nothing_after_its_installation(tmp_path: Path) -> None:
    assert not bytecode.is_there(tmp_path)

    done = python(tmp_path, "-m", bytecode.__name__)

    assert done.returncode == 0, done.stderr
    assert bytecode.is_there(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.pyc")}
    assert python(tmp_path, "-c", STARTED).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.pyc")} == before


@pytest.mark.slow
def test_bytecode_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    done = python(tmp_path / "file", "-m", bytecode.__name__)

    assert done.returncode == 1
    assert done.stderr.endswith("others were not written\n")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("is_by_time", [True, False])
def test_bytecode_of_another_state_of_the_program_does_not_count(
    tmp_path: Path, is_by_time: bool
) -> None:
    source = tmp_path / "lib" / "device" / "governor.py"
    cache = tmp_path / "cache"
    made = cache / source.parent.relative_to("/") / f"governor.{bytecode.TAG}.pyc"
    for path in (source, made):
        path.parent.mkdir(parents=True)
    source.touch()
    flags = (0 if is_by_time else 1).to_bytes(4, "little")
    made.write_bytes(b"pyth" + flags + int(source.stat().st_mtime).to_bytes(4, "little"))
    assert bytecode.is_there(cache)

    os.utime(source, (1, 1))

    assert bytecode.is_there(cache) is not is_by_time  # PEP 552: else a hash, or nothing, decides
