"""``fieldsync leds``: what the lamps say, in words; and the sticker that tells it to everybody."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from device.api.client import DaemonNotRunningError
from device.api.json_form import as_json
from device.api.status import Status
from device.cli_errors import NoPermissionError, SystemRefusedError, UsageError
from device.cli_socket import daemon
from device.config import LampsConfig
from device.console import Console, Report
from device.lamps.lamps import lamps_of
from device.lamps.language import ONE, THREE, Lamp, Sign, explain
from device.lamps.led import Led, SystemFiles
from device.lamps.sticker import sticker
from device.tables import table

HEADINGS = ("lamp", "it", "meaning")


def run(options: Namespace, _console: Console) -> Report:
    """Do what follows ``leds``."""
    if options.action == "sticker":
        return _sticker(options.file, THREE if options.board == "three" else ONE)
    return _told_by_daemon(options) or _told_by_kernel(options.leds, options.folder)


def _told_by_daemon(options: Namespace) -> Report | None:
    """What a daemon means its lamps to show; None if none runs that has lamps, or may be asked."""
    if options.leds:
        return None
    try:
        lamps = daemon(options).get(Status, "status").lamps
    except (DaemonNotRunningError, NoPermissionError):
        return None
    if not lamps.signs:
        return None
    return Report(
        data={"told_by": "daemon", "lamps": as_json(lamps.signs)},
        lines=table(HEADINGS, [(one.lamp, one.words, one.meaning) for one in lamps.signs]),
    )


def _told_by_kernel(given: Sequence[str], root: Path) -> Report:
    """The lamps as the kernel plays them now."""
    names = given or _found(root)
    try:
        lamps = lamps_of(names)
    except ValueError as error:
        raise UsageError(str(error)) from error
    leds = {lamp: Led(root / name, SystemFiles()) for lamp, name in zip(lamps, names, strict=True)}
    played = {lamp: led.playing() for lamp, led in leds.items()}
    known = {lamp: rhythm for lamp, rhythm in played.items() if rhythm is not None}
    signs = {sign.lamp: sign for sign in explain(known)}
    told = {lamp: _told(signs.get(lamp), led) for lamp, led in leds.items()}
    return Report(
        data={
            "told_by": "kernel",
            "lamps": [
                {
                    "lamp": lamp.value,
                    "rhythm": sign.rhythm.name if (sign := signs.get(lamp)) else None,
                    "words": words,
                    "meaning": meaning,
                }
                for lamp, (words, meaning) in told.items()
            ],
        },
        lines=table(HEADINGS, [(lamp.value, *words) for lamp, words in told.items()]),
    )


def _told(sign: Sign | None, led: Led) -> tuple[str, str]:
    """What the lamp does, and what it means."""
    if sign is not None:
        return sign.rhythm.words, sign.meaning
    return "?", led.problem or "It plays no rhythm of fieldsync's; does fieldsyncd run?"


def _found(root: Path) -> Sequence[str]:
    """The LEDs that have the names which they have unless the configuration says otherwise."""
    usual = LampsConfig()
    for names in ((usual.link, usual.sync, usual.attention), (usual.single,)):
        if all((root / name).is_dir() for name in names):
            return names
    raise SystemRefusedError(
        f"there are no lamps of fieldsync's in {root}",
        remedy="Name their LEDs with --leds; docs/device.md tells how to wire them",
    )


def _sticker(path: Path, lamps: tuple[Lamp, ...]) -> Report:
    try:
        with open(path, "x", encoding="utf-8") as stream:
            stream.write(sticker(lamps))
    except FileExistsError as error:
        raise UsageError(f"{path} is there already", remedy="Choose another name") from error
    return Report(data={"file": str(path)}, lines=[f"{path}: print it at its size, 100 mm wide."])
