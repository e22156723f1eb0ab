"""A real daemon in a network namespace of its own; its service is at the other end of a cable.

usage: unshare -n -m python -m tests.device.links.two_namespaces FOLDER [dead-end]

With ``dead-end`` there is a second link, which the kernel prefers and which leads nowhere.

Everything between is real: the link, rtnetlink, the counters of the interface, HTTP, the socket of
the daemon. Prints one JSON object of what was seen.
"""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

from device.api.client import ApiClient
from device.api.status import Status
from device.model import Reach, WaitReason
from engine import EngineError
from tests.device.conftest import write_world
from tests.device.daemon.world import note_of, take
from tests.feature_service import FeatureServer, Profile

HOST, DEVICE = "10.0.2.1", "10.0.2.2"
FAR_HOST = "10.9.9.9"
"""Of the service, where no route but the default ones leads to it."""
PATIENCE_S = 40.0
CONFIG = """
[device]
state = "state"
[[map]]
name = "park"
folder = "map"
[links]
jitter_s = 0
[links.interfaces]
wwan0 = "cellular"
[links.wired]
settle_s = 0.2
[links.cellular]
settle_s = 0.2
[sync]
after_edit_s = 0.2
[socket]
path = "api.sock"
"""


def ip(*words: str, inside: int | None = None) -> str:
    """The command ``ip``, in the namespace of a process."""
    enter = [] if inside is None else ["nsenter", "-t", str(inside), "-n"]
    done = subprocess.run([*enter, "ip", *words], check=True, capture_output=True, text=True)
    return done.stdout


@asynccontextmanager
async def daemon(folder: Path) -> AsyncIterator[int]:
    """The daemon in a namespace of its own, with its own view of the kernel's files."""
    (folder / "config.toml").write_text(CONFIG)
    script = f'ip link set lo up; mount -t sysfs sysfs /sys; exec "{sys.executable}" "$@"'
    arguments = ["-m", "device.daemon", "--config", str(folder / "config.toml")]
    running = await asyncio.create_subprocess_exec(
        "unshare", "-n", "-m", "sh", "-c", script, "sh", *arguments, stderr=sys.stderr
    )
    try:
        yield running.pid
    finally:
        running.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            await running.wait()


async def until(found: Callable[[], Awaitable[bool]], what: str) -> None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if await found():
                    return
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"not within {PATIENCE_S} s: {what}") from None


def moved(interface: str) -> int:
    (told,) = json.loads(ip("-s", "-j", "link", "show", interface))
    return int(told["stats64"]["rx"]["bytes"]) + int(told["stats64"]["tx"]["bytes"])


def dead_end(pid: int) -> None:
    """A cable into a box that routes nothing, with the better metric; and the way around it."""
    ip("link", "add", "box", "type", "veth", "peer", "name", "eth0")
    ip("link", "set", "box", "up")
    ip("link", "set", "eth0", "netns", str(pid))
    ip("addr", "add", "10.0.1.2/24", "dev", "eth0", inside=pid)
    ip("link", "set", "eth0", "up", inside=pid)
    quick = "echo 50 > /proc/sys/net/ipv4/neigh/eth0/retrans_time_ms"  # to find nobody there
    subprocess.run(["nsenter", "-t", str(pid), "-n", "sh", "-c", quick], check=True)
    for gateway, name, metric in (("10.0.1.1", "eth0", "100"), (HOST, "wwan0", "700")):
        words = ("route", "add", "default", "via", gateway, "dev", name, "metric", metric)
        ip(*words, inside=pid)


async def main(folder: Path, *, has_dead_end: bool) -> dict[str, object]:
    ip("link", "set", "lo", "up")
    ip("link", "add", "office", "type", "veth", "peer", "name", "wwan0")
    ip("link", "set", "office", "up")
    ip("addr", "add", f"{HOST}/24", "dev", "office")
    write_world(folder / "data")
    client = ApiClient(folder / "api.sock")

    async def status() -> Status | None:
        try:
            return await asyncio.to_thread(client.get, Status, "status")
        except EngineError:
            return None

    async def waits_for_a_link() -> bool:
        now = await status()
        return now is not None and now.reason is WaitReason.NO_LINK

    async def is_proven() -> bool:
        now = await status()
        return now is not None and any(link.reach is Reach.SERVICE for link in now.links)

    async def is_without_links() -> bool:
        now = await status()
        return now is not None and not now.links

    host = HOST
    if has_dead_end:
        host = FAR_HOST
        ip("addr", "add", f"{FAR_HOST}/32", "dev", "lo")
    service = FeatureServer(folder / "data", profile=Profile(supports_async=False), host=host)
    async with service:
        await take(service.services["park"], folder / "map")
        with closing(sqlite3.connect(folder / "map/park.gpkg")) as other, other:
            other.execute("UPDATE Trees SET note = 'over the cable' WHERE fid = 1")
        async with daemon(folder) as pid:
            await until(waits_for_a_link, "the daemon waits for a link")
            before = moved("office")
            ip("link", "set", "wwan0", "netns", str(pid))
            ip("addr", "add", f"{DEVICE}/24", "dev", "wwan0", inside=pid)
            ip("link", "set", "wwan0", "up", inside=pid)
            if has_dead_end:
                dead_end(pid)
            await until(is_proven, "the link is proven")
            proven = await status()
            passed = moved("office") - before
            ip("link", "set", "office", "down")
            if has_dead_end:
                ip("link", "set", "box", "down")
            await until(is_without_links, "the link is gone")
        ip("addr", "replace", f"{host}/32", "dev", "lo")
        note = await note_of(service, 1)
    assert proven is not None
    (budget,) = [b for b in proven.budgets if b.link_class.value == "cellular"]
    return {
        "links": [
            [link.interface, link.link_class.value, link.reach.value] for link in proven.links
        ],
        "note": note,
        "used_bytes": budget.used_bytes,
        "passed_bytes": passed,
    }


if __name__ == "__main__":
    os.umask(0o077)
    seen = asyncio.run(main(Path(sys.argv[1]), has_dead_end="dead-end" in sys.argv))
    print(json.dumps(seen))
