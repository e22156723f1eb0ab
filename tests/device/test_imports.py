"""What a verb loads: the HTTP client costs seconds on a small board, so only those that need it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.device.conftest import Taken
from tests.fakes.daemon import DaemonThread


def loaded_by(*arguments: object) -> set[str]:
    """The modules a fresh interpreter has when that command is done."""
    code = (
        "import sys\n"
        "from device.cli import main\n"
        "try:\n"
        "    code = main(sys.argv[1:])\n"
        "except SystemExit as end:\n"
        "    code = end.code\n"
        "assert not code, code\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["sync", "--help"]])
def test_help_loads_next_to_nothing(arguments: list[str]) -> None:
    assert not loaded_by(*arguments) & {"aiohttp", "aiosqlite", "asyncio", "ssl", "native._native"}


@pytest.mark.parametrize("arguments", [["info"], ["edits"], ["draw", "x.svg"]])
def test_verbs_without_network_load_no_http_client(arguments: list[str], taken: Taken) -> None:
    verb, *more = arguments
    loaded = loaded_by(verb, taken.folder, *(taken.folder.with_name(name) for name in more))

    assert "aiosqlite" in loaded
    assert "aiohttp" not in loaded


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["pause"], ["resume"], ["queue"], ["sync"], ["sync", "park"], ["edits", "park"]],
)
def test_verbs_that_ask_the_daemon_load_no_http_library(
    arguments: list[str], taken: Taken, socket_path: Path
) -> None:
    with DaemonThread(socket_path, {"park": taken.folder}):
        loaded = loaded_by(*arguments, "--socket", socket_path)

    assert "http.client" in loaded
    assert "aiohttp" not in loaded
    if arguments[0] in ("status", "pause", "resume"):
        assert not loaded & {"asyncio", "aiosqlite", "native._native"}
