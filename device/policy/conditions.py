"""The device's own condition: disk, power, heat, battery. What cannot be read refuses nothing."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from engine import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The file system that maps lie on."""

    folder: str
    """That of one of them."""
    maps: frozenset[str] | None = None
    """Their names; None: all maps."""
    free_bytes: int
    size_bytes: int
    is_read_only: bool = False

    def has(self, name: str) -> bool:
        return self.maps is None or name in self.maps


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """One reading of it all. None: unknown."""

    read_at: float = 0.0
    """When, on the monotonic clock."""
    disks: tuple[Disk, ...] = ()
    is_undervoltage: bool | None = None
    temperature_c: float | None = None
    """Of the hottest sensor."""
    battery_percent: float | None = None
    """Of the weakest battery."""
    is_charging: bool | None = None


def read(
    *,
    clock: Clock,
    maps: Mapping[str, Path] = MappingProxyType({}),
    root: Path = Path("/"),
    battery: Path | None = None,
) -> Conditions:
    """The condition now. ``maps``: the folder of each; ``root`` is where ``sys`` lies.

    ``battery`` is a file that holds the charge in percent, for boards whose battery the kernel does
    not know.
    """
    supplies = root / "sys/class/power_supply"
    charge = _number(battery) if battery is not None else _weakest(supplies)
    return Conditions(
        read_at=clock.monotonic(),
        disks=tuple(_disks(maps)),
        is_undervoltage=_undervoltage(root / "sys/class/hwmon"),
        temperature_c=_hottest(root / "sys/class/thermal"),
        battery_percent=charge,
        is_charging=_charging(supplies),
    )


def _disks(maps: Mapping[str, Path]) -> Iterator[Disk]:
    """One for each file system; a folder that is gone has none."""
    on_device: dict[int, list[str]] = {}
    for name, folder in maps.items():
        with suppress(OSError):
            on_device.setdefault(os.stat(folder).st_dev, []).append(name)
    for names in on_device.values():
        folder = maps[names[0]]
        with suppress(OSError):
            found = os.statvfs(folder)
            yield Disk(
                folder=str(folder),
                maps=frozenset(names),
                free_bytes=found.f_bavail * found.f_frsize,
                size_bytes=found.f_blocks * found.f_frsize,
                is_read_only=bool(found.f_flag & os.ST_RDONLY),
            )


def _undervoltage(sensors: Path) -> bool | None:
    """The alarm of the Raspberry Pi's supply (``raspberrypi-hwmon``: ``in0_lcrit_alarm``)."""
    alarms = [_number(path) for path in _below(sensors, "in0_lcrit_alarm")]
    known = [alarm for alarm in alarms if alarm is not None]
    return any(known) if known else None


def _hottest(zones: Path) -> float | None:
    """From thousandths of a degree Celsius (kernel ABI, sysfs-class-thermal)."""
    temperatures = [_number(path) for path in _below(zones, "temp")]
    return max((t / 1000 for t in temperatures if t is not None), default=None)


def _weakest(supplies: Path) -> float | None:
    """In percent (kernel ABI, sysfs-class-power: ``capacity``)."""
    charges = [_number(path) for path in _below(supplies, "capacity") if _is_ours(path.parent)]
    return min((c for c in charges if c is not None), default=None)


def _charging(supplies: Path) -> bool | None:
    """Whether power comes in: a battery says so, or a mains or USB supply is online."""
    words = [_text(path) for path in _below(supplies, "status") if _is_ours(path.parent)]
    online = [_number(path) for path in _below(supplies, "online")]
    if "Charging" in words or "Full" in words or any(online):
        return True
    return False if any(words) or any(o is not None for o in online) else None


def _is_ours(supply: Path) -> bool:
    """False for the battery of a mouse or a headset."""
    return _text(supply / "scope") != "Device"


def _below(folder: Path, name: str) -> list[Path]:
    try:
        return sorted(entry / name for entry in folder.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> float | None:
    try:
        number = float(_text(path))
    except ValueError:
        return None
    return number if abs(number) < 1e9 else None  # neither infinite nor NaN
