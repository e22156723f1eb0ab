"""Months of a device's life, and a fleet at one gate, in virtual time.

The policy decides; links come and go, the service fails, the battery runs low and people press the
button, all drawn from a seed. A run takes its time and succeeds, or fails as the world is then.
"""

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count

import pytest

from device.model import FailureClass, Gesture, Link, LinkClass, Run, SyncTarget
from device.policy.budgets import Budgets
from device.policy.conditions import Conditions
from device.policy.failures import RunOutcome, TargetOutcome
from device.policy.policy import Policy
from device.policy.rules import Rules

MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86_400.0
MOST_PER_HOUR = 60
"""Runs in any hour; two outages over two links that come and go make 40. Without the
back-off they would make 120."""
PATIENCE_S = 75 * MINUTE_S
"""The longest back-off, of cellular links, with settling and a run."""
PARK = SyncTarget(map="park", url="https://one.example/park/FeatureServer")


class SimulatedClock:
    """Time that the simulation moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def now(self) -> datetime:
        return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=self.now_s)

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("the policy never sleeps")


class Shelf:
    """Keeps the budgets over restarts."""

    def __init__(self) -> None:
        self.saved: Mapping[str, object] = {}
        self.writes = 0

    def load_budgets(self) -> Mapping[str, object]:
        return self.saved

    def save_budgets(self, saved: Mapping[str, object]) -> None:
        self.saved = saved
        self.writes += 1


@dataclass
class World:
    """What is so outside of the policy."""

    links: dict[str, Link] = field(default_factory=dict)
    service: str = "good"
    retry_after_s: float | None = None
    portals: set[str] = field(default_factory=set)
    conditions: Conditions = field(default_factory=Conditions)
    pending: int = 0
    pending_since: float = 0.0
    troubled_at: float = 0.0
    """When something was last in the way of a sync."""


class Device:
    """A policy in a simulated world."""

    def __init__(self, seed: int, *, clock: SimulatedClock | None = None) -> None:
        self.rng = random.Random(seed)
        self.clock = clock or SimulatedClock()
        self.world = World()
        self.shelf = Shelf()
        self.rules = Rules()
        self.budgets = Budgets(self.rules, self.shelf, clock=self.clock, zone=UTC)
        self.policy = Policy(
            self.rules,
            self.budgets,
            clock=self.clock,
            rng=random.Random(seed + 1),
            read_conditions=lambda: replace(self.world.conditions, read_at=self.clock.now_s),
        )
        self.policy.clock_changed(is_trusted=True)
        self.policy.targets_changed({PARK: 0})
        self.starts: list[float] = []
        self.moved: Counter[tuple[int, LinkClass]] = Counter()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def at(self, moment: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), what))

    def play(self, until: float) -> Iterator[float]:
        """Go on to ``until``, stopping after each thing that happens."""
        while self.clock.now_s < until:
            answer = self.policy.decide()
            if isinstance(answer, Run):
                self._run(answer)
            else:
                moments = [until]
                if answer.until is not None:
                    moments.append(answer.until)
                if self._events:
                    moments.append(self._events[0][0])
                self.clock.now_s = max(self.clock.now_s, min(moments))
            self._happen()
            yield self.clock.now_s

    def _happen(self) -> None:
        while self._events and self._events[0][0] <= self.clock.now_s:
            heapq.heappop(self._events)[2]()

    # --- what a run does --------------------------------------------------------------------------

    def _run(self, run: Run) -> None:
        world, began = self.world, self.clock.now_s
        self.starts.append(began)
        self.policy.run_started(run)
        failure, size = self._fate(run)
        took_s = self.rng.uniform(1, 40) if failure is None else self.rng.uniform(0.2, 30)
        self.clock.now_s += min(took_s, run.deadline_s)
        self._happen()
        now = world.links.get(run.link.interface)
        if now is None or now.since != run.link.since:
            failure = FailureClass.LINK
        if run.max_bytes is not None:
            assert size <= run.max_bytes
        self.moved[int(self.clock.now_s // DAY_S), run.link.link_class] += size
        self.budgets.spend(run.link.link_class, size)
        sent = 0 if failure is not None else world.pending
        world.pending -= sent
        is_complete = failure is None
        asked = world.retry_after_s if failure is FailureClass.SERVER else None
        done = TargetOutcome(
            target=PARK,
            is_complete=is_complete,
            acknowledged=sent,
            failure=failure,
            retry_after_s=asked,
        )
        self.policy.run_ended(RunOutcome(run=run, started_at=began, targets=(done,)))
        self.policy.targets_changed({PARK: world.pending})

    def _fate(self, run: Run) -> tuple[FailureClass | None, int]:
        handshake = self.rng.randrange(3_000, 9_000)
        if run.link.interface in self.world.portals:
            return FailureClass.PORTAL, handshake
        if self.world.service == "gone":
            return FailureClass.LINK, 500
        if self.world.service == "busy":
            return FailureClass.SERVER, handshake
        fetched = self.rng.randrange(6_000_000 if self.rng.random() < 0.2 else 200_000)
        wanted = handshake + self.world.pending * 700 + fetched * run.pull
        if run.max_bytes is not None and wanted > run.max_bytes:
            return FailureClass.LINK, run.max_bytes
        return None, wanted

    # --- what happens -----------------------------------------------------------------------------

    def link_up(self, interface: str, kind: LinkClass) -> None:
        self.world.links[interface] = Link(
            interface=interface, link_class=kind, since=self.clock.now_s
        )
        self._links_changed()

    def link_down(self, interface: str) -> None:
        self.world.links.pop(interface, None)
        self.world.portals.discard(interface)
        self._links_changed()

    def _links_changed(self) -> None:
        """The cheapest is preferred, as the metrics usually are."""
        cheapest = sorted(
            self.world.links.values(), key=lambda each: list(LinkClass).index(each.link_class)
        )
        self.world.troubled_at = self.clock.now_s
        self.policy.links_changed(
            replace(link, is_preferred=link is cheapest[0]) for link in cheapest
        )

    def edit(self) -> None:
        if not self.world.pending:
            self.world.pending_since = self.clock.now_s
        self.world.pending += 1
        self.policy.targets_changed({PARK: self.world.pending}, new=[PARK])


def plan(device: Device, days: float) -> None:
    """Draw a month: wifi by day, cellular most of the time, some days abroad, outages, edits."""
    rng, world = device.rng, device.world
    end = days * DAY_S

    def trouble(**changes: object) -> Callable[[], None]:
        def happen() -> None:
            for name, value in changes.items():
                setattr(world, name, value)
            world.troubled_at = device.clock.now_s

        return happen

    def spells(name: str, kind: Callable[[], LinkClass], up_s: float, down_s: float) -> None:
        moment = rng.expovariate(1 / down_s)
        while moment < end:
            device.at(moment, lambda: device.link_up(name, kind()))
            if name == "wlan0" and rng.random() < 0.15:
                device.at(moment, lambda: world.portals.add("wlan0"))
            moment += rng.expovariate(1 / up_s)
            device.at(moment, lambda: device.link_down(name))
            moment += rng.expovariate(1 / down_s)

    abroad = sorted(rng.uniform(0, end) for _ in range(2))

    def mobile() -> LinkClass:
        is_abroad = abroad[0] < device.clock.now_s < abroad[1] and end < 40 * DAY_S
        return LinkClass.ROAMING if is_abroad else LinkClass.CELLULAR

    spells("wlan0", lambda: LinkClass.WIFI, 3 * HOUR_S, 8 * HOUR_S)
    spells("wwan0", mobile, 6 * HOUR_S, HOUR_S)
    for start in (rng.uniform(0, end) for _ in range(int(days))):  # a loose plug
        for n in range(rng.randrange(1, 120)):
            device.at(start + 30 * n, lambda: device.link_up("eth0", LinkClass.WIRED))
            device.at(start + 30 * n + 28, lambda: device.link_down("eth0"))
            if n % 40 == 7:
                device.at(start + 30 * n, trouble(service="busy"))
                device.at(start + 30 * n + 900, trouble(service="good"))
    moment = 0.0
    while moment < end:  # outages of the service
        moment += rng.expovariate(1 / (2 * DAY_S))
        kind = rng.choice(["gone", "busy", "busy"])
        asked = rng.choice([None, None, 120.0, 1800.0])
        device.at(moment, trouble(service=kind, retry_after_s=asked))
        moment += rng.expovariate(1 / (2 * HOUR_S))
        device.at(moment, trouble(service="good", retry_after_s=None))
    moment = 0.0
    while moment < end:  # somebody works
        moment += rng.expovariate(1 / (30 * MINUTE_S))
        for n in range(rng.randrange(1, 9)):
            device.at(moment + 20 * n, device.edit)
    for start in (rng.uniform(0, end) for _ in range(int(days))):
        device.at(start, lambda: device.policy.pressed(Gesture.SHORT))
    for start in (rng.uniform(0, end) for _ in range(int(days / 2))):
        hot = Conditions(temperature_c=85.0)
        device.at(start, trouble(conditions=hot))
        device.at(start + rng.uniform(60, HOUR_S), trouble(conditions=Conditions()))


def check_no_storm(starts: list[float]) -> None:
    for number, start in enumerate(starts):
        later = starts[number + MOST_PER_HOUR : number + MOST_PER_HOUR + 1]
        assert not later or later[0] - start > HOUR_S, (
            f"{MOST_PER_HOUR} runs in the hour of {start}"
        )


def nothing_is_in_the_way(device: Device) -> bool:
    """Whether edits must go up within :data:`PATIENCE_S` if it stays so."""
    world = device.world
    links = [c.link for c in device.policy.state().links if c.link.is_preferred]
    if not links or world.service != "good" or world.conditions.temperature_c is not None:
        return False
    (link,) = links
    budget = device.rules.of(link.link_class).bytes_per_day
    is_spent = budget is not None and device.budgets.used_bytes(link.link_class) + 100_000 > budget
    return link.interface not in world.portals and not is_spent


def live(seed: int, days: float) -> Device:
    """A month of one device; what must hold is asserted on the way."""
    device = Device(seed)
    plan(device, days)
    world = device.world
    was_good = False
    for now in device.play(days * DAY_S):
        is_good = nothing_is_in_the_way(device)
        if not (is_good and was_good):
            world.troubled_at = now
        was_good = is_good
        since = max(world.troubled_at, world.pending_since)
        assert not world.pending or now - since <= PATIENCE_S, f"stuck since {since}, now {now}"
    check_no_storm(device.starts)
    for (_, kind), size in device.moved.items():
        limit = device.rules.of(kind).bytes_per_day
        assert limit is None or size <= limit
    return device


@pytest.mark.parametrize("seed", range(1))
def test_a_month_has_no_storm_no_stuck_edit_and_no_broken_budget(seed: int) -> None:
    device = live(seed, 30)

    assert len(device.starts) > 1_000, "nothing was simulated"
    assert (
        max(size for (_, kind), size in device.moved.items() if kind is LinkClass.CELLULAR) > 10**7
    )
    assert device.shelf.writes < 5_000


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 106))
def test_many_months(seed: int) -> None:
    live(seed, 30)


# --- a fleet --------------------------------------------------------------------------------------


def fleet(size: int) -> list[Device]:
    """Devices that come to the same gate in the same second, each with something to send."""
    devices = [Device(seed * 7919 + 13) for seed in range(size)]
    for device in devices:
        device.edit()
        device.at(HOUR_S, partial(device.link_up, "wlan0", LinkClass.WIFI))
    return devices


def most_at_once(starts: list[float], window_s: float) -> int:
    starts = sorted(starts)
    return max(
        sum(1 for other in starts[n:] if other < start + window_s) for n, start in enumerate(starts)
    )


def test_a_fleet_at_one_gate_does_not_start_as_one() -> None:
    devices = fleet(200)
    for device in devices:
        for _ in device.play(HOUR_S + MINUTE_S):
            pass

    firsts = [device.starts[0] for device in devices]
    assert all(HOUR_S + 5 <= first <= HOUR_S + 15 for first in firsts)
    assert most_at_once(firsts, 1.0) <= 200 * 0.2


def test_a_fleet_does_not_come_back_as_one_after_an_outage() -> None:
    devices = fleet(150)
    for device in devices:
        device.world.service = "busy"

        def back(device: Device = device) -> None:
            device.world.service = "good"

        device.at(3 * HOUR_S, back)
        for _ in device.play(4 * HOUR_S):
            pass

    after = [min(s for s in device.starts if s >= 3 * HOUR_S) for device in devices]
    before = [sum(2 * HOUR_S <= s < 3 * HOUR_S for s in device.starts) for device in devices]
    assert most_at_once(after, 1.0) <= 5
    assert most_at_once(after, 60.0) <= 150 * 0.25
    assert sum(before) / len(before) <= 12, "tries of one device in the last hour of the outage"
    assert all(device.world.pending == 0 for device in devices)
