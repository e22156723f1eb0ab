"""The pins of the emulated board: the button is pressed, and the lamps are read, from outside.

QEMU's test protocol raises the input lines of the GPIO controller, a PL061, and reads its data
register (QEMU, "qtest"; ARM DDI 0190B, 3.3.1); the device cannot tell it from wires.
"""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from tests.device_in_the_loop.image import BUTTON_LINE, LEDS

_CONTROLLER = 0x0903_0000
_ALL_LINES = 0x3FC
"""The address bits 9 to 2 are the mask of the lines that a read sees."""
_UNATTACHED = "/machine/unattached"

SHARP_S, COARSE_S = 0.002, 0.02
"""How often the lamps are looked at: for a time that is measured, and for one that is waited; each
look costs the emulator a little."""

Levels = tuple[bool, bool, bool]
"""LINK, SYNC, ATTN."""


@dataclass(frozen=True, slots=True)
class Edge:
    """The lamps changed: seconds since the watch began, and how they are since."""

    at: float
    levels: Levels


class Board:
    """The button and the lamps."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._path = path
        self._lock = asyncio.Lock()

    @classmethod
    async def connected(cls, qtest: Path, qmp: Path) -> "Board":
        reader, writer = await asyncio.open_unix_connection(qtest)
        return cls(reader, writer, await _controller(qmp))

    async def close(self) -> None:
        self._writer.close()

    async def set_button(self, *, is_down: bool) -> None:
        await self._ask(f"set_irq_in {self._path} unnamed-gpio-in {BUTTON_LINE} {int(is_down)}")

    async def press(self, seconds: float) -> None:
        await self.set_button(is_down=True)
        await asyncio.sleep(seconds)
        await self.set_button(is_down=False)

    async def lamps(self) -> Levels:
        answer = await self._ask(f"readb {_CONTROLLER + _ALL_LINES:#x}")
        level = int(answer.split()[1], 16)
        link, sync, attention = (bool(level >> LEDS[name] & 1) for name in LEDS)
        return link, sync, attention

    async def watch(self, seconds: float) -> list[Edge]:
        """How the lamps are, and each change in so long, to some hundredths of a second."""
        start = monotonic()
        edges: list[Edge] = []
        while (at := monotonic() - start) < seconds:
            levels = await self.lamps()
            if not edges or edges[-1].levels != levels:
                edges.append(Edge(at, levels))
            await asyncio.sleep(COARSE_S)
        return edges

    async def until(
        self, lamp: int, *, is_lit: bool, timeout_s: float, every_s: float = COARSE_S
    ) -> float:
        """Seconds until that lamp (0 LINK, 1 SYNC, 2 ATTN) is lit, or dark."""
        start = monotonic()
        while (await self.lamps())[lamp] is not is_lit:
            assert monotonic() - start < timeout_s, f"lamp {lamp} never became {is_lit}"
            await asyncio.sleep(every_s)
        return monotonic() - start

    async def _ask(self, command: str) -> str:
        async with self._lock:
            self._writer.write(f"{command}\n".encode())
            async with asyncio.timeout(60):
                while True:
                    answer = (await self._reader.readline()).decode().strip()
                    if answer.startswith("OK"):
                        return answer
                    assert not answer.startswith(("FAIL", "ERR")), f"{command}: {answer}"


async def _controller(qmp: Path) -> str:
    """Where the GPIO controller is among QEMU's objects; its number differs between boards."""
    reader, writer = await asyncio.open_unix_connection(qmp)

    async def ask(command: str, **arguments: object) -> object:
        writer.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = json.loads(await reader.readline())
            if "return" in answer:
                return answer["return"]
            assert "error" not in answer, answer

    try:
        await reader.readline()
        await ask("qmp_capabilities")
        objects = await ask("qom-list", path=_UNATTACHED)
        assert isinstance(objects, list)
        name = next(o["name"] for o in objects if o["type"] == "child<pl061>")
    finally:
        writer.close()
    return f"{_UNATTACHED}/{name}"
