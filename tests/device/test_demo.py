"""The demo, as a person starts it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.sources import ROOT

pytestmark = [pytest.mark.checkout, pytest.mark.slow]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_the_small_demo_comes_true() -> None:
    done = run("scripts.demo_story", "--small")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("OK: ")
    assert "✓ Samedan was moved by A and judged by B: both edits survived on both" in done.stdout


def test_the_demo_of_maps_comes_true_and_leaves_its_picture(tmp_path: Path) -> None:
    picture = tmp_path / "alps.svg"

    done = run("scripts.demo_maps_story", "--picture", picture)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("OK: ")
    for mode in ("none: takes nothing", "sync: takes INSERT, UPDATE, DELETE"):
        assert f"✓ {mode}" in done.stdout
    assert picture.read_bytes().startswith(b"<?xml")
