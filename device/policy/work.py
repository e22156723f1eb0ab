"""What there is to sync with a service, and when it is due."""

from device.model import Gesture, Wait, WaitReason
from device.policy.rules import ClassRules, Rules
from device.policy.state import PolicyState, Press, TargetState, Work

ALWAYS = float("-inf")
NEVER = float("inf")


def gesture_for(state: PolicyState, one: TargetState, now: float) -> Gesture | None:
    """The press that is still to be obeyed, if it is about that service."""
    press = state.press
    if press is None or not _is_sync(press) or now >= press.at + state.rules.press_lifetime_s:
        return None
    is_meant = press.maps is None or one.target.map in press.maps
    return press.gesture if is_meant else None


def _is_sync(press: Press) -> bool:
    return press.gesture in (Gesture.SHORT, Gesture.LONG)


def nothing_due(
    work: Work, rules: Rules, of_class: ClassRules, now: float, *, may_pull: bool
) -> Wait | None:
    """Why nothing is due; None if something is."""
    due_at = edits_due_at(work, rules)
    if due_at <= now or (may_pull and pull_due_at(work, of_class) <= now):
        return None
    if due_at < NEVER and work.last_change_at is not None:
        reason, detail = WaitReason.EDITS_SETTLING, "Edits were made a moment ago; more may follow."
    elif work.pending_edits:
        reason = WaitReason.NOTHING_TO_DO
        detail = "The last sync left edits unsent; they are tried again later."
    else:
        reason, detail = WaitReason.NOTHING_TO_DO, "There is nothing to sync now."
    return Wait(until=None, reason=reason, detail=detail)


def goes_along(work: Work, of_class: ClassRules, now: float) -> bool:
    """Whether it is taken along when another service is synced: it has edits that were not tried,
    or half of the time to its next pull is over. So a link is used once for all of them, and a
    service that is tried again and again does not have the others synced each time."""
    if work.pending_edits and (work.last_change_at is not None or work.completed_at is None):
        return True
    if of_class.pull_interval_s is None:
        return False
    return work.pulled_at is None or now >= work.pulled_at + of_class.pull_interval_s / 2


def edits_due_at(work: Work, rules: Rules) -> float:
    """When edits are to go up: at once for those that were there before this program."""
    if not work.pending_edits:
        return NEVER
    if work.last_change_at is not None:
        first = work.last_change_at if work.first_change_at is None else work.first_change_at
        return min(work.last_change_at + rules.edits_quiet_s, first + rules.edits_wait_limit_s)
    if work.completed_at is None:
        return ALWAYS
    return work.completed_at + rules.leftover_interval_s


def pull_due_at(work: Work, of_class: ClassRules) -> float:
    """When changes are to be fetched over links of that class."""
    if of_class.pull_interval_s is None:
        return NEVER
    if work.pulled_at is None:
        return ALWAYS
    return work.pulled_at + of_class.pull_interval_s
