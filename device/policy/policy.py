"""What the policy remembers between decisions: links, edits, presses, failures, budgets.

The daemon tells it what happens and asks :meth:`Policy.decide`; it starts nothing itself.
"""

import random
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from device.model import FailureClass, Gesture, Link, LinkClass, Run, SyncTarget, Wait
from device.policy.backoff import Backoff
from device.policy.budgets import Budgets
from device.policy.conditions import Conditions
from device.policy.decide import decide, decide_over, route
from device.policy.failures import RunOutcome, TargetOutcome
from device.policy.holds import holds
from device.policy.rules import Rules
from device.policy.state import Candidate, Hold, PolicyState, Press, TargetState, Work
from engine import Clock

Reader = Callable[[], Conditions]
_OF_THE_WAY = frozenset({FailureClass.LINK, FailureClass.PORTAL, FailureClass.CLOCK})
"""Failures that may be the link's or the device's, or one service's alone."""


class Policy:
    """Decides when to sync, from what it was told."""

    def __init__(
        self,
        rules: Rules,
        budgets: Budgets,
        *,
        clock: Clock,
        rng: random.Random,
        read_conditions: Reader = Conditions,
        sign_in_mark: Callable[[], str | None] = lambda: None,
    ) -> None:
        """``sign_in_mark``: what is another when the credentials are, and is no secret; None if
        nobody can tell."""
        self._rules = rules
        self._budgets = budgets
        self._clock = clock
        self._random = rng
        self._read_conditions = read_conditions
        self._backoff = Backoff(rules, rng)
        self._links: tuple[Candidate, ...] = ()
        self._work: dict[SyncTarget, Work] = {}
        self._broken_maps: tuple[str, ...] = ()
        self._press: Press | None = None
        self._is_paused = False
        self._sign_in_mark = sign_in_mark
        self._refused_sign_ins: dict[SyncTarget, str | None] = {}
        """With the mark of what was refused."""
        self._is_clock_trusted = False
        self._retry_after: dict[str, float] = {}
        self._running: LinkClass | None = None

    @property
    def is_paused(self) -> bool:
        return self._is_paused

    @property
    def is_clock_trusted(self) -> bool:
        return self._is_clock_trusted

    def decide(self) -> Run | Wait:
        """What to do now. Reads the device's condition anew."""
        return decide(self.state(), self._clock.monotonic())

    def decide_over(self, link_class: LinkClass) -> Run | Wait:
        """What would be decided if there were a link of that class, and no other."""
        return decide_over(self.state(), link_class, self._clock.monotonic())

    def state(self) -> PolicyState:
        """All that the decision is made of. Reads the device's condition anew."""
        return self._state(self._read_conditions())

    def _state(self, conditions: Conditions) -> PolicyState:
        return PolicyState(
            rules=self._rules,
            links=self._links,
            is_paused=self._is_paused,
            targets=tuple(
                TargetState(
                    target=target,
                    work=work,
                    is_sign_in_refused=target in self._refused_sign_ins,
                )
                for target, work in self._work.items()
            ),
            broken_maps=self._broken_maps,
            press=self._press,
            conditions=conditions,
            budgets=self._budgets.states(),
            waits=self._backoff.waits,
            retry_after=dict(self._retry_after),
        )

    def holds(self) -> tuple[Hold, ...]:
        """The services that are left alone by themselves now."""
        candidate = route(self._links)
        link_class = None if candidate is None else candidate.link.link_class
        return holds(self._state(Conditions()), self._clock.monotonic(), link_class)

    @property
    def troubles(self) -> frozenset[FailureClass]:
        """How single services failed, and did not succeed since."""
        waits = self._backoff.waits
        alone = {wait.failure for wait in waits if wait.target is not None and wait.failures}
        return frozenset(
            {*alone, *({FailureClass.AUTHENTICATION} if self._refused_sign_ins else ())}
        )

    # --- what happens around the device -----------------------------------------------------------

    def links_changed(self, links: Iterable[Link]) -> None:
        """These are the links now. One whose ``since`` is another came up, or changed."""
        known = {candidate.link.interface: candidate for candidate in self._links}
        self._links = tuple(self._candidate(link, known.get(link.interface)) for link in links)

    def _candidate(self, link: Link, known: Candidate | None) -> Candidate:
        if known is not None and _is_same(known.link, link):
            return replace(known, link=link)
        self._backoff.link_changed(link.link_class)
        jitter = self._random.uniform(0, self._rules.link_jitter_s)
        settle = self._rules.of(link.link_class).settle_s
        return Candidate(link=link, settles_at=link.since + settle + jitter)

    def targets_changed(
        self,
        pending_edits: Mapping[SyncTarget, int],
        *,
        new: Collection[SyncTarget] = (),
        broken_maps: Collection[str] = (),
    ) -> None:
        """These are the services of the maps that can be used, and so many edits wait for each;
        with those that are ``new``, some were made just now."""
        now = self._clock.monotonic()
        self._work = {
            target: _with_edits(self._work.get(target, Work()), pending, now, target in new)
            for target, pending in pending_edits.items()
        }
        self._broken_maps = tuple(broken_maps)
        if not broken_maps:
            self._backoff.keep_only(pending_edits.keys())
            for gone in self._refused_sign_ins.keys() - pending_edits.keys():
                del self._refused_sign_ins[gone]

    def pressed(self, gesture: Gesture, maps: Collection[str] | None = None) -> None:
        """Somebody used the button, or asked for a sync, of these maps, in another way."""
        if gesture in (Gesture.SHORT, Gesture.LONG):
            meant = None if maps is None else frozenset(maps)
            self._press = Press(gesture=gesture, at=self._clock.monotonic(), maps=meant)
        elif gesture is Gesture.VERY_LONG:
            self.set_paused(not self._is_paused)

    def set_paused(self, is_paused: bool) -> None:
        self._is_paused = is_paused
        if is_paused:
            self._press = None

    def forget_press(self) -> None:
        """What was asked for is not wanted any more."""
        self._press = None

    def clock_changed(self, *, is_trusted: bool) -> None:
        """Whether the time of day is known."""
        if is_trusted and not self._is_clock_trusted:
            self._backoff.clock_trusted()
        self._is_clock_trusted = is_trusted
        self._budgets.trust_clock(is_trusted)

    # --- runs -------------------------------------------------------------------------------------

    def run_started(self, run: Run) -> None:
        """What was pressed is obeyed now; what the rules hold back once more is held back again."""
        press = self._press
        if press is not None and (
            press.maps is None or any(target.map in press.maps for target in run.targets)
        ):
            self._press = None
        self._running = run.link.link_class

    def run_cancelled(self) -> None:
        """The program ends in the middle of a run, and in good order: it shows nothing."""
        self._running = None

    def run_ended(self, outcome: RunOutcome) -> None:
        """Learn from a run; then tell :meth:`targets_changed` what is left."""
        now = self._clock.monotonic()
        self._running = None
        link_class = outcome.run.link.link_class
        for one in outcome.targets:
            self._tried(outcome, one, now)
            if one.is_acknowledged:
                self._backoff.acknowledged(link_class, one.target, but_for=one.failure)
                self._refused_sign_ins.pop(one.target, None)
            if one.failure is FailureClass.AUTHENTICATION:
                self._refused_sign_ins[one.target] = self._sign_in_mark()
        for failure, target in self._blamed(outcome):
            self._backoff.failed(link_class, failure, now, target)
        if outcome.failure is None and not outcome.is_complete and not outcome.acknowledged:
            self._backoff.stopped(link_class, now)
        self._asked_for_time(outcome, now)
        self._budgets.save()

    def _blamed(self, outcome: RunOutcome) -> set[tuple[FailureClass, SyncTarget | None]]:
        """What failed: the way there, or a service alone. It is the service if another one was
        reached in the same run, or it was the service already."""
        link_class = outcome.run.link.link_class
        blamed: set[tuple[FailureClass, SyncTarget | None]] = set()
        if outcome.stopped_by is not None:
            blamed.add((outcome.stopped_by, None))
        for one in outcome.targets:
            failure = one.failure
            if failure is None or failure in (FailureClass.AUTHENTICATION, FailureClass.REFUSED):
                continue
            is_alone = (
                failure not in _OF_THE_WAY
                or any(other.is_reached for other in outcome.targets if other is not one)
                or self._backoff.has_failed_alone(link_class, failure, one.target)
            )
            blamed.add((failure, one.target if is_alone else None))
        return blamed

    def _asked_for_time(self, outcome: RunOutcome, now: float) -> None:
        asked: dict[str, float] = {}
        for one in outcome.targets:
            for name in (one.target.host, one.target.url):
                self._retry_after.pop(name, None)
            for name in one.busy:
                assert one.retry_after_s is not None
                seconds = min(one.retry_after_s, self._rules.retry_after_limit_s)
                asked[name] = max(seconds, asked.get(name, 0.0))
        self._retry_after |= {host: now + seconds for host, seconds in asked.items()}

    def _tried(self, outcome: RunOutcome, one: TargetOutcome, now: float) -> None:
        """Edits made since the run began were perhaps not part of it."""
        work = replace(self._work.get(one.target, Work()), tried_at=now)
        if one.is_complete:
            work = replace(work, completed_at=now)
            if outcome.run.pull:
                work = replace(work, pulled_at=now)
            if work.last_change_at is not None and work.last_change_at < outcome.started_at:
                work = replace(work, first_change_at=None, last_change_at=None)
            elif work.first_change_at is not None:
                first = max(work.first_change_at, outcome.started_at)
                work = replace(work, first_change_at=first)
        if one.target in self._work:
            self._work[one.target] = work

    # --- over restarts ----------------------------------------------------------------------------

    def kept(self) -> dict[str, object]:
        """What must outlive a restart, as plain values: so that a program that dies with each run,
        or a device that is switched off and on, does not try again and again at once."""
        now = self._clock.monotonic()
        asked = {host: until - now for host, until in self._retry_after.items() if until > now}
        return {
            "waits": self._backoff.kept(now),
            "retry_after_s": asked,
            "refused_sign_ins": [
                [one.map, one.url, mark]
                for one, mark in self._refused_sign_ins.items()
                if mark is not None
            ],
            "running": None if self._running is None else self._running.value,
        }

    def restore(self, saved: Mapping[str, object], *, was_clean: bool) -> None:
        """Go on with what was kept. A run that was going on when the program died, or the power
        went, has failed on this device."""
        now = self._clock.monotonic()
        self._backoff.restore(saved.get("waits"), now)
        asked = saved.get("retry_after_s")
        for host, left_s in asked.items() if isinstance(asked, Mapping) else ():
            if isinstance(left_s, int | float) and 0 < left_s <= self._rules.retry_after_limit_s:
                self._retry_after[str(host)] = now + left_s
        refused, mark = saved.get("refused_sign_ins"), self._sign_in_mark()
        for one in refused if isinstance(refused, list) else ():
            match one:
                case [str(name), str(url), str(by)] if by == mark:
                    self._refused_sign_ins[SyncTarget(map=name, url=url)] = mark
        if was_clean:
            return
        for link_class in LinkClass:
            if saved.get("running") == link_class.value:
                self._backoff.failed(link_class, FailureClass.LOCAL, now)


def _with_edits(work: Work, pending_edits: int, now: float, is_new: bool) -> Work:
    first, last = work.first_change_at, work.last_change_at
    if not pending_edits:
        first = last = None
    elif is_new:
        last = now
        first = last if first is None else first
    return replace(work, pending_edits=pending_edits, first_change_at=first, last_change_at=last)


def _is_same(known: Link, link: Link) -> bool:
    return (known.since, known.link_class) == (link.since, link.link_class)
