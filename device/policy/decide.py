"""Whether to sync now, and if not, why not and until when.

The answer depends on the state and the time alone, and changes only at moments that stand in the
state. So ``until`` is exact: it is the first moment at which the answer is another one.

Each service of each map is looked at by itself. If one is due, a run takes along those that soon
will be, so that a link is used once and not again and again; what is held back holds back nothing
else.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from device.model import Gesture, Link, LinkClass, Reach, Run, SyncTarget, Wait, WaitReason
from device.policy.conditions import Conditions, Disk
from device.policy.holds import asked_for_time, name_of, refused_by_link, refused_sign_in
from device.policy.rules import ClassRules, Rules
from device.policy.state import Candidate, PolicyState, TargetState
from device.policy.work import (
    ALWAYS,
    NEVER,
    edits_due_at,
    gesture_for,
    goes_along,
    nothing_due,
    pull_due_at,
)

_COST = list(LinkClass)
_TOLD_FIRST = (
    WaitReason.STORAGE,
    WaitReason.NO_LINK,
    WaitReason.DISK,
    WaitReason.AUTHENTICATION,
    WaitReason.CLOCK,
    WaitReason.PORTAL,
    WaitReason.RETRY_AFTER,
    WaitReason.BACK_OFF,
    WaitReason.BUDGET,
    WaitReason.LINK_SETTLING,
    WaitReason.EDITS_SETTLING,
    WaitReason.NOTHING_TO_DO,
)
"""Where services wait for different reasons, that which a person should know of first."""


def decide(state: PolicyState, now: float) -> Run | Wait:
    """Run, or wait and why. A press of the button overrides what is meant to spare the service and
    the link (settling, back-off, a refused sign-in), but never what protects the device, the
    budget, or a service that asked to be left alone. A long press grants one more day's budget.
    """
    answer = _answer(state, now)
    if isinstance(answer, Run):
        return answer
    moments = sorted({m for m in _moments(state) if now < m < NEVER})
    until = next((m for m in moments if _answer(state, m) != answer), None)
    return replace(answer, until=until)


def decide_over(state: PolicyState, link_class: LinkClass, now: float) -> Run | Wait:
    """What :func:`decide` would say if the device had one link, of that class, and it had settled:
    whether it is worth dialling, and if not, when it may be."""
    link = Link(interface="", link_class=link_class, since=now)
    return decide(replace(state, links=(Candidate(link=link, settles_at=now),)), now)


def route(links: tuple[Candidate, ...]) -> Candidate | None:
    """The link that the kernel sends over; the dearest if it has one for IPv4 and one for IPv6."""
    preferred = [candidate for candidate in links if candidate.link.is_preferred]
    return max(preferred, key=_cost, default=None)


def _answer(state: PolicyState, now: float) -> Run | Wait:
    """The answer without ``until``. Each time in the state is compared with ``now`` in one way:
    what lasts until then is over when ``now`` has reached it."""
    refusal = _refused_by_person(state) or _refused_by_device(state, now) or _without_maps(state)
    if refusal is not None:
        return refusal
    candidate = route(state.links)
    found = _over(state, candidate, now)
    if isinstance(found, Run):
        return found
    if candidate is not None and state.rules.may_bind and _is_dead_end(candidate, found):
        others = [each for each in state.links if not each.link.is_preferred]
        for other in sorted(others, key=_cost):
            around = _over(state, other, now)
            if isinstance(around, Run):
                return replace(around, is_bound=True)
    return min(found, key=lambda wait: _TOLD_FIRST.index(wait.reason))


def _is_dead_end(candidate: Candidate, waits: Sequence[Wait]) -> bool:
    leads_nowhere = candidate.link.reach in (Reach.NOTHING, Reach.PORTAL)
    return leads_nowhere and any(
        wait.reason in (WaitReason.BACK_OFF, WaitReason.PORTAL) for wait in waits
    )


def _over(state: PolicyState, candidate: Candidate | None, now: float) -> Run | list[Wait]:
    """The answer if that were the only link: a run, or why each service waits. What somebody asked
    for comes first, and alone."""
    pressed = [one for one in state.targets if gesture_for(state, one, now) is not None]
    others = [one for one in state.targets if one not in pressed]
    told: list[Wait] = []
    for group in (pressed, others):
        found = _over_for(state, group, candidate, now)
        if isinstance(found, Run):
            return found
        told = told or found
    return told


def _over_for(
    state: PolicyState, group: Sequence[TargetState], candidate: Candidate | None, now: float
) -> Run | list[Wait]:
    """The same for services all of which somebody asked for, or none."""
    waits: list[Wait] = []
    along: list[TargetState] = []
    first_due: TargetState | None = None
    for one in group:
        wait = _refused(state, one, candidate, now)
        if wait is not None:
            waits.append(wait)
        elif first_due is None:
            first_due = one
        if wait is None or _refused(state, one, candidate, now, is_along=True) is None:
            along.append(one)
    if candidate is None or first_due is None:
        return waits
    # What may only be sent, because its disk is full, has a run of its own.
    may_pull = _may_pull(state, first_due, candidate, now)
    along = [one for one in along if _may_pull(state, one, candidate, now) is may_pull]
    found = _within_budget(state, candidate.link, along, now, may_pull=may_pull)
    return found if isinstance(found, Run) else [*waits, found]


def _refused(
    state: PolicyState,
    one: TargetState,
    candidate: Candidate | None,
    now: float,
    *,
    is_along: bool = False,
) -> Wait | None:
    """Why that service is not synced over that link now. ``is_along``: another one is."""
    gesture, of_class = gesture_for(state, one, now), _rules_for(state.rules, candidate)
    locked, full_disk = _locked_disk(state, one, now), _full_disk(state, one, now)
    may_pull = _may_pull(state, one, candidate, now)
    if locked is not None:
        return _wait(WaitReason.STORAGE, f"The disk of {locked.folder} is read-only.")
    if full_disk is not None and not one.work.pending_edits:
        return _wait(WaitReason.DISK, _disk_detail(full_disk))
    if gesture is None and (refusal := refused_sign_in(state, one)) is not None:
        return refusal
    if gesture is None and not (is_along and goes_along(one.work, of_class, now)):
        nothing = nothing_due(one.work, state.rules, of_class, now, may_pull=may_pull)
        if nothing is not None:
            return nothing
    if candidate is None:
        return _wait(WaitReason.NO_LINK, "There is no network link.")
    if (asked := asked_for_time(state, one, now)) is not None:
        return asked
    if not may_pull and not one.work.pending_edits:
        return _wait(WaitReason.BUDGET, _too_costly(candidate.link))
    return refused_by_link(state, one, candidate, now) if gesture is None else None


def _wait(reason: WaitReason, detail: str) -> Wait:
    return Wait(until=None, reason=reason, detail=detail)


def _moments(state: PolicyState) -> Iterator[float]:
    """Every time at which the answer may change by itself."""
    rules = state.rules
    yield state.conditions.read_at + rules.reading_lifetime_s
    for candidate in state.links:
        yield candidate.settles_at
    for wait in state.waits:
        yield wait.until
    for budget in state.budgets.values():
        yield budget.turns_at
    yield from state.retry_after.values()
    if state.press is not None:
        yield state.press.at + rules.press_lifetime_s
    for one in state.targets:
        yield edits_due_at(one.work, rules)
        for each in (*rules.classes.values(), _unlinked(rules)):
            yield pull_due_at(one.work, each)
        if one.work.completed_at is not None:
            yield one.work.completed_at + rules.leftover_interval_s


# --- what protects the device ---------------------------------------------------------------------


def _refused_by_person(state: PolicyState) -> Wait | None:
    if state.is_paused:
        return _wait(WaitReason.PAUSED, "Syncing is paused until somebody lets it go on.")
    return None


def _refused_by_device(state: PolicyState, now: float) -> Wait | None:
    conditions, rules = _conditions(state, now), state.rules
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


def _without_maps(state: PolicyState) -> Wait | None:
    """A map that is broken keeps no other from being synced; if all are, nothing can be."""
    if state.targets:
        return None
    if state.broken_maps:
        maps = ", ".join(state.broken_maps)
        return _wait(WaitReason.STORAGE, f"No map can be used; a person must look at: {maps}.")
    return _wait(WaitReason.NOTHING_TO_DO, "There is no map to be synced.")


def _conditions(state: PolicyState, now: float) -> Conditions:
    """An old reading tells nothing."""
    reading = state.conditions
    is_fresh = now < reading.read_at + state.rules.reading_lifetime_s
    return reading if is_fresh else Conditions()


def _locked_disk(state: PolicyState, one: TargetState, now: float) -> Disk | None:
    return next((disk for disk in _disks_of(state, one, now) if disk.is_read_only), None)


def _full_disk(state: PolicyState, one: TargetState, now: float) -> Disk | None:
    for disk in _disks_of(state, one, now):
        if disk.free_bytes < state.rules.least_free_bytes(disk.size_bytes):
            return disk
    return None


def _disks_of(state: PolicyState, one: TargetState, now: float) -> list[Disk]:
    """That which its map lies on."""
    return [disk for disk in _conditions(state, now).disks if disk.has(one.target.map)]


def _may_pull(
    state: PolicyState, one: TargetState, candidate: Candidate | None, now: float
) -> bool:
    """Whether anything may be fetched for it: there is room, and the link is not for edits only."""
    is_urged = gesture_for(state, one, now) is Gesture.LONG
    is_for_all = not _rules_for(state.rules, candidate).edits_only
    return _full_disk(state, one, now) is None and (is_for_all or is_urged)


def _disk_detail(disk: Disk) -> str:
    return f"The disk of {disk.folder} is nearly full: {disk.free_bytes // 1_000_000} MB are free."


# --- over which link ------------------------------------------------------------------------------


def _cost(candidate: Candidate) -> tuple[int, str]:
    return _COST.index(candidate.link.link_class), candidate.link.interface


def _rules_for(rules: Rules, candidate: Candidate | None) -> ClassRules:
    return _unlinked(rules) if candidate is None else rules.of(candidate.link.link_class)


def _unlinked(rules: Rules) -> ClassRules:
    """Without a link, what would be due over the cheapest."""
    return rules.of(_COST[0])


def _too_costly(link: Link) -> str:
    return (
        f"Only edits go over {name_of(link)}, and there are none; hold the button for two seconds "
        "to sync over it anyway."
    )


# --- at what cost ---------------------------------------------------------------------------------


def _within_budget(
    state: PolicyState, link: Link, along: Sequence[TargetState], now: float, *, may_pull: bool
) -> Run | Wait:
    rules = state.rules.of(link.link_class)
    if not rules.is_allowed:
        return _wait(WaitReason.BUDGET, f"The configuration forbids syncing over {name_of(link)}.")
    gesture = gesture_for(state, along[0], now)
    run = Run(
        link=link,
        max_bytes=None,
        deadline_s=rules.deadline_s,
        targets=_in_order(along),
        pull=may_pull,
    )
    limit = rules.bytes_per_day
    if limit is None:
        return run
    left = max(0, limit - _used_bytes(state, link.link_class, now))
    for_edits = int(limit * state.rules.edits_share)
    if gesture is Gesture.LONG:
        left, for_edits = max(left, limit), 0
    least = max(1, min(state.rules.useful_bytes, limit - for_edits))
    if may_pull and left - for_edits >= least:
        return replace(run, max_bytes=left - for_edits)
    with_edits = [one for one in along if one.work.pending_edits]
    is_due = gesture is not None or any(
        edits_due_at(one.work, state.rules) <= now for one in with_edits
    )
    if with_edits and is_due and left >= least:
        return replace(run, max_bytes=left, pull=False, targets=_in_order(with_edits))
    return _wait(WaitReason.BUDGET, _budget_detail(link, limit))


def _in_order(along: Sequence[TargetState]) -> tuple[SyncTarget, ...]:
    """What has waited longest for its turn comes first: a large download that fills each run to
    its end must not keep the others away."""
    return tuple(
        one.target
        for one in sorted(
            along, key=lambda o: ALWAYS if o.work.tried_at is None else o.work.tried_at
        )
    )


def _budget_detail(link: Link, limit: int) -> str:
    more = "; hold the button for two seconds to sync anyway" if limit else ""
    return f"Today's {limit / 1_000_000:g} MB for {name_of(link)} are used up{more}."


def _used_bytes(state: PolicyState, link_class: LinkClass, now: float) -> int:
    budget = state.budgets.get(link_class)
    return 0 if budget is None or now >= budget.turns_at else budget.used_bytes
