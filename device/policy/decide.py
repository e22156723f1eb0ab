"""Whether to sync now, and if not, why not and until when.

The answer depends on the state and the time alone, and changes only at moments that stand in the
state. So ``until`` is exact: it is the first moment at which the answer is another one.
"""

from collections.abc import Iterator
from dataclasses import replace

from device.model import FailureClass, Gesture, Link, LinkClass, Reach, Run, Wait, WaitReason
from device.policy.conditions import Conditions, Disk
from device.policy.rules import ClassRules, Rules
from device.policy.state import BackoffWait, Candidate, PolicyState

_COST = list(LinkClass)
_ALWAYS = float("-inf")
_NEVER = float("inf")


def decide(state: PolicyState, now: float) -> Run | Wait:
    """Run, or wait and why. A press of the button overrides what is meant to spare the service and
    the link (settling, back-off, a refused sign-in), but never what protects the device, the
    budget, or a service that asked to be left alone. A long press grants one more day's budget.
    """
    answer = _answer(state, now)
    if isinstance(answer, Run):
        return answer
    moments = sorted({m for m in _moments(state) if now < m < _NEVER})
    until = next((m for m in moments if _answer(state, m) != answer), None)
    return replace(answer, until=until)


def decide_over(state: PolicyState, link_class: LinkClass, now: float) -> Run | Wait:
    """What :func:`decide` would say if the device had one link, of that class, and it had settled:
    whether it is worth dialling, and if not, when it may be."""
    link = Link(interface="", link_class=link_class, since=now)
    return decide(replace(state, links=(Candidate(link=link, settles_at=now),)), now)


def _answer(state: PolicyState, now: float) -> Run | Wait:
    """The answer without ``until``. Each time in the state is compared with ``now`` in one way:
    what lasts until then is over when ``now`` has reached it."""
    refusal = _refused_by_person(state) or _refused_by_device(state, now)
    if refusal is not None:
        return refusal
    candidate = _route(state.links)
    answer = _over(state, candidate, now)
    if candidate is None or isinstance(answer, Run) or not state.rules.may_bind:
        return answer
    is_dead_end = candidate.link.reach in (Reach.NOTHING, Reach.PORTAL)
    if is_dead_end and answer.reason in (WaitReason.BACK_OFF, WaitReason.PORTAL):
        others = [each for each in state.links if not each.link.is_preferred]
        for other in sorted(others, key=_cost):
            found = _over(state, other, now)
            if isinstance(found, Run):
                return replace(found, is_bound=True)
    return answer


def _over(state: PolicyState, candidate: Candidate | None, now: float) -> Run | Wait:
    """The answer if that were the only link."""
    gesture = _gesture(state, now)
    rules = _rules_for(state.rules, candidate)
    full_disk = _full_disk(state, now)
    may_pull = full_disk is None and (not rules.edits_only or gesture is Gesture.LONG)
    if full_disk is not None and not state.work.pending_edits:
        return _wait(WaitReason.DISK, _disk_detail(full_disk))
    if state.is_sign_in_refused and gesture is None:
        return _wait(
            WaitReason.AUTHENTICATION,
            "The service refused the sign-in; correct the credentials, or press the button to try "
            "again.",
        )
    nothing = _nothing_to_do(state, rules, now, may_pull=may_pull) if gesture is None else None
    if nothing is not None:
        return nothing
    if candidate is None:
        return _wait(WaitReason.NO_LINK, "There is no network link.")
    if state.retry_after_until is not None and now < state.retry_after_until:
        return _wait(WaitReason.RETRY_AFTER, "The service asked to be left alone for a while.")
    if not may_pull and not state.work.pending_edits:
        return _wait(WaitReason.BUDGET, _too_costly(candidate.link))
    refusal = _refused_by_link(state, candidate, now) if gesture is None else None
    if refusal is not None:
        return refusal
    return _within_budget(state, candidate.link, now, gesture, may_pull=may_pull)


def _wait(reason: WaitReason, detail: str) -> Wait:
    return Wait(until=None, reason=reason, detail=detail)


def _moments(state: PolicyState) -> Iterator[float]:
    """Every time at which the answer may change by itself."""
    rules, work = state.rules, state.work
    yield state.conditions.read_at + rules.reading_lifetime_s
    for candidate in state.links:
        yield candidate.settles_at
    for wait in state.waits:
        yield wait.until
    for budget in state.budgets.values():
        yield budget.turns_at
    if state.retry_after_until is not None:
        yield state.retry_after_until
    if state.press is not None:
        yield state.press.at + rules.press_lifetime_s
    yield _edits_due_at(state)
    for each in (*rules.classes.values(), _unlinked(rules)):
        yield _pull_due_at(state, each)
        if work.completed_at is not None:
            yield work.completed_at + rules.leftover_interval_s


# --- what protects the device ---------------------------------------------------------------------


def _refused_by_person(state: PolicyState) -> Wait | None:
    if state.is_paused:
        return _wait(WaitReason.PAUSED, "Syncing is paused until somebody lets it go on.")
    return None


def _refused_by_device(state: PolicyState, now: float) -> Wait | None:
    conditions, rules = _conditions(state, now), state.rules
    if conditions.broken_maps:
        maps = ", ".join(conditions.broken_maps)
        return _wait(WaitReason.STORAGE, f"The file of a map was damaged and set aside: {maps}.")
    for disk in conditions.disks:
        if disk.is_read_only:
            return _wait(WaitReason.STORAGE, f"The disk of {disk.folder} is read-only.")
    if conditions.is_undervoltage:
        return _wait(WaitReason.UNDERVOLTAGE, "The supply voltage is too low.")
    heat = conditions.temperature_c
    if heat is not None and heat > rules.hottest_c:
        return _wait(WaitReason.TEMPERATURE, f"The device is too hot: {heat:.0f} °C.")
    charge = conditions.battery_percent
    is_weak = charge is not None and charge < rules.weakest_battery_percent
    if charge is not None and is_weak and not conditions.is_charging:
        return _wait(WaitReason.BATTERY, f"The battery is nearly empty: {int(charge)} %.")
    return None


def _conditions(state: PolicyState, now: float) -> Conditions:
    """An old reading tells nothing; broken maps stay so until told otherwise."""
    reading = state.conditions
    if now < reading.read_at + state.rules.reading_lifetime_s:
        return reading
    return Conditions(broken_maps=reading.broken_maps)


def _full_disk(state: PolicyState, now: float) -> Disk | None:
    for disk in _conditions(state, now).disks:
        if disk.free_bytes < state.rules.least_free_bytes(disk.size_bytes):
            return disk
    return None


def _disk_detail(disk: Disk) -> str:
    return f"The disk of {disk.folder} is nearly full: {disk.free_bytes // 1_000_000} MB are free."


# --- what there is to do --------------------------------------------------------------------------


def _gesture(state: PolicyState, now: float) -> Gesture | None:
    """The press that is still to be obeyed."""
    press = state.press
    if press is None or press.gesture not in (Gesture.SHORT, Gesture.LONG):
        return None
    return press.gesture if now < press.at + state.rules.press_lifetime_s else None


def _nothing_to_do(
    state: PolicyState, rules: ClassRules, now: float, *, may_pull: bool
) -> Wait | None:
    """None if something is due."""
    edits_due_at = _edits_due_at(state)
    if edits_due_at <= now or (may_pull and _pull_due_at(state, rules) <= now):
        return None
    if edits_due_at < _NEVER and state.work.last_change_at is not None:
        return _wait(WaitReason.EDITS_SETTLING, "Edits were made a moment ago; more may follow.")
    if state.work.pending_edits:
        return _wait(
            WaitReason.NOTHING_TO_DO, "The last sync left edits unsent; they are tried again later."
        )
    return _wait(WaitReason.NOTHING_TO_DO, "There is nothing to sync now.")


def _edits_due_at(state: PolicyState) -> float:
    """When edits are to go up: at once for those that were there before this program."""
    work, rules = state.work, state.rules
    if not work.pending_edits:
        return _NEVER
    if work.last_change_at is not None:
        first = work.last_change_at if work.first_change_at is None else work.first_change_at
        return min(work.last_change_at + rules.edits_quiet_s, first + rules.edits_wait_limit_s)
    if work.completed_at is None:
        return _ALWAYS
    return work.completed_at + rules.leftover_interval_s


def _pull_due_at(state: PolicyState, rules: ClassRules) -> float:
    if rules.pull_interval_s is None:
        return _NEVER
    if state.work.pulled_at is None:
        return _ALWAYS
    return state.work.pulled_at + rules.pull_interval_s


# --- over which link ------------------------------------------------------------------------------


def _cost(candidate: Candidate) -> tuple[int, str]:
    return _COST.index(candidate.link.link_class), candidate.link.interface


def _route(links: tuple[Candidate, ...]) -> Candidate | None:
    """The link that the kernel sends over; the dearest if it has one for IPv4 and one for IPv6."""
    preferred = [candidate for candidate in links if candidate.link.is_preferred]
    return max(preferred, key=_cost, default=None)


def _rules_for(rules: Rules, candidate: Candidate | None) -> ClassRules:
    return _unlinked(rules) if candidate is None else rules.of(candidate.link.link_class)


def _unlinked(rules: Rules) -> ClassRules:
    """Without a link, what would be due over the cheapest."""
    return rules.of(_COST[0])


def _too_costly(link: Link) -> str:
    return (
        f"Only edits go over {_name(link)}, and there are none; hold the button for two seconds to "
        "sync over it anyway."
    )


def _name(link: Link) -> str:
    return f"{link.interface} ({link.link_class.value})"


def _refused_by_link(state: PolicyState, candidate: Candidate, now: float) -> Wait | None:
    """What a press of the button overrides."""
    link = candidate.link
    waits = [w for w in state.waits if w.link_class is link.link_class and now < w.until]
    if any(w.failure is FailureClass.PORTAL for w in waits):
        return _wait(
            WaitReason.PORTAL,
            f"Something else answers in the service's place on {_name(link)}: the network may want "
            "somebody to sign in." + _others(state, link),
        )
    if any(w.failure is FailureClass.CLOCK for w in waits):
        return _wait(
            WaitReason.CLOCK,
            "The service's certificate is not valid at the time this device has, and nobody has "
            "told it the right time yet.",
        )
    if now < candidate.settles_at:
        return _wait(WaitReason.LINK_SETTLING, f"{_name(link)} came up a moment ago.")
    if waits:
        worst = max(waits, key=lambda w: w.until)
        return _wait(WaitReason.BACK_OFF, _backoff_detail(worst, link) + _others(state, link))
    return None


_FAILED = {
    FailureClass.LINK: "the link did not lead to the service, or broke",
    FailureClass.SERVER: "the service could not do it",
    FailureClass.LOCAL: "the device's own storage or maps were in the way",
    FailureClass.AUTHENTICATION: "the service refused the sign-in",
    FailureClass.REFUSED: "the service refused edits",
}


def _backoff_detail(wait: BackoffWait, link: Link) -> str:
    if not wait.failures:
        return f"The last sync over {_name(link)} was stopped before its end; it goes on by itself."
    times = "once" if wait.failures == 1 else f"{wait.failures} times"
    why = _FAILED.get(wait.failure, "it failed")
    return f"Syncing over {_name(link)} failed {times}: {why}. It is tried again by itself."


def _others(state: PolicyState, link: Link) -> str:
    """The links that might lead further, and why they are not tried."""
    if state.rules.may_bind:
        return ""
    others = [_name(c.link) for c in state.links if c.link is not link and not c.link.is_preferred]
    if not others:
        return ""
    return f" The kernel does not route over {', '.join(sorted(others))}: the metric is higher."


# --- at what cost ---------------------------------------------------------------------------------


def _within_budget(
    state: PolicyState, link: Link, now: float, gesture: Gesture | None, *, may_pull: bool
) -> Run | Wait:
    rules = state.rules.of(link.link_class)
    if not rules.is_allowed:
        return _wait(WaitReason.BUDGET, f"The configuration forbids syncing over {_name(link)}.")
    limit = rules.bytes_per_day
    run = Run(link=link, max_bytes=None, deadline_s=rules.deadline_s, pull=may_pull)
    if limit is None:
        return run
    left = max(0, limit - _used_bytes(state, link.link_class, now))
    for_edits = int(limit * state.rules.edits_share)
    if gesture is Gesture.LONG:
        left, for_edits = max(left, limit), 0
    least = max(1, min(state.rules.useful_bytes, limit - for_edits))
    if may_pull and left - for_edits >= least:
        return replace(run, max_bytes=left - for_edits)
    if state.work.pending_edits and left >= least:
        return replace(run, max_bytes=left, pull=False)
    return _wait(WaitReason.BUDGET, _budget_detail(link, limit))


def _budget_detail(link: Link, limit: int) -> str:
    more = "; hold the button for two seconds to sync anyway" if limit else ""
    return f"Today's {limit / 1_000_000:g} MB for {_name(link)} are used up{more}."


def _used_bytes(state: PolicyState, link_class: LinkClass, now: float) -> int:
    budget = state.budgets.get(link_class)
    return 0 if budget is None or now >= budget.turns_at else budget.used_bytes
