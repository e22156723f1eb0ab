"""Changes of real links in a network namespace, and what the monitor tells of each.

usage: unshare -n python -m tests.device.links.namespace_story CHANGE...

Prints how often the kernel told of lost events, and the links after each change.
"""

import asyncio
import json
import logging
import socket
import subprocess
import sys
from collections.abc import Callable

from device.links.classes import Classifier
from device.links.monitor import LinkMonitor, open_netlink
from device.model import Link, LinkClass
from engine import SystemClock

PATIENCE_S = 5.0


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def cable(name: str, other: str, address: str, gateway: str, metric: str) -> None:
    ip("link", "add", name, "type", "veth", "peer", "name", other)
    ip("link", "set", other, "up")
    ip("link", "set", name, "up")
    ip("addr", "add", address, "dev", name)
    ip("route", "add", "default", "via", gateway, "dev", name, "metric", metric)


def flood() -> None:
    """More events than a small buffer holds; the loop cannot take any of them meanwhile."""
    lines = [f"addr {verb} 10.9.{n}.1/32 dev lo" for n in range(100) for verb in ("add", "del")]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)
    ip("link", "set", "sw", "down")


CHANGES: dict[str, Callable[[], None]] = {
    "wifi comes": lambda: cable("wlan0", "ap", "10.0.3.2/24", "10.0.3.1", "600"),
    "cable comes": lambda: cable("eth0", "sw", "10.0.2.2/24", "10.0.2.1", "100"),
    "cable is dead": lambda: ip("link", "set", "sw", "down"),
    "cable is back": lambda: ip("link", "set", "sw", "up"),
    "route goes": lambda: ip("route", "del", "default", "dev", "eth0"),
    "wifi goes": lambda: ip("link", "del", "wlan0"),
    "flood": flood,
}


def small_socket(groups: int) -> socket.socket:
    opened = open_netlink(groups)
    if groups:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    return opened


class Losses(logging.Handler):
    lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.lost += "No buffer space" in record.getMessage()


def form(links: tuple[Link, ...]) -> list[list[object]]:
    return [[link.interface, link.link_class.value, link.is_preferred] for link in links]


async def main(names: list[str]) -> None:
    losses = Losses()
    logging.getLogger("device").addHandler(losses)
    logging.getLogger("device").setLevel(logging.DEBUG)
    told: list[object] = []
    async with LinkMonitor(
        clock=SystemClock(),
        classifier=Classifier({"wlan*": LinkClass.WIFI}),
        open_socket=small_socket if "flood" in names else open_netlink,
        debounce_s=0.1,
    ) as monitor:
        changes = monitor.changes()
        told.append(["start", form(await anext(changes))])
        for name in names:
            CHANGES[name]()
            async with asyncio.timeout(PATIENCE_S):
                told.append([name, form(await anext(changes))])
    print(json.dumps([losses.lost, *told]))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
