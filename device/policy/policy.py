"""What the policy remembers between decisions: links, edits, presses, failures, budgets.

The daemon tells it what happens and asks :meth:`Policy.decide`; it starts nothing itself.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from device.model import FailureClass, Gesture, Link, LinkClass, Run, Wait
from device.policy.backoff import Backoff
from device.policy.budgets import Budgets
from device.policy.conditions import Conditions
from device.policy.decide import decide, decide_over
from device.policy.failures import RunOutcome
from device.policy.rules import Rules
from device.policy.state import Candidate, PolicyState, Press, Work
from engine import Clock

Reader = Callable[[], Conditions]


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
    ) -> None:
        self._rules = rules
        self._budgets = budgets
        self._clock = clock
        self._random = rng
        self._read_conditions = read_conditions
        self._backoff = Backoff(rules, rng)
        self._links: tuple[Candidate, ...] = ()
        self._work = Work()
        self._press: Press | None = None
        self._is_paused = False
        self._is_sign_in_refused = False
        self._is_clock_trusted = False
        self._retry_after_until: float | None = None
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
        """All that the decision is made of."""
        return PolicyState(
            rules=self._rules,
            links=self._links,
            is_paused=self._is_paused,
            work=self._work,
            press=self._press,
            conditions=self._read_conditions(),
            budgets=self._budgets.states(),
            waits=self._backoff.waits,
            retry_after_until=self._retry_after_until,
            is_sign_in_refused=self._is_sign_in_refused,
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

    def pending_changed(self, pending_edits: int, *, is_new: bool = False) -> None:
        """So many edits wait in all maps; ``is_new``: some were made just now."""
        first, last = self._work.first_change_at, self._work.last_change_at
        if not pending_edits:
            first = last = None
        elif is_new:
            last = self._clock.monotonic()
            first = last if first is None else first
        self._work = replace(
            self._work, pending_edits=pending_edits, first_change_at=first, last_change_at=last
        )

    def pressed(self, gesture: Gesture) -> None:
        """Somebody used the button, or asked for a sync in another way."""
        if gesture in (Gesture.SHORT, Gesture.LONG):
            self._press = Press(gesture=gesture, at=self._clock.monotonic())
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
        self._press = None
        self._running = run.link.link_class

    def run_cancelled(self) -> None:
        """The program ends in the middle of a run, and in good order: it shows nothing."""
        self._running = None

    def run_ended(self, outcome: RunOutcome) -> None:
        """Learn from a run; then tell :meth:`pending_changed` what is left."""
        now = self._clock.monotonic()
        self._running = None
        link_class = outcome.run.link.link_class
        if outcome.is_complete and outcome.is_whole:
            self._completed(outcome.started_at, now)
            if outcome.run.pull:
                self._work = replace(self._work, pulled_at=now)
        failure = outcome.failure
        if outcome.is_complete or outcome.acknowledged:
            self._backoff.acknowledged(link_class, but_for=failure)
            self._is_sign_in_refused = False
        elif failure is None:
            self._backoff.stopped(link_class, now)
        if failure is FailureClass.AUTHENTICATION:
            self._is_sign_in_refused = True
        elif failure not in (None, FailureClass.REFUSED):
            self._backoff.failed(link_class, failure, now)
        self._retry_after_until = None
        if outcome.retry_after_s is not None:
            asked = min(outcome.retry_after_s, self._rules.retry_after_limit_s)
            self._retry_after_until = now + asked
        self._budgets.save()

    # --- over restarts ----------------------------------------------------------------------------

    def kept(self) -> dict[str, object]:
        """What must outlive a restart, as plain values: so that a program that dies with each run,
        or a device that is switched off and on, does not try again and again at once."""
        now = self._clock.monotonic()
        until = self._retry_after_until
        return {
            "waits": self._backoff.kept(now),
            "retry_after_s": None if until is None or until <= now else until - now,
            "running": None if self._running is None else self._running.value,
        }

    def restore(self, saved: Mapping[str, object], *, was_clean: bool) -> None:
        """Go on with what was kept. A run that was going on when the program died, or the power
        went, has failed on this device."""
        now = self._clock.monotonic()
        self._backoff.restore(saved.get("waits"), now)
        left_s = saved.get("retry_after_s")
        if isinstance(left_s, int | float) and 0 < left_s <= self._rules.retry_after_limit_s:
            self._retry_after_until = now + left_s
        if was_clean:
            return
        for link_class in LinkClass:
            if saved.get("running") == link_class.value:
                self._backoff.failed(link_class, FailureClass.LOCAL, now)

    # --- inside -----------------------------------------------------------------------------------

    def _completed(self, started_at: float, now: float) -> None:
        """Edits made since the run began were perhaps not part of it."""
        work = replace(self._work, completed_at=now)
        if work.last_change_at is not None and work.last_change_at < started_at:
            work = replace(work, first_change_at=None, last_change_at=None)
        elif work.first_change_at is not None:
            work = replace(work, first_change_at=max(work.first_change_at, started_at))
        self._work = work


def _is_same(known: Link, link: Link) -> bool:
    return (known.since, known.link_class) == (link.since, link.link_class)
