"""``fieldsync bundle``: what helps to find a fault, in one file."""

import platform
import subprocess
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from functools import partial
from importlib.metadata import distributions
from pathlib import Path

from device.api.json_form import as_json
from device.bundle import attempt, pack
from device.cli_doctor import DEFAULT_CONFIG, examine
from device.cli_errors import UsageError
from device.cli_map import describe
from device.cli_run import run_async
from device.cli_socket import daemon
from device.config import Config
from device.console import Console, Report
from device.review import conflicts, quarantine
from device.tables import size
from engine import Clock, OfflineMap, SystemClock

LOG_LINES = 5000
LOG_WITHIN_S = 30
UNITS = ("fieldsync*",)
"""The daemon, its socket, and what dials."""
ASKED = {"status": ("status",), "jobs": ("jobs",), "health": ("health",), "links": ("links",)}
PARTS = ("fieldsync", "aiohttp", "aiosqlite", "cffi", "pyserial")
FILES = ("etc/os-release", "proc/mounts", "proc/uptime", "proc/meminfo", "proc/device-tree/model")


def run(options: Namespace, _console: Console) -> Report:
    """Pack it; what cannot be had is replaced by the reason."""
    clock = SystemClock()
    path: Path = options.file or Path(f"fieldsync-{clock.now():%Y%m%d-%H%M%S}.tar.gz")
    try:
        names = pack(path, members(options, clock, Path("/")), clock.now())
    except FileExistsError as error:
        raise UsageError(f"{path} is there already", remedy="Choose another name") from error
    return Report(
        data={"file": str(path), "members": names, "size_bytes": path.stat().st_size},
        lines=[
            f"{path} ({size(path.stat().st_size)}): {', '.join(names)}.",
            "It holds no rows, photos or secrets; names of maps and hosts are in it.",
        ],
    )


def members(options: Namespace, clock: Clock, root: Path) -> Iterator[tuple[str, object]]:
    """Name → what is in it."""
    yield "versions.json", attempt(_versions)
    for name in FILES:
        yield f"system/{name.rpartition('/')[2]}", attempt((root / name).read_text)
    config = attempt(lambda: Config.read(options.config or DEFAULT_CONFIG))
    yield "config.json", config.as_plain() if isinstance(config, Config) else config
    client = daemon(options)
    for name, steps in ASKED.items():
        yield f"{name}.json", attempt(partial(client.json, "GET", *steps))
    yield "metrics.txt", attempt(lambda: client.text("metrics"))
    yield "doctor.json", attempt(lambda: as_json(list(examine(options, clock, root))))
    for one in config.maps if isinstance(config, Config) else ():
        count = partial(run_async, partial(_counts, one.folder), when_stopped="")
        yield f"maps/{one.name}.json", attempt(count)
    yield "log.txt", attempt(_log)


def _versions() -> object:
    found = {d.metadata["Name"]: d.version for d in distributions()}
    return {
        "packages": {name: found.get(name) for name in PARTS},
        "python": platform.python_version(),
        "system": " ".join(platform.uname()[i] for i in (0, 2, 3, 4)),
    }


async def _counts(folder: Path) -> object:
    """The bookkeeping of a map in numbers: no row, and no text that somebody wrote."""
    async with OfflineMap.open(folder) as map_:
        facts = (await describe(map_)).to_json()
        kinds = Counter([one.kind.value async for one in conflicts(map_.geodatabases)])
        codes = Counter(
            [
                f"{one.layer}, {one.direction}, {one.operation.value}: {one.code}"
                async for one in quarantine(map_.geodatabases)
            ]
        )
    return facts | {"conflict_kinds": dict(kinds), "quarantine_codes": dict(codes)}


def _log() -> str:
    """The end of the journal of our units (journalctl(1))."""
    units = [f"--unit={unit}" for unit in UNITS]
    done = subprocess.run(
        ["journalctl", *units, f"--lines={LOG_LINES}", "--no-pager", "--output=short-iso"],
        capture_output=True,
        timeout=LOG_WITHIN_S,
        check=True,
    )
    return done.stdout.decode(errors="replace")
