"""The demo, as a person starts it."""

import subprocess
import sys

import pytest

from tests.sources import ROOT

pytestmark = [pytest.mark.checkout, pytest.mark.slow]


def test_the_small_demo_comes_true() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.demo_story", "--small"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("OK: ")
    assert "✓ Samedan was moved by A and judged by B: both edits survived on both" in done.stdout
