"""The governor: whatever happens to the device comes here, and one loop does what follows from it.

The loop asks the policy what to do, does it, and sleeps until something happens or a moment that
the policy named has come. Nothing else syncs.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from device.api.appliance import UnknownMapError
from device.api.events import EventHub
from device.api.status import Cause, JobRecord, MapResult, RunStatus
from device.config import Config
from device.indication import SUCCESS_S, Seen, indication
from device.jobs import Jobs
from device.kept_map import KeptMap
from device.lamps.lamps import Lamps
from device.lamps.language import attention_of
from device.links.reachability import reach_after
from device.log import event
from device.map_looks import LOOK_LIMIT_S, MapLooks
from device.map_result import unusable_maps
from device.memory import trim
from device.model import Gesture, Indication, Link, Reach, Run, Wait, WaitReason
from device.notify import Pulse, ServiceManager
from device.pause import Pause
from device.policy.budgets import Budgets
from device.policy.policy import Policy
from device.run_status import run_as_json, run_from_json
from device.runs import RunEnd, Runner, Stop
from device.state import State
from device.waiting import until_set
from device.wiring import Links, Modem
from engine import Clock, EngineError, JobStatus

STOP_GRACE_S = 120.0
"""How long after its time a run may take to end in good order."""
CONDITIONS_EVERY_S = 10.0
"""While a run goes on; at rest they are read before each decision."""

_STOPPING = frozenset(
    {
        WaitReason.UNDERVOLTAGE,
        WaitReason.TEMPERATURE,
        WaitReason.BATTERY,
        WaitReason.STORAGE,
        WaitReason.PAUSED,
    }
)
"""What ends a run that goes on already."""


class Governor:
    """The maps, what waits in them, and the loop that syncs them."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        policy: Policy,
        budgets: Budgets,
        stored: State,
        lamps: Lamps,
        links: Links,
        manager: ServiceManager,
        runner: Callable[["Governor"], Runner],
        is_clock_trusted: Callable[[], bool],
        maps: Sequence[KeptMap],
        modem: Modem | None = None,
    ) -> None:
        self.config = config
        self.clock = clock
        self.policy = policy
        self.budgets = budgets
        self.lamps = lamps
        self.links = links
        self.maps = tuple(maps)
        self.modem = modem
        self.events = EventHub(clock)
        self.jobs = Jobs(clock, self.events)
        self.began_at = clock.monotonic()
        self.is_starting = True
        self.is_stopping = False
        self.is_button_stuck = False
        self.wait: Wait | None = None
        self.run: Run | None = None
        self.last_run: RunStatus | None = None
        self.last_run_at: float | None = None
        self.pause = Pause(stored, clock)
        self.pulse: Pulse | None = None
        self._stored = stored
        self._is_clock_trusted = is_clock_trusted
        self._manager = manager
        self._woken = asyncio.Event()
        self._is_asked = False
        self._success_at: float | None = None
        self._conditions_at = 0.0
        self._told = ""
        self._runner = runner(self)
        self._looks = MapLooks(
            self.maps, clock=clock, manager=manager, look=self.look, began=self._all_looked_at
        )

    # --- what happens -----------------------------------------------------------------------------

    def wake(self) -> None:
        """Something is different: decide anew."""
        self._woken.set()

    def links_changed(self, links: Sequence[Link]) -> None:
        """These are the links now."""
        self.policy.links_changed(links)
        if self.run is not None and not _is_there(self.run, links):
            self._runner.stop(Stop.LINK)
        event(
            "links.changed", links=",".join(f"{one.interface}:{one.reach.value}" for one in links)
        )
        self._refresh()
        self.wake()

    def pressed(self, gesture: Gesture) -> None:
        """Somebody used the button."""
        self.events.pressed(gesture)
        event("button.pressed", gesture=gesture.value)
        self.is_button_stuck = gesture is Gesture.STUCK
        if self.modem is not None:
            self.modem.pressed()
        if gesture is Gesture.VERY_LONG:
            self.set_paused(not self.policy.is_paused)
        elif gesture is not Gesture.STUCK:
            self.ask(Cause.BUTTON, (), is_expensive_allowed=gesture is Gesture.LONG)
        self._refresh()
        self.wake()

    def modem_changed(self) -> None:
        """What is known of the modem is another."""
        self._refresh()
        self.wake()

    async def look(self, kept: KeptMap) -> None:
        """Count anew what waits in a map, and act on it."""
        was_known = kept.counts.title != "" or kept.counts.edits is not None
        is_new = await kept.look()
        trim()
        self._count(is_new=is_new and was_known)
        self._refresh()
        self.wake()

    async def look_at_all(self) -> None:
        """After the start, and at what could not be read again and again; until cancelled."""
        await self._looks.run(was_clean=self._stored.was_clean, check_s=self.config.device.check_s)

    def _all_looked_at(self) -> None:
        self.is_starting = False
        self._refresh()
        self.wake()

    def _count(self, *, is_new: bool) -> None:
        unsent = sum(kept.counts.unsent for kept in self.maps if kept.is_usable)
        self._looks.counted()
        self.policy.pending_changed(unsent, is_new=is_new)
        self.links.set_services({url for kept in self.maps for url in kept.counts.services})

    def kept(self, name: str) -> KeptMap:
        """The map of that name. :exc:`UnknownMapError`."""
        for kept in self.maps:
            if kept.name == name:
                return kept
        known = ", ".join(kept.name for kept in self.maps) or "none"
        raise UnknownMapError(
            f"the configuration has no map {name!r}; it has {known}",
            remedy="Give one of the names in the configuration",
        )

    def ask(self, cause: Cause, maps: Sequence[str], *, is_expensive_allowed: bool) -> JobRecord:
        """Sync these maps, or all, as soon as it may be. :exc:`UnknownMapError`."""
        record = self.jobs.ask(cause, self._names(maps), is_expensive_allowed=is_expensive_allowed)
        self._is_asked = cause is Cause.BUTTON
        self._press(record)
        self._looks.hurry()
        self.wake()
        return record

    def _press(self, record: JobRecord) -> None:
        self.policy.pressed(Gesture.LONG if record.is_expensive_allowed else Gesture.SHORT)

    async def cancel(self, job_id: str) -> JobRecord:
        """Stop a job that waits or runs, and wait for its end. :exc:`UnknownJobError`."""
        record = self.jobs.get(job_id)
        if job_id == self.jobs.waiting:
            self._give_up("It was cancelled before it began.")
        elif job_id == self.jobs.running:
            self.jobs.canceling(job_id)
            with self.events.subscribe() as reader:
                self._runner.stop(Stop.CANCEL)
                while not (record := self.jobs.get(job_id)).status.is_done:
                    await reader.wait()
                    reader.take()
        return self.jobs.get(record.id)

    def set_paused(self, is_paused: bool, seconds: float | None = None) -> None:
        """Sync nothing for so long, or before somebody says so; kept over a restart."""
        self.policy.set_paused(is_paused)
        self.pause.set(is_paused, seconds)
        if is_paused:
            self._runner.stop(Stop.PAUSE)
        elif self.jobs.waiting is not None:  # what somebody asked for before is wanted still
            self._press(self.jobs.get(self.jobs.waiting))
        if self.run is None:  # so that whoever asked is told what is so now
            decision = self._decide()
            self.wait = None
            if isinstance(decision, Wait):
                self._waits(decision)
        self._refresh()
        self.wake()

    def _names(self, maps: Sequence[str]) -> tuple[str, ...]:
        return tuple(self.kept(name).name for name in maps) or tuple(k.name for k in self.maps)

    def _give_up(
        self,
        why: str,
        status: JobStatus = JobStatus.CANCELLED,
        results: Sequence[MapResult] = (),
    ) -> None:
        """The job that waits is not wanted any more, or can do nothing."""
        if self.jobs.waiting is not None:
            self.policy.forget_press()
            error = EngineError(why, remedy="Ask for another one")
            self.jobs.end(self.jobs.waiting, status, results=tuple(results), error=error)
            self.wake()

    # --- the loop ---------------------------------------------------------------------------------

    async def govern(self) -> None:
        """Decide, and do it, until cancelled."""
        while True:
            self._beat(LOOK_LIMIT_S)
            self._woken.clear()
            decision = self._decide()
            if isinstance(decision, Run):
                await self._run(decision)
                continue
            self._waits(decision)
            self._rest()
            dial_at = self._call_modem()
            moments = [m for m in (self._next_moment(decision), dial_at) if m is not None]
            await until_set(self._woken, self.clock, min(moments, default=None))

    def _call_modem(self) -> float | None:
        """Have the modem dial if there is something to do, and no other link that leads out; else
        when there may be."""
        if self.modem is None or self.is_starting:
            return None
        others = [link for link in self.links.links if link.interface not in self.modem.interfaces]
        if any(link.reach in (Reach.SERVICE, Reach.UNKNOWN) for link in others):
            self.modem.want(False)
            return None
        decision = self.policy.decide_over(self.modem.link_class)
        self.modem.want(isinstance(decision, Run))
        return decision.until if isinstance(decision, Wait) else None

    def _decide(self) -> Run | Wait:
        self.pause.look()
        if self.pause.is_over:
            self.set_paused(False)
        if self.is_starting:
            return Wait(until=None, reason=WaitReason.NOTHING_TO_DO, detail="It is starting.")
        self.policy.clock_changed(is_trusted=self._is_clock_trusted())
        usable = [kept for kept in self.maps if kept.is_usable]
        if not usable:
            return self._without_maps()
        return self.pause.explained(self.policy.decide())

    def _without_maps(self) -> Wait:
        if not self.maps:
            detail = "The configuration names no map."
            return Wait(until=None, reason=WaitReason.NOTHING_TO_DO, detail=detail)
        error = self.maps[0].counts.error
        detail = "No map can be used." if error is None else error.message
        return Wait(until=None, reason=WaitReason.STORAGE, detail=detail)

    def _waits(self, wait: Wait) -> None:
        if self.wait is None or (self.wait.reason, self.wait.detail) != (wait.reason, wait.detail):
            left = None if wait.until is None else wait.until - self.clock.monotonic()
            event("sync.waiting", reason=wait.reason.value, detail=wait.detail, seconds=left)
        self.wait = wait
        self.jobs.waits(wait)
        if wait.reason is WaitReason.NOTHING_TO_DO and not self.is_starting:
            self._give_up("It waited so long that it is not tried any more.")
        if self._is_asked:
            self._is_asked = False
            self.lamps.refuse_press(attention_of(wait.reason))
        self._refresh()

    def _next_moment(self, wait: Wait) -> float | None:
        """When the answer, or what the lamps tell, will be another by itself."""
        now = self.clock.monotonic()
        moments = [wait.until, self.pause.next_moment]
        if self._success_at is not None:
            moments.append(self._success_at + SUCCESS_S)
        return min((m for m in moments if m is not None and m > now), default=None)

    async def _run(self, run: Run) -> None:
        record = self._job_for(run)
        asked = [kept for kept in self.maps if kept.name in record.maps]
        wanted = [kept for kept in asked if kept.is_usable]
        unusable = unusable_maps(asked)
        if not wanted:
            self._give_up("None of its maps can be used.", JobStatus.FAILED, unusable)
            return
        self.run, self.wait, self._is_asked = run, None, False
        self._success_at = None
        self.policy.run_started(run)
        self._stored.put("policy", self.policy.kept())
        self.jobs.start(record.id, run.link.interface)
        event(
            "run.started",
            job=record.id,
            cause=record.cause.value,
            link=run.link.interface,
            maps=",".join(kept.name for kept in wanted),
        )
        self._beat(run.deadline_s + STOP_GRACE_S)
        self._refresh()
        try:
            end = await self._runner.run(run, record.id, wanted)
        except asyncio.CancelledError:
            error = EngineError("the daemon stopped", remedy="The next sync goes on")
            self.jobs.end(record.id, JobStatus.CANCELLED, error=error)
            self.policy.run_cancelled()
            self._stored.put("policy", self.policy.kept())
            raise
        finally:
            self.run = None
            self.budgets.save()
        self._beat(LOOK_LIMIT_S)
        is_whole = all(kept in wanted for kept in self.maps if kept.is_usable)
        outcome = replace(end.outcome, is_whole=is_whole)
        await self._learn(
            replace(end, outcome=outcome, results=(*end.results, *unusable)), record.id
        )
        trim()

    async def _learn(self, end: RunEnd, job_id: str) -> None:
        """What follows from a run that has ended."""
        outcome = end.outcome
        if end.stop is Stop.PAUSE:
            self.policy.run_cancelled()
        else:
            self.policy.run_ended(outcome)
        self._stored.put("policy", self.policy.kept())
        self._note_reach(end)
        new = [await kept.look() for kept in self.maps]
        self._count(is_new=any(new))
        record = self.jobs.end(job_id, end.status, results=end.results, error=end.error)
        now = self.clock.monotonic()
        if end.status is JobStatus.SUCCEEDED:
            self._success_at = now
        self.last_run_at = now
        self.last_run = RunStatus(
            job=job_id,
            ended_at=record.ended_at or self.clock.now(),
            ended_ago_s=0.0,
            is_success=end.status is JobStatus.SUCCEEDED,
            failure_class=outcome.failure,
            failure=record.failure,
        )
        self._stored.put("last_run", run_as_json(self.last_run))
        totals = [one.totals for one in end.results]
        event(
            "run.ended",
            logging.INFO if end.status is JobStatus.SUCCEEDED else logging.WARNING,
            job=job_id,
            status=end.status.name.lower(),
            acknowledged=outcome.acknowledged,
            sent_bytes=sum(one.sent_bytes for one in totals),
            received_bytes=sum(one.received_bytes for one in totals),
            seconds=now - outcome.started_at,
            failure=None if outcome.failure is None else outcome.failure.value,
            error=None if end.error is None else end.error.message,
        )

    def _job_for(self, run: Run) -> JobRecord:
        if self.jobs.waiting is not None:
            return self.jobs.get(self.jobs.waiting)
        work = self.policy.state().work
        if work.last_change_at is not None:
            cause = Cause.EDITS
        elif self.last_run is not None and not self.last_run.is_success:
            cause = Cause.RETRY
        elif self.last_run_at is None or run.link.since > self.last_run_at:
            cause = Cause.LINK
        else:
            cause = Cause.SCHEDULE
        return self.jobs.ask(cause, self._names(()), is_expensive_allowed=False)

    def must_stop(self) -> Stop | None:
        """Whether the run that goes on must end, because of the device itself."""
        now = self.clock.monotonic()
        if now < self._conditions_at + CONDITIONS_EVERY_S:
            return None
        self._conditions_at = now
        decision = self.policy.decide()
        if isinstance(decision, Wait) and decision.reason in _STOPPING:
            return Stop.PAUSE if decision.reason is WaitReason.PAUSED else Stop.CONDITIONS
        return None

    def moved(self, progress: int, detail: str) -> None:
        """How far the run is that goes on."""
        self.jobs.moved(progress, detail)
        self._refresh()

    def _note_reach(self, end: RunEnd) -> None:
        outcome = end.outcome
        is_proven = bool(outcome.acknowledged) or (outcome.is_complete and end.stop is None)
        reach = reach_after(outcome.failure, is_acknowledged=is_proven)
        if reach is not None:
            self.links.note_reach(outcome.run.link.interface, reach)

    # --- telling ----------------------------------------------------------------------------------

    def _refresh(self) -> None:
        """Let the lamps, the service manager and the socket tell what is so now."""
        shown = indication(self._seen(), self.clock.monotonic())
        self.lamps.show(shown)
        text = self.sentence()
        self._manager.status(text)
        told = f"{shown} {text}"
        if told != self._told:
            self._told = told
            self.events.status_changed()

    def _seen(self) -> Seen:
        last = self.last_run
        progress = None
        if self.run is not None and self.jobs.running is not None:
            progress = self.jobs.get(self.jobs.running).progress
        return Seen(
            is_starting=self.is_starting,
            links=self.links.links,
            maps=self.maps,
            progress=progress,
            reason=None if self.wait is None else self.wait.reason,
            failure=None if last is None or last.is_success else last.failure_class,
            success_at=self._success_at,
            is_state_lost=self._stored.is_lost,
            is_button_stuck=self.is_button_stuck,
            is_searching=self.modem is not None and self.modem.is_searching,
            is_modem_stopped=self.modem is not None and self.modem.needs_person,
        )

    def indication(self) -> Indication:
        """What the lamps tell now."""
        return indication(self._seen(), self.clock.monotonic())

    def sentence(self) -> str:
        """One plain sentence: what it does, or why it waits."""
        if self.is_stopping:
            return "It is stopping."
        if self.run is not None and self.jobs.running is not None:
            return self.jobs.get(self.jobs.running).detail or "A sync has begun."
        if self.wait is None:
            return "It is starting." if self.is_starting else "A sync is about to begin."
        return self.wait.detail

    def _beat(self, limit_s: float) -> None:
        if self.pulse is not None:
            self.pulse.begin(limit_s)

    def _rest(self) -> None:
        if self.pulse is not None:
            self.pulse.rest()

    # --- over restarts ----------------------------------------------------------------------------

    def restore(self) -> None:
        """Go on as it was when the last daemon ended, or the power went."""
        self.policy.restore(self._stored.get("policy"), was_clean=self._stored.was_clean)
        self.policy.set_paused(self.pause.restore(was_clean=self._stored.was_clean))
        self.last_run = run_from_json(self._stored.get("last_run"))


def _is_there(run: Run, links: Sequence[Link]) -> bool:
    """Whether what leaves the device still goes over the run's link, which was not made anew."""
    return any(
        one.interface == run.link.interface
        and one.since == run.link.since
        and (one.is_preferred or run.is_bound)
        for one in links
    )
