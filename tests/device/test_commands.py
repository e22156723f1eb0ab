"""The commands as they begin: interrupted before anything of them is there."""

import signal
import subprocess
import sys
import tomllib

import pytest

from tests.sources import ROOT

pytestmark = pytest.mark.checkout

INTERRUPTED = """
import os, signal, sys

command, loading, is_ignored = sys.argv[1:]

class InterruptedAt:
    def find_spec(self, name, path=None, target=None):
        if name == loading:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, InterruptedAt())
if is_ignored:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
module, _, function = command.partition(":")
main = getattr(__import__(module, fromlist=[function]), function)
sys.argv[1:] = ["--help"]
sys.exit(main())
"""
COMMANDS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


def begun(command: str, interrupted_at: str, *, is_ignored: bool) -> tuple[int, str]:
    """The exit code, and what it complains of."""
    arguments = [COMMANDS[command], interrupted_at, "ignored" if is_ignored else ""]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("command", "loading"), [("fieldsync", "device.cli_parser"), ("fieldsyncd", "asyncio")]
)
def test_an_interrupt_while_a_command_loads_ends_it_without_a_word(
    command: str, loading: str
) -> None:
    assert begun(command, loading, is_ignored=False) == (-signal.SIGINT, "")


def test_an_interrupt_that_whoever_started_the_command_ignores_is_ignored() -> None:
    assert begun("fieldsync", "device.cli_parser", is_ignored=True) == (0, "")
