"""What a verb loads: the HTTP client costs seconds on a small board, so only those that need it."""

import subprocess
import sys

import pytest

from tests.device.conftest import Taken


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
