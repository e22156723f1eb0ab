"""A device in one process: the daemon with fake button, LEDs and kernel, and a feature service."""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import ClientSession

from device.api.status import JobRecord, Status
from device.config import Config
from device.daemon import Daemon
from device.lamps.lamps import Lamps
from device.lamps.rhythm import Rhythm, recognised
from device.links.classes import Classifier
from device.links.counters import Traffic
from device.links.monitor import LinkMonitor
from device.model import ClockTrust, LinkClass
from device.notify import ServiceManager
from device.policy import conditions
from device.policy.clock_trust import ClockWatch
from device.policy.conditions import Conditions
from device.wiring import Hardware, hardware
from engine import ArcGISCredentialStore, Clock, OfflineMapTask
from tests.device.conftest import write_world
from tests.fakes.button import FakeButton
from tests.fakes.clock import VirtualClock
from tests.fakes.leds import FakeLeds
from tests.fakes.netlink import FakeKernel, address_body, link_body, route_body
from tests.feature_service import FeatureServer, Profile
from tests.test_feature_service.client import Client

LAMPS = ("link", "sync", "attention")


class FakeCounters:
    """Bytes over interfaces, as a test or a wire counts them."""

    def __init__(self) -> None:
        self.moved: dict[str, int] = {}

    def begin(self) -> None:
        self.moved.clear()

    def take(self) -> dict[str, int]:
        moved, self.moved = self.moved, {}
        return moved

    def totals(self) -> dict[str, Traffic]:
        return {"wlan0": Traffic(received_bytes=7_000_000, sent_bytes=2_000_000)}


@dataclass
class World:
    """A device and its surroundings. Time passes only when everybody waits."""

    folder: Path
    clock: VirtualClock
    service: FeatureServer
    kernel: FakeKernel
    button: FakeButton
    leds: FakeLeds
    counters: FakeCounters = field(default_factory=FakeCounters)
    conditions: Conditions = field(default_factory=Conditions)
    trust: ClockTrust = ClockTrust.NTP
    more: str = ""
    sign_in_mark: str | None = None
    _daemon: Daemon | None = None
    _task: "asyncio.Task[None] | None" = None

    # --- the device -----------------------------------------------------------------------

    @property
    def daemon(self) -> Daemon:
        assert self._daemon is not None
        return self._daemon

    @property
    def socket(self) -> Path:
        return self.folder / "api.sock"

    @property
    def map(self) -> Path:
        return self.folder / "map"

    @property
    def geopackage(self) -> Path:
        return self.map / "park.gpkg"

    def config(self) -> Config:
        path = self.folder / "config.toml"
        path.write_text(
            f"""
            [device]
            state = "state"
            [[map]]
            name = "park"
            folder = "map"
            [links]
            jitter_s = 0
            [lamps]
            board = "three"
            link = "link"
            sync = "sync"
            attention = "attention"
            [button]
            device = "button"
            [socket]
            path = "api.sock"
            group = "no-such-group"
            {self.more}
            """,
            encoding="utf-8",
        )
        return Config.read(path)

    def wire(self, config: Config, clock: Clock) -> Hardware:
        """The hardware of the configuration, with fakes where there is none."""
        real = hardware(config, clock)
        return Hardware(
            links=lambda: LinkMonitor(
                clock=clock,
                classifier=Classifier({"wlan0": LinkClass.WIFI, "wwan0": LinkClass.CELLULAR}),
                open_socket=self.kernel.open_socket,
            ),
            counters=self.counters,
            lamps=Lamps(LAMPS, clock, root=self.leds.root, files=self.leds),
            button=real.button,
            read_conditions=self.conditions_now,
            clock_watch=ClockWatch(
                clock,
                sync_file=self.folder / "nothing",
                kernel=lambda: self.trust is ClockTrust.NTP,
            ),
            modem=real.modem,
        )

    def conditions_now(self) -> Conditions:
        read = conditions.read(
            clock=self.clock, maps={"park": self.map}, root=self.folder / "nothing"
        )
        return read if self.conditions == Conditions() else self.conditions

    def start(self) -> None:
        """Begin; see :meth:`started`."""
        config = self.config()
        self._daemon = Daemon(
            config,
            self.clock,
            ServiceManager(),
            self.wire(config, self.clock),
            ArcGISCredentialStore,
            sign_in_mark=lambda: self.sign_in_mark,
            rng=random.Random(1),
        )
        self._task = asyncio.create_task(self._daemon.run({}), name="daemon")

    async def started(self) -> None:
        """Begin, and let it get ready."""
        self.start()
        await self.until(lambda: not self.daemon.governor.is_starting)

    @property
    def daemon_task(self) -> "asyncio.Task[None]":
        assert self._task is not None
        return self._task

    async def stop(self) -> None:
        """As SIGTERM does."""
        if self._task is not None:
            self._task.cancel()
            results = await asyncio.gather(self._task, return_exceptions=True)
            assert isinstance(results[0], asyncio.CancelledError | None), results
            self._task = None

    # --- what happens to it ---------------------------------------------------------------

    def link_up(self, name: str = "wlan0", index: int = 2) -> None:
        self.kernel.links.append(link_body(index, name))
        self.kernel.addresses.append(address_body(index, f"10.0.{index}.2/24"))
        self.kernel.routes.append(route_body(index, gateway=f"10.0.{index}.1", metric=index))
        self._tell_of_links()

    def link_down(self) -> None:
        """All of them."""
        for told in (self.kernel.links, self.kernel.addresses, self.kernel.routes):
            told.clear()
        self._tell_of_links()

    def _tell_of_links(self) -> None:
        if self._task is not None and not self._task.done():
            self.kernel.event()

    async def press(self, held_s: float = 0.2) -> None:
        self.button.press()
        await self.clock.sleep(held_s)
        self.button.release()

    def edit(self, row: int = 1, note: str = "edited here") -> None:
        """Another program writes to the map."""
        with closing(sqlite3.connect(self.geopackage)) as other, other:
            other.execute("UPDATE Trees SET note = ? WHERE fid = ?", (note, row))

    # --- what can be seen -----------------------------------------------------------------

    @property
    def status(self) -> Status:
        return self.daemon.appliance.status()

    @property
    def jobs(self) -> list[JobRecord]:
        return list(self.daemon.appliance.jobs())

    def rhythm(self, lamp: str) -> Rhythm | None:
        written = self.leds.leds[lamp].written
        return recognised(written[-1]) if written else None

    async def until(self, holds: Callable[[], bool], within_s: float = 300) -> None:
        """Let time pass until something is so."""
        end = self.clock.monotonic() + within_s
        while not holds():
            assert self.clock.monotonic() < end, self.status
            await self.clock.sleep(0.25)


@asynccontextmanager
async def world_in(folder: Path, clock: VirtualClock, *, more: str = "") -> AsyncIterator[World]:
    """A device with a map that was just taken, and without a link. It is not started."""
    write_world(folder / "data")
    profile = Profile(supports_async=False)
    async with FeatureServer(folder / "data", profile=profile, clock=None) as service:
        await take(service.services["park"], folder / "map")
        leds = FakeLeds(folder / "leds")
        for lamp in LAMPS:
            leds.add(lamp)
        with FakeKernel() as kernel, FakeButton(folder / "button", clock) as button:
            world = World(folder, clock, service, kernel, button, leds, more=more)
            try:
                yield world
            finally:
                await world.stop()


async def take(url: str, folder: Path) -> None:
    async with OfflineMapTask(url) as task:
        parameters = await task.create_default_generate_offline_map_parameters(None)
        job = task.create_generate_offline_map_job(parameters, folder)
        job.start()
        await job.result()


async def note_of(service: FeatureServer, row: int) -> str:
    """What the service has in the note of a tree."""
    async with ClientSession() as session:
        client = Client(session, service.url("park"))
        found = await client.post("0/query", objectIds=row, outFields="note")
        return str(found["features"][0]["attributes"]["note"])
