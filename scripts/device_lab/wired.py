"""The daemon as ``fieldsyncd`` runs it, but for the links: those are what its standard input says.

usage: python -m scripts.device_lab.wired --config FILE

A line ``up NAME NUMBER`` brings an interface with a default route, ``down`` takes all away. LEDs
and the button are files, which the configuration names.
"""

from device import light_imports  # noqa: F401, I001 (as device.daemon does)

import asyncio
import os
import sys
from dataclasses import replace

from device.config import Config
from device.daemon import main
from device.links.classes import Classifier
from device.links.monitor import LinkMonitor
from device.wiring import Hardware, hardware
from engine import Clock
from tests.fakes.netlink import FakeKernel, address_body, link_body, route_body


class ToldKernel(FakeKernel):
    """A kernel whose links are told in lines."""

    def hear(self) -> None:
        """Listen to standard input from now on."""
        os.set_blocking(sys.stdin.fileno(), False)
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._take)

    def _take(self) -> None:
        words = sys.stdin.buffer.read(4096)
        if not words:
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            return
        for line in words.decode().splitlines():
            self._obey(line.split())
        self.event()

    def _obey(self, words: list[str]) -> None:
        if words[0] == "down":
            for told in (self.links, self.addresses, self.routes):
                told.clear()
            return
        name, number = words[1], int(words[2])
        self.links.append(link_body(number, name))
        self.addresses.append(address_body(number, f"10.0.{number}.2/24"))
        self.routes.append(route_body(number, gateway=f"10.0.{number}.1", metric=number))


class HearingMonitor(LinkMonitor):
    """A monitor whose kernel begins to listen with it."""

    kernel: ToldKernel

    async def __aenter__(self) -> "HearingMonitor":
        await super().__aenter__()
        self.kernel.hear()
        return self


def wire(config: Config, clock: Clock) -> Hardware:
    """All as configured, but for the links."""
    kernel = ToldKernel()

    def links() -> LinkMonitor:
        monitor = HearingMonitor(
            clock=clock,
            classifier=Classifier(config.links.interfaces),
            open_socket=kernel.open_socket,
        )
        monitor.kernel = kernel
        return monitor

    return replace(hardware(config, clock), links=links)


if __name__ == "__main__":
    sys.exit(main(wire=wire))
