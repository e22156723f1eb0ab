"""GDAL's own programs, the strictest foreign readers and writers at hand."""

import subprocess
from functools import cache
from pathlib import Path

import pytest

_PYTHON = "/usr/bin/python3"


@cache
def _is_installed() -> bool:
    try:
        subprocess.run(["ogrinfo", "--version"], check=True, capture_output=True)
        subprocess.run([_PYTHON, "-c", "import osgeo_utils"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def require() -> None:
    """Skip the test where GDAL is not installed; CI does not accept that."""
    if not _is_installed():
        pytest.skip("GDAL (gdal-bin, python3-gdal) is not installed")


def run(*command: str | Path) -> str:
    """Run a program of GDAL; its output, complaints included. It must succeed."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def python(script: str, *arguments: str | Path) -> str:
    """Run a script in the system's Python, which has the ``osgeo`` package."""
    return run(_PYTHON, "-c", script, *arguments)


def validate(path: Path) -> None:
    """The file passes GDAL's validator, its extra checks included, and opens without a word."""
    command = (_PYTHON, "-m", "osgeo_utils.samples.validate_gpkg", "-k", "--extra", path)
    assert run(*command) == ""
    listing = run("ogrinfo", "-al", "-so", path)
    assert "Warning" not in listing, listing
    assert "ERROR" not in listing, listing


def layers(path: Path) -> list[str]:
    """The names of the layers that GDAL shows to a person."""
    lines = run("ogrinfo", "-q", path).splitlines()
    return [line.split(": ", 1)[1].rsplit(" (", 1)[0] for line in lines]
