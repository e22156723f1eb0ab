"""What the socket is told and may ask for: the governor and the parts behind one face."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from device.api.appliance import Caller, SyncRequest
from device.api.events import EventHub
from device.api.metrics import MetricFamily, MetricKind, Sample
from device.api.status import (
    BudgetStatus,
    Cause,
    ClockStatus,
    DeviceConditions,
    Health,
    JobRecord,
    LampSign,
    LampStatus,
    LinkStatus,
    ModemStatus,
    PartHealth,
    State,
    Status,
)
from device.governor import Governor
from device.links.counters import Traffic
from device.log import event
from device.memory import resident_bytes
from device.model import LinkClass, WaitReason
from device.notify import Pulse
from device.parts import Parts
from device.policy.clock_trust import ClockWatch
from device.policy.conditions import Conditions
from device.redaction import redacted
from device.version import VERSION
from engine import OfflineMap


class SocketAppliance:
    """Implements :class:`device.api.appliance.Appliance`."""

    def __init__(
        self,
        governor: Governor,
        parts: Parts,
        *,
        modem: Callable[[], ModemStatus | None] = lambda: None,
        clock_watch: ClockWatch,
        traffic: Callable[[], Mapping[str, Traffic]] = dict,
    ) -> None:
        self._governor = governor
        self._parts = parts
        self._modem = modem
        self._clock_watch = clock_watch
        self._traffic = traffic

    # --- telling ----------------------------------------------------------------------------------

    @property
    def events(self) -> EventHub:
        return self._governor.events

    def status(self) -> Status:
        governor = self._governor
        now = governor.clock.monotonic()
        wait = governor.wait
        running = governor.jobs.running
        holds = governor.policy.holds()
        next_run = None if wait is None or wait.until is None else max(0.0, wait.until - now)
        is_at_work = running is not None or governor.is_stopping
        return Status(
            state=self._state(),
            reason=None if is_at_work or wait is None else wait.reason,
            detail=governor.sentence(),
            next_run_in_s=None if is_at_work else next_run,
            next_run_why="" if is_at_work or wait is None else wait.detail,
            job=running,
            progress=None if running is None else governor.jobs.get(running).progress,
            maps=tuple(kept.status(holds, now) for kept in governor.maps),
            links=tuple(self._links(now)),
            budgets=tuple(self._budgets()),
            modem=self._modem(),
            lamps=self._lamps(),
            clock=ClockStatus(
                now=governor.clock.now(),
                trust=self._clock_watch.look(),
                error=self._clock_watch.error,
            ),
            conditions=_conditions(governor.policy.state().conditions),
            last_run=governor.last_run.status(),
            up_for_s=now - governor.began_at,
            version=VERSION,
        )

    def _state(self) -> State:
        governor = self._governor
        if governor.is_stopping:
            return State.STOPPING
        if governor.is_starting:
            return State.STARTING
        if governor.jobs.running is not None:
            return State.SYNCING
        wait = governor.wait
        if wait is not None and wait.reason is WaitReason.PAUSED:
            return State.PAUSED
        is_idle = wait is None or wait.reason is WaitReason.NOTHING_TO_DO
        return State.IDLE if is_idle else State.WAITING

    def _links(self, now: float) -> Iterable[LinkStatus]:
        run, totals = self._governor.run, self._traffic()
        for link in self._governor.links.links:
            moved = totals.get(link.interface)
            yield LinkStatus(
                interface=link.interface,
                link_class=link.link_class,
                reach=link.reach,
                up_for_s=max(0.0, now - link.since),
                is_in_use=run is not None and run.link.interface == link.interface,
                sent_bytes=None if moved is None else moved.sent_bytes,
                received_bytes=None if moved is None else moved.received_bytes,
            )

    def _budgets(self) -> Iterable[BudgetStatus]:
        rules = self._governor.policy.state().rules
        for link_class in LinkClass:
            yield BudgetStatus(
                link_class=link_class,
                used_bytes=self._governor.budgets.used_bytes(link_class),
                limit_bytes=rules.of(link_class).bytes_per_day,
            )

    def _lamps(self) -> LampStatus:
        lamps = self._governor.lamps
        signs = tuple(
            LampSign(
                lamp=one.lamp.value,
                rhythm=one.rhythm.name,
                words=one.rhythm.words,
                meaning=one.meaning,
            )
            for one in lamps.explain()
        )
        told = (f"{one.lamp} {one.words}: {one.meaning}" for one in signs)
        return LampStatus(
            indication=self._governor.display.indication(),
            explanation=" ".join((*told, *lamps.problems.values())),
            signs=signs,
        )

    def jobs(self) -> Sequence[JobRecord]:
        return self._governor.jobs.all()

    def job(self, job_id: str) -> JobRecord:
        return self._governor.jobs.get(job_id)

    def health(self) -> Health:
        now = self._governor.clock.monotonic()
        parts = tuple(_part(pulse, now) for pulse in self._parts.pulses)
        return Health(parts=parts, is_healthy=self._parts.is_alive)

    def config(self) -> Mapping[str, object]:
        value = redacted(self._governor.config.as_plain())
        assert isinstance(value, dict)
        return value

    def metrics(self) -> Iterable[MetricFamily]:
        yield MetricFamily(
            name="process_resident_memory_bytes",
            kind=MetricKind.GAUGE,
            help="What the daemon has in memory.",
            unit="bytes",
            samples=(Sample(value=resident_bytes()),),
        )
        times = os.times()
        yield MetricFamily(
            name="process_cpu_seconds",
            kind=MetricKind.COUNTER,
            help="The processor's time that the daemon has used.",
            unit="seconds",
            samples=(Sample(value=times.user + times.system),),
        )

    # --- changing ---------------------------------------------------------------------------------

    async def request_sync(self, request: SyncRequest, by: Caller) -> JobRecord:
        record = self._governor.ask(
            Cause.SOCKET, request.maps, is_expensive_allowed=request.is_expensive_allowed
        )
        event("sync.requested", job=record.id, uid=by.uid, pid=by.pid)
        return record

    async def cancel_job(self, job_id: str, by: Caller) -> JobRecord:
        record = await self._governor.cancel(job_id)
        event("job.cancelled", job=job_id, uid=by.uid, pid=by.pid)
        return record

    async def pause(self, seconds: float | None, by: Caller) -> None:
        event("sync.paused", seconds=seconds, uid=by.uid, pid=by.pid)
        self._governor.set_paused(True, seconds)

    async def resume(self, by: Caller) -> None:
        event("sync.resumed", uid=by.uid, pid=by.pid)
        self._governor.set_paused(False)

    def open_map(self, name: str) -> OfflineMap:
        return OfflineMap.open(self._governor.maps.named(name).folder)

    async def map_was_decided(self, name: str, by: Caller) -> None:
        event("map.decided", map=name, uid=by.uid, pid=by.pid)
        await self._governor.look(self._governor.maps.named(name))


def _part(pulse: Pulse, now: float) -> PartHealth:
    return PartHealth(
        name=pulse.name,
        is_alive=pulse.is_running and not pulse.is_overdue,
        detail=pulse.detail,
        heard_ago_s=max(0.0, now - pulse.heard_at),
    )


def _conditions(read: Conditions) -> DeviceConditions:
    """The fullest disk stands for all."""
    disk = min(read.disks, key=lambda one: one.free_bytes, default=None)
    return DeviceConditions(
        disk_free_bytes=None if disk is None else disk.free_bytes,
        disk_total_bytes=None if disk is None else disk.size_bytes,
        is_disk_read_only=None if disk is None else disk.is_read_only,
        is_undervoltage=read.is_undervoltage,
        temperature_c=read.temperature_c,
        battery_percent=read.battery_percent,
    )
