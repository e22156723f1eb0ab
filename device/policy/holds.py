"""What holds one service back, and no other: it failed, it asked for time, it refused the sign-in.

And what holds back all that goes over a link.
"""

from device.model import FailureClass, Link, LinkClass, Wait, WaitReason
from device.policy.state import BackoffWait, Candidate, Hold, PolicyState, TargetState

_FAILED = {
    FailureClass.LINK: "the link did not lead to {it}, or broke",
    FailureClass.SERVER: "{it} could not do it",
    FailureClass.BUSY: "another program was at work in a map",
    FailureClass.LOCAL: "the device's own storage or maps were in the way",
    FailureClass.AUTHENTICATION: "{it} refused the sign-in",
    FailureClass.REFUSED: "{it} refused edits",
}


def refused_sign_in(state: PolicyState, one: TargetState) -> Wait | None:
    if not one.is_sign_in_refused:
        return None
    return _wait(
        WaitReason.AUTHENTICATION,
        f"{_the_service(state, one)} refused the sign-in; correct the credentials, or press the "
        "button to try again.",
    )


def asked_for_time(state: PolicyState, one: TargetState, now: float) -> Wait | None:
    """The service, another one of its host, or a server that it needs asked to be left alone."""
    until = state.left_alone_until(one.target)
    if until is None or now >= until:
        return None
    it = _the_service(state, one)
    if now < state.retry_after.get(one.target.host, now):
        told = f"{it} asked to be left alone for a while."
    else:
        told = (
            f"A server that {_lower(it)} needs, as to sign in, asked to be left alone for a while."
        )
    return _wait(WaitReason.RETRY_AFTER, told)


def refused_by_link(
    state: PolicyState, one: TargetState, candidate: Candidate, now: float
) -> Wait | None:
    """What a press of the button overrides."""
    link, it = candidate.link, _the_service(state, one)
    waits = _waits(state, one, link.link_class, now)
    if any(w.failure is FailureClass.PORTAL for w in waits):
        return _wait(
            WaitReason.PORTAL,
            f"Something else answers in the place of {_lower(it)} on {name_of(link)}: the network "
            "may want somebody to sign in." + _others(state, link),
        )
    if any(w.failure is FailureClass.CLOCK for w in waits):
        return _wait(
            WaitReason.CLOCK,
            f"The certificate of {_lower(it)} is not valid at the time this device has, and nobody "
            "has told it the right time yet.",
        )
    if now < candidate.settles_at:
        return _wait(WaitReason.LINK_SETTLING, f"{name_of(link)} came up a moment ago.")
    if waits:
        worst = max(waits, key=lambda w: w.until)
        return _wait(WaitReason.BACK_OFF, _failed(worst, link, it) + _others(state, link))
    return None


def holds(state: PolicyState, now: float, link_class: LinkClass | None) -> tuple[Hold, ...]:
    """The services that are left alone, though there may be a link of that class and others are
    synced over it."""
    found = []
    for one in state.targets:
        waits = [] if link_class is None else _waits(state, one, link_class, now)
        own = [wait for wait in waits if wait.target is not None and wait.failures]
        told = refused_sign_in(state, one) or asked_for_time(state, one, now)
        until = None
        if told is None and own:
            worst = max(own, key=lambda wait: wait.until)
            reasons = {FailureClass.CLOCK: WaitReason.CLOCK, FailureClass.PORTAL: WaitReason.PORTAL}
            reason = reasons.get(worst.failure, WaitReason.BACK_OFF)
            told = _wait(reason, _own_failure(worst, _the_service(state, one)))
            until = worst.until
        elif told is not None and told.reason is WaitReason.RETRY_AFTER:
            until = state.left_alone_until(one.target)
        if told is not None:
            wait = Wait(until=until, reason=told.reason, detail=told.detail)
            found.append(Hold(target=one.target, wait=wait))
    return tuple(found)


def name_of(link: Link) -> str:
    return f"{link.interface} ({link.link_class.value})"


def _wait(reason: WaitReason, detail: str) -> Wait:
    return Wait(until=None, reason=reason, detail=detail)


def _waits(
    state: PolicyState, one: TargetState, link_class: LinkClass, now: float
) -> list[BackoffWait]:
    return [
        wait
        for wait in state.waits
        if wait.link_class is link_class and now < wait.until and wait.concerns(one.target)
    ]


def _the_service(state: PolicyState, one: TargetState) -> str:
    """By its URL only where there are several: a person then knows which one is meant."""
    if len({each.target.url for each in state.targets}) < 2:
        return "The service"
    return f"The service {one.target.url.partition('://')[2].partition('?')[0]}"


def _lower(it: str) -> str:
    return it[0].lower() + it[1:]


def _failed(wait: BackoffWait, link: Link, it: str) -> str:
    if not wait.failures:
        return (
            f"The last sync over {name_of(link)} was stopped before its end; it goes on by itself."
        )
    why = _FAILED.get(wait.failure, "it failed").format(it=_lower(it))
    return (
        f"Syncing over {name_of(link)} failed {_times(wait)}: {why}. It is tried again by itself."
    )


def _own_failure(wait: BackoffWait, it: str) -> str:
    why = {
        FailureClass.PORTAL: "something else answers in its place",
        FailureClass.CLOCK: "its certificate is not valid at the time this device has",
    }.get(wait.failure) or _FAILED.get(wait.failure, "it failed").format(it="it")
    return f"{it} was not synced, {_times(wait)}: {why}. It is tried again by itself."


def _times(wait: BackoffWait) -> str:
    return "once" if wait.failures == 1 else f"{wait.failures} times"


def _others(state: PolicyState, link: Link) -> str:
    """The links that might lead further, and why they are not tried."""
    if state.rules.may_bind:
        return ""
    others = [name_of(c.link) for c in state.links if c.link != link and not c.link.is_preferred]
    if not others:
        return ""
    return f" The kernel does not route over {', '.join(sorted(others))}: the metric is higher."
