"""Writes the bytecode of all that the daemon loads: part of an installation (docs/device.md).

Python keeps bytecode apart for each of the options ``-O`` and ``-OO``, and no Debian package
brings any for those that the daemon's unit has. So this is run with the unit's options and its
``PYTHONPYCACHEPREFIX``; otherwise the daemon compiles for itself at its first start, and at each if
it cannot write.
"""

import compileall
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path

PREFIX = Path("/var/cache/fieldsync")
"""Where the daemon's unit has it."""
OURS = ("device", "engine", "native")
NOT_LOADED = ("device.__main__", "native.build")
TAG = f"{sys.implementation.cache_tag}.opt-2"
HEADER = 12
"""Magic number, flags and time of the source, of four bytes each (PEP 552)."""


def main() -> int:
    """Write it; 1 if some of it could not be written."""
    from device import light_imports  # noqa: F401 (the daemon has it before aiohttp, too)

    for name in OURS:
        package = importlib.import_module(name)
        for folder in package.__path__:
            compileall.compile_dir(folder, quiet=2)  # what is missing after all is named below
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if module.name not in NOT_LOADED:
                importlib.import_module(module.name)  # for the libraries it brings along
    specs = [getattr(module, "__spec__", None) for module in [*sys.modules.values()]]
    wanted = [Path(spec.cached) for spec in specs if spec is not None and spec.cached]
    missing = [path for path in wanted if not path.exists()]
    if missing:
        print(f"{missing[0]} and {len(missing) - 1} others were not written", file=sys.stderr)
        return 1
    print(f"bytecode: {len(wanted)} modules, as {wanted[0].name}")
    return 0


def is_there(folder: Path) -> bool:
    """Whether the daemon's start finds its bytecode below ``folder``, made of the program as it is
    now; judged by a module that it always loads."""
    return any(_is_current(path, folder) for path in _found(folder))


def _found(folder: Path) -> Iterator[Path]:
    return folder.rglob(f"device/governor.{TAG}.pyc")


def _is_current(path: Path, folder: Path) -> bool:
    source = Path("/") / path.parent.relative_to(folder) / "governor.py"
    try:
        with open(path, "rb") as stream:
            header = stream.read(HEADER)
        made_of = int(source.stat().st_mtime) & 0xFFFF_FFFF
    except OSError:
        return False
    is_by_time = header[4:8] == bytes(4)
    return not is_by_time or int.from_bytes(header[8:12], "little") == made_of


if __name__ == "__main__":
    sys.exit(main())
