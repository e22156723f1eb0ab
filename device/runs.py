"""One sync of the configured maps: within its budget and its time, over its link, told as it goes.

The maps go in turn; one that cannot be synced keeps none of the others away. A run that is stopped
ends its job in good order: what was acknowledged is kept, the rest goes on with the next run.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from device.api.events import EventHub
from device.api.status import Failure, MapResult
from device.kept_map import KeptMap
from device.links.counters import Traffic
from device.log import event, log
from device.map_result import (
    CANCELLED,
    error_in,
    failed_map,
    map_result,
    outcomes as target_outcomes,
)
from device.model import FailureClass, LinkClass, Run, SyncTarget
from device.policy.failures import RunOutcome, TargetOutcome
from device.waiting import until_set
from engine import (
    ArcGISCredentialStore,
    Clock,
    EngineError,
    ExitCode,
    JobEvent,
    JobStatus,
    OfflineMap,
    OfflineMapSyncJob,
    OfflineMapSyncParameters,
    OfflineMapSyncTask,
    ServiceTime,
    SyncDirection,
    SyncGeodatabaseResult,
)


class Counters(Protocol):
    """Bytes over each interface; :class:`device.links.counters.InterfaceCounters`."""

    def begin(self) -> None: ...

    def take(self) -> dict[str, int]: ...

    def totals(self) -> dict[str, Traffic]: ...


LOOK_EVERY_S = 1.0
"""How often a run's bytes and time are looked at while it runs."""


class Stop(Enum):
    """Why a run is stopped before its end; the value is a plain sentence."""

    BUDGET = "The budget of the link is used up."
    DEADLINE = "The sync took longer than it may over this link."
    LINK = "The link went away."
    PAUSE = "Syncing was paused."
    CANCEL = "Somebody cancelled the sync."
    CONDITIONS = "The device is in no state to go on."


class StoppedRunError(EngineError):
    """A run was stopped before its end; the next one goes on."""

    code = "cancelled"
    default_remedy = "Nothing is lost: what was not sent stays here and goes up with the next sync"


class LeftAloneError(EngineError):
    """A service of a map asked to be left alone, and so was; the others were synced."""

    code = "service-busy"
    exit_code = ExitCode.TEMPORARY
    default_remedy = "It is synced by itself when the time that it asked for is over"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """How a run ended, for the policy, the job and the lamps."""

    outcome: RunOutcome
    status: JobStatus
    results: tuple[MapResult, ...]
    error: EngineError | None
    stop: Stop | None


class Runner:
    """Runs one sync at a time.

    ``spend(link class, bytes)`` is told what a run moves, ``moved(percent, sentence)`` how far it
    is; ``bind`` keeps new connections to an interface, or to none; ``must_stop`` is asked every
    second whether it may go on; ``witness`` is told what time it is by the services.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        sign_in: Callable[[], ArcGISCredentialStore],
        events: EventHub,
        counters: Counters,
        spend: Callable[[LinkClass, int], None],
        is_clock_trusted: Callable[[], bool],
        witness: Callable[[ServiceTime], object],
        bind: Callable[[str | None], None],
        moved: Callable[[int, str], None],
        must_stop: Callable[[], Stop | None],
    ) -> None:
        self._clock = clock
        self._sign_in = sign_in
        self._moved = moved
        self._must_stop = must_stop
        self._events = events
        self._counters = counters
        self._spend = spend
        self._is_clock_trusted = is_clock_trusted
        self._witness = witness
        self._bind = bind
        self._stop: Stop | None = None
        self._stopping = asyncio.Event()

    def stop(self, why: Stop) -> None:
        """End the present run soon. The first reason counts."""
        if self._stop is None:
            self._stop = why
            self._stopping.set()

    async def run(self, run: Run, job_id: str, maps: Sequence[KeptMap]) -> RunEnd:
        """Sync the run's targets, which are services of these maps. Cancelling it ends the job
        first."""
        self._bind(run.link.interface if run.is_bound else None)
        began = self._clock.monotonic()
        try:
            return await self._run(run, job_id, maps)
        except Exception as error:  # a fault of ours: the job ends, and is not begun at once again
            log.error("a sync failed", exc_info=error)
            told = EngineError(f"the sync failed: {type(error).__name__}: {error}")
            outcome = RunOutcome(run=run, started_at=began, stopped_by=FailureClass.LOCAL)
            return RunEnd(
                outcome=outcome, status=JobStatus.FAILED, results=(), error=told, stop=None
            )
        finally:
            self._bind(None)

    async def _run(self, run: Run, job_id: str, maps: Sequence[KeptMap]) -> RunEnd:
        self._stop = None
        self._stopping = asyncio.Event()
        began = self._clock.monotonic()
        meter = _Meter(run, self._counters, self._spend)
        results: list[MapResult] = []
        outcomes: list[TargetOutcome] = []
        error: EngineError | None = None
        # One that takes all the time of each run must not keep the others away for ever.
        for number, kept in enumerate(sorted(maps, key=lambda one: one.tried_at)):
            targets = _left(run, kept, outcomes)
            if self._stop is not None or not targets:
                continue
            kept.tried_at = self._clock.monotonic()
            share = (100 * number / len(maps), 100 * (number + 1) / len(maps))
            kept.is_syncing = True
            self._events.status_changed()
            try:
                one = await self._sync(kept, targets, run, job_id, meter, began, share)
            finally:
                kept.is_syncing = False
            results.append(one.result)
            outcomes += one.outcomes
            error = error or one.error
        meter.look()
        if self._stop is not None:
            error = StoppedRunError(self._stop.value)
        return RunEnd(
            outcome=RunOutcome(
                run=run,
                started_at=began,
                targets=tuple(self._as_stopped(run, outcomes)),
                stopped_by=FailureClass.LINK if self._stop is Stop.LINK else None,
            ),
            status=JobStatus.SUCCEEDED if error is None else self._failed_status(),
            results=tuple(results),
            error=error,
            stop=self._stop,
        )

    def _failed_status(self) -> JobStatus:
        return JobStatus.FAILED if self._stop is None else JobStatus.CANCELLED

    def _as_stopped(self, run: Run, outcomes: list[TargetOutcome]) -> list[TargetOutcome]:
        """What a stop has caused tells nothing of the services."""
        if self._stop is Stop.LINK:
            return [_without(FailureClass.LINK, one) for one in outcomes]
        if self._stop is Stop.CANCEL:
            # A person who cancels it does not want it to begin again at once.
            known = {one.target: one for one in outcomes if one.failure is not None}
            return [known.get(target) or _cancelled(target, outcomes) for target in run.targets]
        return outcomes

    async def _sync(
        self,
        kept: KeptMap,
        targets: Sequence[SyncTarget],
        run: Run,
        job_id: str,
        meter: "_Meter",
        began: float,
        share: tuple[float, float],
    ) -> "_MapEnd":
        try:
            async with kept.opened() as map_:
                task = OfflineMapSyncTask(map_, credential=self._sign_in(), clock=self._clock)
                parameters = await task.create_default_offline_map_sync_parameters()
                _set(parameters, kept, run)
                services = [target.url for target in targets]
                job = task.create_offline_map_sync_job(parameters, services=services)
                await self._follow(job, kept, job_id, run, meter, began, share)
                return self._ended(kept, targets, map_, job)
        except EngineError as error:
            return self._unsynced(kept, targets, error)
        except Exception as error:  # whatever it is, the other maps go on
            if not isinstance(error, OSError | sqlite3.Error):
                log.error("the map %s cannot be used", kept.name, exc_info=error)
            told = EngineError(f"the map in {kept.folder} cannot be used: {error}")
            told.__cause__ = error
            return self._unsynced(kept, targets, told)

    def _ended(
        self,
        kept: KeptMap,
        targets: Sequence[SyncTarget],
        map_: OfflineMap,
        job: OfflineMapSyncJob,
    ) -> "_MapEnd":
        if job.service_time is not None:
            self._witness(job.service_time)
        if job.error is not None and not job.geodatabase_results:
            return self._unsynced(kept, targets, job.error)
        urls = {one.path: one.service_url for one in map_.geodatabases}
        results: dict[str, list[SyncGeodatabaseResult]] = {}
        for one in job.geodatabase_results:
            results.setdefault(urls[one.geodatabase_path], []).append(one)
        broken = _unexpected(map_, kept)
        missing = job.error or next(iter(broken.values()), None)
        outcomes = self._outcomes(targets, results, missing)
        _note(kept, outcomes, results)
        error = error_in(job.geodatabase_results, broken) or job.error
        if error is not None and error.code != CANCELLED:
            event("map.unsynced", map=kept.name, code=error.code, error=error.message)
        found = map_result(kept.name, job.geodatabase_results, {**map_.errors, **kept.damage})
        return _MapEnd(found, outcomes, error)

    def _unsynced(
        self, kept: KeptMap, targets: Sequence[SyncTarget], error: EngineError
    ) -> "_MapEnd":
        if error.code != CANCELLED:
            event("map.unsynced", map=kept.name, code=error.code, error=error.message)
            kept.run_errors |= dict.fromkeys((one.url for one in targets), Failure.of(error))
        return _MapEnd(
            failed_map(kept.name, Failure.of(error)), self._outcomes(targets, {}, error), error
        )

    def _outcomes(
        self,
        targets: Sequence[SyncTarget],
        results: dict[str, list[SyncGeodatabaseResult]],
        error: EngineError | None,
    ) -> list[TargetOutcome]:
        return target_outcomes(targets, results, error, is_clock_trusted=self._is_clock_trusted())

    async def _follow(
        self,
        job: OfflineMapSyncJob,
        kept: KeptMap,
        job_id: str,
        run: Run,
        meter: "_Meter",
        began: float,
        share: tuple[float, float],
    ) -> None:
        """Start the job and tell of it until it has ended, by itself or because it must."""
        guard = asyncio.create_task(self._guard(job, run, meter, began), name="run guard")
        try:
            job.start()
            async for one in job:
                self._tell(one, kept, job_id, share)
        finally:
            await _to_its_end(job)
            guard.cancel()
            await asyncio.wait([guard])  # not the guard itself: its end must not hide our own

    async def _guard(self, job: OfflineMapSyncJob, run: Run, meter: "_Meter", began: float) -> None:
        """Cancel the job when it is stopped, or has used up its bytes or its time."""
        while not self._stopping.is_set():
            now = self._clock.monotonic()
            if now - began >= run.deadline_s:
                self.stop(Stop.DEADLINE)
            elif run.max_bytes is not None and meter.look() >= run.max_bytes:
                self.stop(Stop.BUDGET)
            elif (why := self._must_stop()) is not None:
                self.stop(why)
            else:
                moment = min(now + LOOK_EVERY_S, began + run.deadline_s)
                await until_set(self._stopping, self._clock, moment)
        await job.cancel()

    def _tell(self, one: JobEvent, kept: KeptMap, job_id: str, share: tuple[float, float]) -> None:
        low, high = share
        progress = min(99, int(low + (high - low) * one.progress / 100))
        self._moved(progress, f"Syncing {kept.name}.")
        if one.message is not None:
            self._events.said(job_id, kept.name, one.message)


@dataclass(frozen=True, slots=True)
class _MapEnd:
    """How a map's part of a run ended. ``error``: why it is not complete."""

    result: MapResult
    outcomes: list[TargetOutcome]
    error: EngineError | None


class _Meter:
    """What a run has moved over its link, by the counters of the interface."""

    def __init__(
        self, run: Run, counters: Counters, spend: Callable[[LinkClass, int], None]
    ) -> None:
        self._link = run.link
        self._counters = counters
        self._spend = spend
        self._moved = 0
        counters.begin()

    def look(self) -> int:
        """Bytes since the beginning. An overlay's are counted where it rides on."""
        moved = self._counters.take().get(self._link.underlay or self._link.interface, 0)
        if moved:
            self._spend(self._link.link_class, moved)
            self._moved += moved
        return self._moved


def _left(run: Run, kept: KeptMap, outcomes: Sequence[TargetOutcome]) -> list[SyncTarget]:
    """The run's services of that map, but for what is to be left alone, as it came out."""
    busy = frozenset[str]().union(*(one.busy for one in outcomes))
    here = [one for one in run.targets if one.map == kept.name]
    return [one for one in here if not busy & {one.host, one.url}]


def _without(failure: FailureClass, one: TargetOutcome) -> TargetOutcome:
    return replace(one, failure=None) if one.failure is failure else one


def _cancelled(target: SyncTarget, outcomes: Sequence[TargetOutcome]) -> TargetOutcome:
    done = next((one for one in outcomes if one.target == target), None)
    moved = 0 if done is None else done.acknowledged
    is_done = done is not None and done.is_complete
    return TargetOutcome(
        target=target, is_complete=True, is_cancelled=not is_done, acknowledged=moved
    )


def _note(
    kept: KeptMap,
    outcomes: Sequence[TargetOutcome],
    results: dict[str, list[SyncGeodatabaseResult]],
) -> None:
    """Why the services of a map were not synced to the end; the others have nothing to tell."""
    for one in outcomes:
        url = one.target.url
        error = error_in(results.get(url, ()), {})
        if error is None:
            kept.run_errors.pop(url, None)
        elif error.code != CANCELLED:
            kept.run_errors[url] = Failure.of(error)


def _set(parameters: OfflineMapSyncParameters, kept: KeptMap, run: Run) -> None:
    config = kept.config
    direction = config.direction
    if not run.pull and direction.downloads:
        direction = SyncDirection.UPLOAD
    parameters.sync_direction = direction
    parameters.conflict_policy = config.conflicts
    parameters.keep_geodatabase_deltas = config.keep_deltas
    parameters.allow_full_download = run.link.link_class in config.full_download


def _unexpected(map_: OfflineMap, kept: KeptMap) -> dict[str, EngineError]:
    """Geodatabases that broke since the map was last looked at. What was known to be broken then
    does not make the run a failure that is tried again and again."""
    return {} if kept.counts.error is not None else dict(map_.errors)


async def _to_its_end(job: OfflineMapSyncJob) -> None:
    """Whatever happens to us: the map may be closed only when the job has ended."""
    cancelled = False
    while not job.status.is_done:
        try:
            await job.cancel()
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
