"""LEDs as the kernel has them: a folder whose files answer as the attributes of an LED do.

Written after Linux 6.1, ``drivers/leds/led-triggers.c`` and ``trigger/ledtrig-pattern.c``; a device
in the loop (``scripts/device-test``) shows that a real kernel does the same. What was last accepted
lies in real files, so that another process can read it.
"""

import errno
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

TRIGGERS = ("none", "timer", "oneshot", "pattern")
MOST_TUPLES = 1024
STEP_MS = 50
"""How often the kernel changes a level that is dimmed gradually."""

Tuples = list[tuple[int, int]]
_TUPLE = re.compile(r"\s*(\d+)\s+(\d+)\s*")


@dataclass(slots=True)
class FakeLed:
    """One LED, as it stands."""

    max_brightness: int = 1
    trigger: str = "none"
    tuples: Tuples = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    """Every pattern that was accepted, oldest first."""
    refusal: int = 0
    """An errno that every write meets, as with an LED whose driver or bus is broken."""


class FakeLeds:
    """The folder ``/sys/class/leds``, and what the kernel does when its files are written.

    ``on_write`` is called with the LED's name after each accepted pattern.
    """

    def __init__(self, root: Path, *, on_write: Callable[[str], None] = lambda name: None) -> None:
        self.root = root
        self.leds: dict[str, FakeLed] = {}
        self._on_write = on_write

    def add(self, name: str, *, max_brightness: int = 1, trigger: str = "none") -> FakeLed:
        led = self.leds[name] = FakeLed(max_brightness=max_brightness, trigger=trigger)
        (self.root / name).mkdir(parents=True)
        (self.root / name / "max_brightness").write_text(f"{max_brightness}\n")
        (self.root / name / "brightness").write_text("0\n")
        self._select(name, trigger)
        return led

    def remove(self, name: str) -> None:
        """Its driver has gone."""
        del self.leds[name]
        for path in (self.root / name).iterdir():
            path.unlink()
        (self.root / name).rmdir()

    def read(self, path: Path) -> str:
        self._led(path)
        return path.read_text()

    def write(self, path: Path, text: str) -> None:
        led = self._led(path)
        if led.refusal:
            raise OSError(led.refusal, os.strerror(led.refusal), str(path))
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        name = path.parent.name
        match path.name:
            case "trigger":
                self._select(name, text.strip())
            case "brightness":
                if int(text) == 0:
                    self._select(name, "none")
                path.write_text(f"{min(int(text), led.max_brightness)}\n")
            case "pattern":
                self._play(name, text)
            case _:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    def edges(self, name: str, length_ms: int) -> list[tuple[int, int]]:
        """Milliseconds → level, at each change that the eye meets in so long."""
        edges: list[tuple[int, int]] = []
        for at, level in played(self.leds[name].tuples):
            if at >= length_ms:
                break
            if not edges or edges[-1][1] != level:
                edges.append((at, level))
        return edges

    def _led(self, path: Path) -> FakeLed:
        led = self.leds.get(path.parent.name)
        if led is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return led

    def _select(self, name: str, trigger: str) -> None:
        """The files of the old trigger vanish, those of the new one appear, also if it is the
        same one; a trigger whose module is not loaded is refused."""
        if trigger not in TRIGGERS:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), "trigger")
        folder, led = self.root / name, self.leds[name]
        led.trigger, led.tuples = trigger, []
        for own in ("pattern", "repeat"):
            (folder / own).unlink(missing_ok=True)
        if trigger == "pattern":
            (folder / "pattern").write_text("")
            (folder / "repeat").write_text("-1\n")
        shown = " ".join(f"[{t}]" if t == trigger else t for t in TRIGGERS)
        (folder / "trigger").write_text(f"{shown}\n")

    def _play(self, name: str, text: str) -> None:
        """A pattern that is refused turns the old one off."""
        led = self.leds[name]
        led.tuples = []
        (self.root / name / "pattern").write_text("")
        tuples = parsed(text, led.max_brightness)
        led.tuples = tuples
        led.written.append(text)
        shown = " ".join(f"{level} {ms}" for level, ms in tuples)
        (self.root / name / "pattern").write_text(f"{shown}\n" if shown else "")
        self._on_write(name)


def parsed(text: str, max_brightness: int) -> Tuples:
    """The tuples of a pattern, or EINVAL, as ``pattern_trig_store_patterns`` has it: a last letter
    alone is overlooked, nothing at all is taken, a single tuple is not."""
    tuples: Tuples = []
    offset = 0
    while offset < len(text) - 1 and len(tuples) < MOST_TUPLES:
        found = _TUPLE.match(text, offset)
        if found is None or int(found[1]) > max_brightness:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), "pattern")
        tuples.append((int(found[1]), int(found[2])))
        offset = found.end()
    if len(tuples) == 1:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), "pattern")
    return tuples


def played(tuples: Tuples) -> Iterator[tuple[int, int]]:
    """Milliseconds and level, without end, as ``pattern_trig_timer_function`` sets them."""
    if not tuples or not any(ms for _, ms in tuples):
        return
    at, here, dimmed_ms = 0, 0, 0
    while True:
        level, ms = tuples[here]
        next_ = (here + 1) % len(tuples)
        next_level, next_ms = tuples[next_]
        if level == next_level:
            yield at, level
            at += ms
            here = (next_ if next_ms else next_ + 1) % len(tuples)
            dimmed_ms = 0
        elif dimmed_ms > ms or not ms:
            here, dimmed_ms = next_, 0
        else:
            share = abs(next_level - level) * dimmed_ms // ms
            yield at, level + share if next_level > level else level - share
            at += STEP_MS
            dimmed_ms += STEP_MS
