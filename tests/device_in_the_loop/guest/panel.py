"""Lamps and button on the emulated device's own hardware, without a daemon around them.

Tells on ``/dev/acknowledged`` what it hears, and what ails the lamps.
"""

import asyncio
import os
import sys
from pathlib import Path

from device.button.button import Button
from device.lamps.lamps import Lamps
from device.model import Indication, LinkSign
from engine import SystemClock


async def main(names: list[str]) -> None:
    clock = SystemClock()
    lamps = Lamps(names, clock)
    out = os.open("/dev/acknowledged", os.O_WRONLY)

    def tell(words: str) -> None:
        os.write(out, f"{words}\n".encode())

    def press() -> None:
        lamps.acknowledge_press()
        tell(f"answered {lamps.problems}")

    button = Button(button_file(), clock, on_press=press, on_held=lamps.show_held)
    playing = asyncio.create_task(lamps.run(), name="lamps")
    lamps.show(Indication(link=LinkSign.SEARCHING))
    tell(f"ready {lamps.problems}")
    async for gesture in button.gestures():
        tell(f"gesture {gesture.value}")
    await playing


def button_file() -> Path:
    """As udev would name it, if there were one."""
    for name in Path("/sys/class/input").glob("event*/device/name"):
        if name.read_text().strip() == "fieldsync-button":
            return Path("/dev/input", name.parent.parent.name)
    raise LookupError("there is no button")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
