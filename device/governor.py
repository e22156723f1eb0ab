"""The governor: whatever happens to the device comes here, and one loop does what follows from it.

The loop asks the policy what to do, does it, and sleeps until something happens or a moment that
the policy named has come. Nothing else syncs.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from device.api.events import EventHub
from device.api.status import Cause, JobRecord, MapResult
from device.config import Config
from device.display import Display
from device.indication import Seen
from device.jobs import Jobs
from device.kept_map import KeptMap
from device.kept_maps import KeptMaps
from device.lamps.lamps import Lamps
from device.lamps.language import attention_of
from device.links.reachability import reach_after
from device.log import event
from device.map_looks import LOOK_LIMIT_S, MapLooks
from device.map_result import unusable_maps
from device.memory import trim
from device.model import ClockTrust, FailureClass, Gesture, Link, Reach, Run, Wait, WaitReason
from device.notify import Pulse, ServiceManager
from device.pause import Pause
from device.policy.budgets import Budgets
from device.policy.clock_trust import ClockWatch
from device.policy.policy import Policy
from device.run_status import LastRun
from device.runs import LeftAloneError, RunEnd, Runner, Stop
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
        clock_watch: ClockWatch,
        maps: Sequence[KeptMap],
        modem: Modem | None = None,
    ) -> None:
        self.config = config
        self.clock = clock
        self.policy = policy
        self.budgets = budgets
        self.lamps = lamps
        self.links = links
        self.maps = KeptMaps(maps, policy, links)
        self.modem = modem
        self.events = EventHub(clock)
        self.jobs = Jobs(clock, self.events)
        self.began_at = clock.monotonic()
        self.is_starting = True
        self.is_stopping = False
        self.is_button_stuck = False
        self.wait: Wait | None = None
        self.run: Run | None = None
        self.last_run = LastRun(clock, stored)
        self.pause = Pause(stored, clock)
        self.pulse: Pulse | None = None
        self._stored = stored
        self._clock_watch = clock_watch
        self._manager = manager
        self._woken = asyncio.Event()
        self._is_asked = False
        self._conditions_at = 0.0
        self.display = Display(
            clock=clock,
            lamps=lamps,
            manager=manager,
            events=self.events,
            seen=self._seen,
            sentence=self.sentence,
        )
        self._runner = runner(self)
        self._looks = MapLooks(
            self.maps.all,
            clock=clock,
            manager=manager,
            look=self.look,
            began=self._all_looked_at,
            is_told_of_edits=config.sync.watch_edits,
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
        self.display.refresh()
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
        self.display.refresh()
        self.wake()

    def modem_changed(self) -> None:
        """What is known of the modem is another."""
        self.display.refresh()
        self.wake()

    async def look(self, kept: KeptMap) -> None:
        """Count anew what waits in a map, and act on it."""
        await self.maps.look([kept])
        self._looks.counted()
        self.display.refresh()
        self.wake()

    async def look_at_all(self) -> None:
        """After the start, and at what could not be read again and again; until cancelled."""
        await self._looks.run(was_clean=self._stored.was_clean, check_s=self.config.device.check_s)

    def _all_looked_at(self) -> None:
        self.maps.all_looked_at()
        self.is_starting = False
        self.display.refresh()
        self.wake()

    def ask(self, cause: Cause, maps: Sequence[str], *, is_expensive_allowed: bool) -> JobRecord:
        """Sync these maps, or all, as soon as it may be. :exc:`UnknownMapError`."""
        record = self.jobs.ask(
            cause, self.maps.names(maps), is_expensive_allowed=is_expensive_allowed
        )
        self._is_asked = cause is Cause.BUTTON
        self._press(record)
        self._looks.hurry()
        self.wake()
        return record

    def _press(self, record: JobRecord) -> None:
        gesture = Gesture.LONG if record.is_expensive_allowed else Gesture.SHORT
        self.policy.pressed(gesture, maps=record.maps)

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
        self.display.refresh()
        self.wake()

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

    def _end_hopeless(self) -> None:
        """The job that waits is over if none of its maps can be read, also when looked at anew."""
        if self.jobs.waiting is None or self.is_starting or self._looks.is_hurried:
            return
        maps = [self.maps.named(name) for name in self.jobs.get(self.jobs.waiting).maps]
        if maps and not any(kept.is_usable for kept in maps):
            why = "None of its maps can be used."
            self._give_up(why, JobStatus.FAILED, unusable_maps(maps))

    # --- the loop ---------------------------------------------------------------------------------

    async def govern(self) -> None:
        """Decide, and do it, until cancelled."""
        while True:
            self._beat(LOOK_LIMIT_S)
            self._woken.clear()
            self._end_hopeless()
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
        self.policy.clock_changed(is_trusted=self._clock_watch.look() is not ClockTrust.NONE)
        return self.pause.explained(self.policy.decide())

    def _waits(self, wait: Wait) -> None:
        if self.wait is None or (self.wait.reason, self.wait.detail) != (wait.reason, wait.detail):
            left = None if wait.until is None else wait.until - self.clock.monotonic()
            event("sync.waiting", reason=wait.reason.value, detail=wait.detail, seconds=left)
        self.wait = wait
        self.jobs.waits(wait)
        is_known = not (self.is_starting or self._looks.is_hurried)
        if wait.reason is WaitReason.NOTHING_TO_DO and is_known:
            self._give_up("It waited so long that it is not tried any more.")
        if self._is_asked:
            self._is_asked = False
            self.lamps.refuse_press(attention_of(wait.reason))
        self.display.refresh()

    def _next_moment(self, wait: Wait) -> float | None:
        """When the answer, or what the lamps tell, will be another by itself."""
        now = self.clock.monotonic()
        moments = [wait.until, self.pause.next_moment, self.last_run.success_until]
        return min((m for m in moments if m is not None and m > now), default=None)

    async def _run(self, run: Run) -> None:
        record = self._job_for(run)
        run = replace(run, targets=tuple(one for one in run.targets if one.map in record.maps))
        wanted = [self.maps.named(name) for name in dict.fromkeys(t.map for t in run.targets)]
        unusable = unusable_maps(self.maps.named(name) for name in record.maps)
        self.run, self.wait, self._is_asked = run, None, False
        self.last_run.begun()
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
        self.display.refresh()
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
        end = self._with_held(replace(end, results=(*end.results, *unusable)), record)
        await self._learn(end, record.id)
        trim()

    def _with_held(self, end: RunEnd, record: JobRecord) -> RunEnd:
        """Whoever asked for a sync must not be told that all is done, if a service asked to be
        left alone and was."""
        done = set(end.outcome.run.targets)
        for hold in self.policy.holds():
            is_left_out = hold.target.map in record.maps and hold.target not in done
            if is_left_out and hold.wait.reason is WaitReason.RETRY_AFTER and end.error is None:
                error = LeftAloneError(hold.wait.detail)
                return replace(end, status=JobStatus.FAILED, error=error)
        return end

    async def _learn(self, end: RunEnd, job_id: str) -> None:
        """What follows from a run that has ended."""
        outcome = end.outcome
        if end.stop is Stop.PAUSE:
            self.policy.run_cancelled()
        else:
            self.policy.run_ended(outcome)
        is_refused = any(one.failure is FailureClass.AUTHENTICATION for one in outcome.targets)
        # A device that is switched off and on must not lock its account.
        self._stored.put("policy", self.policy.kept(), is_urgent=is_refused)
        self._note_reach(end)
        if self._clock_watch.look() is not ClockTrust.NONE:
            self._stored.put("clock", {"earliest": self.clock.now().isoformat(timespec="minutes")})
        await self.maps.look()
        self._looks.counted()
        record = self.jobs.end(job_id, end.status, results=end.results, error=end.error)
        self.last_run.ended(end, record)

    def _job_for(self, run: Run) -> JobRecord:
        """The job that waits, if the run is of its maps; else one of its own."""
        names = tuple(dict.fromkeys(target.map for target in run.targets))
        if self.jobs.waiting is not None:
            waiting = self.jobs.get(self.jobs.waiting)
            if any(name in waiting.maps for name in names):
                return waiting
        work = [one.work for one in self.policy.state().targets if one.target in run.targets]
        if any(one.last_change_at is not None for one in work):
            cause = Cause.EDITS
        elif self.last_run.has_failed:
            cause = Cause.RETRY
        elif self.last_run.at is None or run.link.since > self.last_run.at:
            cause = Cause.LINK
        else:
            cause = Cause.SCHEDULE
        unusable = (kept.name for kept in self.maps if not kept.is_usable)  # it tells of them, too
        return self.jobs.make(cause, (*names, *unusable))

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
        self.display.refresh()

    def _note_reach(self, end: RunEnd) -> None:
        outcome = end.outcome
        is_proven = any(one.is_acknowledged for one in outcome.targets)
        reach = reach_after(outcome.failure, is_acknowledged=is_proven)
        if reach is not None:
            self.links.note_reach(outcome.run.link.interface, reach)

    # --- telling ----------------------------------------------------------------------------------

    def _seen(self) -> Seen:
        progress = None
        if self.run is not None and self.jobs.running is not None:
            progress = self.jobs.get(self.jobs.running).progress
        return Seen(
            is_starting=self.is_starting,
            links=self.links.links,
            maps=self.maps.all,
            progress=progress,
            reason=None if self.wait is None else self.wait.reason,
            failures=self._failures(),
            success_until=self.last_run.success_until,
            is_state_lost=self._stored.is_lost,
            is_button_stuck=self.is_button_stuck,
            is_searching=self.modem is not None and self.modem.is_searching,
            is_modem_stopped=self.modem is not None and self.modem.needs_person,
        )

    def _failures(self) -> frozenset[FailureClass]:
        """Of the last run, and of services that it left alone."""
        last = self.last_run.failure
        return self.policy.troubles | (frozenset() if last is None else {last})

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
        self.last_run.restore()
        with suppress(ValueError):  # it may be no date, or without a zone
            earliest = datetime.fromisoformat(str(self._stored.get("clock").get("earliest")))
            self._clock_watch.cannot_be_before(earliest.astimezone(UTC))


def _is_there(run: Run, links: Sequence[Link]) -> bool:
    """Whether what leaves the device still goes over the run's link, which was not made anew."""
    return any(
        one.interface == run.link.interface
        and one.since == run.link.since
        and (one.is_preferred or run.is_bound)
        for one in links
    )
