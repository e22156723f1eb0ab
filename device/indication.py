"""From what is known of the device to what its lamps tell. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from device.kept_map import DAMAGED, KeptMap
from device.model import (
    Attention,
    FailureClass,
    Indication,
    Link,
    LinkSign,
    Reach,
    WaitReason,
)

SUCCESS_S = 10.0
"""How long a success is shown."""

_DAMAGED = frozenset({DAMAGED, "not-a-geodatabase", "map", "map-not-found"})
_REASONS = {
    WaitReason.UNDERVOLTAGE: Attention.POWER,
    WaitReason.TEMPERATURE: Attention.POWER,
    WaitReason.BATTERY: Attention.POWER,
    WaitReason.DISK: Attention.STORAGE,
    WaitReason.STORAGE: Attention.STORAGE,
    WaitReason.AUTHENTICATION: Attention.REFUSED,
}
_FAILURES = {
    FailureClass.LINK: Attention.WILL_RETRY,
    FailureClass.PORTAL: Attention.WILL_RETRY,
    FailureClass.CLOCK: Attention.WILL_RETRY,
    FailureClass.SERVER: Attention.WILL_RETRY,
    FailureClass.AUTHENTICATION: Attention.REFUSED,
    FailureClass.REFUSED: Attention.KEPT_FOR_A_PERSON,
    FailureClass.BUSY: Attention.WILL_RETRY,
    FailureClass.LOCAL: Attention.STORAGE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that the lamps follow from. ``failures``: of the last run, if it did not end well, and of
    services that it left alone; ``success_until``: so long it is told that a
    run ended well."""

    is_starting: bool = False
    is_searching: bool = False
    links: tuple[Link, ...] = ()
    maps: tuple[KeptMap, ...] = ()
    progress: int | None = None
    reason: WaitReason | None = None
    failures: frozenset[FailureClass] = frozenset()
    success_until: float | None = None
    is_state_lost: bool = False
    """What must outlive a power cut cannot be written."""
    is_button_stuck: bool = False
    is_modem_stopped: bool = False
    """The modem needs somebody: its SIM, its PIN, its provider."""


def indication(seen: Seen, now: float) -> Indication:
    """What the lamps tell now."""
    is_success = seen.success_until is not None and now < seen.success_until
    return Indication(
        is_starting=seen.is_starting,
        link=_link(seen),
        has_pending_edits=any(one.counts.unsent for one in seen.maps),
        progress=seen.progress,
        is_success=is_success,
        is_update_waiting=any(one.is_update_waiting for one in seen.maps),
        attention=_attention(seen),
    )


def _link(seen: Seen) -> LinkSign:
    if any(link.reach is Reach.SERVICE for link in seen.links):
        return LinkSign.SERVICE
    if seen.links:
        return LinkSign.UP
    return LinkSign.SEARCHING if seen.is_searching else LinkSign.NONE


def _attention(seen: Seen) -> Attention:
    """The gravest: power before storage before what was refused."""
    found: Iterable[Attention] = (
        _REASONS.get(seen.reason, Attention.NONE) if seen.reason is not None else Attention.NONE,
        *(_FAILURES[failure] for failure in seen.failures),
        Attention.REFUSED if seen.is_button_stuck or seen.is_modem_stopped else Attention.NONE,
        Attention.STORAGE if seen.is_state_lost else Attention.NONE,
        *(_of_map(one) for one in seen.maps),
    )
    return max(found, key=lambda attention: attention.value)


def _of_map(one: KeptMap) -> Attention:
    counts = one.counts
    if not one.is_usable or (counts.error is not None and counts.error.code in _DAMAGED):
        return Attention.STORAGE
    is_kept = counts.conflicts or counts.quarantined
    return Attention.KEPT_FOR_A_PERSON if is_kept else Attention.NONE
