"""The lamps of the device: they show what there is to tell, calmly, and answer a press at once."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from device.lamps.language import (
    ONE,
    THREE,
    Lamp,
    LampMode,
    Sign,
    counted,
    explain,
    on_lamps,
)
from device.lamps.led import LEDS, Files, Led, SystemFiles
from device.lamps.rhythm import ACKNOWLEDGED, BLINK, SOLID, Rhythm
from device.model import Attention, Gesture, Indication
from device.waiting import until_set
from engine import Clock

LAMP_TEST_S = 1.0
CALM_S = 0.5
"""Between two visible changes; what comes meanwhile is shown as it stands then."""
ACKNOWLEDGED_S = 0.3
RETRY_S = 60.0
"""When an LED that failed is tried again, if nothing else changes before."""


def lamps_of(names: Sequence[str]) -> tuple[Lamp, ...]:
    """The duties of the LEDs of a board: three, one, or none. :exc:`ValueError`."""
    for name in names:
        if not name or "/" in name or name in (".", ".."):
            raise ValueError(f"{name!r} is no name of an LED")
    if len(set(names)) != len(names):
        raise ValueError("an LED has one duty only, so each name may be given once")
    for lamps in (THREE, ONE, ()):
        if len(names) == len(lamps):
            return lamps
    raise ValueError(f"a board has three lamps, one, or none, not {len(names)}")


@dataclass(frozen=True, slots=True)
class _Overlay:
    """What hides a lamp's own sign for a while."""

    rhythm: Rhythm
    until: float | None
    """None: until it is taken away."""


class Lamps:
    """Three lamps (LINK, SYNC, ATTN: the names of their LEDs in that order), one, or none.

    :meth:`show` and the answers to the button may be called at any time, and never fail; what
    ails an LED is in :attr:`problems`. Changes need :meth:`run`; answers are seen without it.
    ``percent``: how bright the lamps are, where they can be dimmed.

    The kernel goes on with the last sign when the process ends: what tells of a daemon's end is
    :mod:`device.lamps.dead`, also after a crash.
    """

    def __init__(
        self,
        names: Sequence[str],
        clock: Clock,
        *,
        root: Path = LEDS,
        mode: LampMode = LampMode.ALL,
        percent: float = 100,
        files: Files | None = None,
    ) -> None:
        files = files or SystemFiles()
        self._lamps = lamps_of(names)
        self._leds = {
            lamp: Led(root / name, files, percent=percent)
            for lamp, name in zip(self._lamps, names, strict=True)
        }
        self._clock = clock
        self._mode = mode
        self._indication = Indication(is_starting=True)
        self._acknowledged = Attention.NONE
        self._overlays: dict[Lamp, _Overlay] = {}
        self._shown: dict[Lamp, Rhythm] = {}
        self._changed = asyncio.Event()

    @property
    def problems(self) -> Mapping[str, str]:
        """LED → why it does not do what it is told; empty if all do."""
        return {led.name: led.problem for led in self._leds.values() if led.problem}

    def show(self, indication: Indication) -> None:
        """Show this from now on.

        An error that a press has acknowledged stays dark until there is another one, or the next
        sync has ended.
        """
        before, self._indication = self._indication, indication
        has_run_ended = before.progress is not None and indication.progress is None
        if indication.attention is not before.attention or has_run_ended:
            self._acknowledged = Attention.NONE
        self._changed.set()

    def explain(self) -> list[Sign]:
        """What the lamps say at this moment, short answers to the button left out."""
        return explain(self._signs())

    def acknowledge_press(self) -> None:
        """The button went down: SYNC, or the only lamp, flashes once, within 100 ms.

        Also takes a latched error away: somebody has seen it.
        """
        self._acknowledged = self._indication.attention
        until = self._clock.monotonic() + ACKNOWLEDGED_S
        self._lay(self._answering(), _Overlay(ACKNOWLEDGED, until))

    def show_held(self, gesture: Gesture | None) -> None:
        """What letting the button go now would mean: LONG lights SYNC, VERY_LONG lets it blink;
        None: nothing, or it was let go."""
        if gesture is None:
            if self._overlays.pop(self._answering(), None) is not None:
                self._changed.set()
            return
        held = SOLID if gesture is Gesture.LONG else BLINK
        self._lay(self._answering(), _Overlay(held, None))

    def refuse_press(self, attention: Attention) -> None:
        """Nothing runs although the button asked for it: ATTN tells the reason once."""
        told = counted(attention)
        if attention is Attention.NONE or not self._lamps:
            return
        length_s = sum(ms for _, ms in told.steps) / 1000
        self._lay(self._lamps[-1], _Overlay(told, self._clock.monotonic() + length_s))

    async def run(self) -> None:
        """Keep the lamps true until cancelled: first all of them are lit for a second."""
        if self._mode is LampMode.ALL:
            self._play(dict.fromkeys(self._lamps, SOLID))
            await self._clock.sleep(LAMP_TEST_S)
        calm_until = self._clock.monotonic()
        while True:
            self._changed.clear()
            now = self._clock.monotonic()
            self._expire(now)
            wanted = self._wanted()
            if wanted != self._shown or self.problems:
                if now >= calm_until:
                    self._play(wanted)
                    calm_until = now + CALM_S
                else:
                    await self._clock.sleep(calm_until - now)
                    continue
            await until_set(self._changed, self._clock, self._next_moment(now))

    def _answering(self) -> Lamp:
        """The lamp that answers the button."""
        return Lamp.SYNC if Lamp.SYNC in self._leds else Lamp.STATUS

    def _signs(self) -> dict[Lamp, Rhythm]:
        indication = self._indication
        if self._acknowledged is not Attention.NONE:
            indication = replace(indication, attention=Attention.NONE)
        return on_lamps(self._lamps, indication, self._mode)

    def _wanted(self) -> dict[Lamp, Rhythm]:
        laid = {lamp: overlay.rhythm for lamp, overlay in self._overlays.items()}
        return self._signs() | laid

    def _lay(self, lamp: Lamp, overlay: _Overlay) -> None:
        """At once: a person waits for it."""
        if lamp not in self._leds or self._mode is LampMode.OFF:
            return
        self._overlays[lamp] = overlay
        self._play({lamp: overlay.rhythm})
        self._changed.set()

    def _play(self, rhythms: Mapping[Lamp, Rhythm]) -> None:
        """Only what differs is written, so that no lamp loses its step."""
        for lamp, rhythm in rhythms.items():
            if self._shown.get(lamp) == rhythm and rhythm is not ACKNOWLEDGED:
                continue
            if self._leds[lamp].play(rhythm):
                self._shown[lamp] = rhythm
            else:
                self._shown.pop(lamp, None)

    def _expire(self, now: float) -> None:
        for lamp, overlay in list(self._overlays.items()):
            if overlay.until is not None and overlay.until <= now:
                del self._overlays[lamp]

    def _next_moment(self, now: float) -> float | None:
        ends = [o.until for o in self._overlays.values() if o.until is not None]
        if self.problems:
            ends.append(now + RETRY_S)
        return min(ends, default=None)
