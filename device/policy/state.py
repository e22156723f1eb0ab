"""All that :func:`device.policy.decide.decide` goes by, as values that do not change.

Times are seconds of the monotonic clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from device.model import FailureClass, Gesture, Link, LinkClass, SyncTarget, Wait
from device.policy.conditions import Conditions
from device.policy.rules import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A link, and from when on it counts as stable."""

    link: Link
    settles_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BackoffWait:
    """Why links of one class are left alone, and for how long; or a service over such links."""

    link_class: LinkClass
    failure: FailureClass
    target: SyncTarget | None = None
    """What failed; None: all that goes over such a link waits."""
    failures: int
    """How often it failed in this way since a service last acknowledged anything. None of them: a
    run was stopped from here."""
    until: float

    def concerns(self, target: SyncTarget) -> bool:
        return self.target is None or self.target == target


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """What syncs moved over links of one class today. At ``turns_at`` a new day begins."""

    used_bytes: int = 0
    turns_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """The button was pressed, or a sync asked for in another way, and no run has begun since."""

    gesture: Gesture
    at: float
    maps: frozenset[str] | None = None
    """Of these maps; None: of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What there is to sync with one service."""

    pending_edits: int = 0
    first_change_at: float | None = None
    """When the first edit was made that no run has covered from its beginning,"""
    last_change_at: float | None = None
    """and the last."""
    completed_at: float | None = None
    """When a run last came to its end; None: never since the start."""
    pulled_at: float | None = None
    """The same of runs that fetched changes, too."""
    tried_at: float | None = None
    """When a run last came to it, however that ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetState:
    """A service of a map, and how it is with it."""

    target: SyncTarget
    work: Work = field(default_factory=Work)
    is_sign_in_refused: bool = False
    """Until somebody presses the button, or the program is started anew with other credentials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Why a service is left alone by itself, while others are synced."""

    target: SyncTarget
    wait: Wait
    """``until`` None: before somebody presses the button."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyState:
    """The device as the policy sees it."""

    rules: Rules = field(default_factory=Rules)
    links: tuple[Candidate, ...] = ()
    is_paused: bool = False
    targets: tuple[TargetState, ...] = ()
    """Those of the maps that can be used."""
    broken_maps: tuple[str, ...] = ()
    """Maps that cannot be opened, because they are damaged, say, or not there."""
    press: Press | None = None
    conditions: Conditions = field(default_factory=Conditions)
    budgets: Mapping[LinkClass, BudgetState] = field(default_factory=dict)
    waits: tuple[BackoffWait, ...] = ()
    retry_after: Mapping[str, float] = field(default_factory=dict)
    """Hosts that asked to be left alone, and until when; and URLs of services that cannot be used
    meanwhile, though their own host asked for nothing."""

    def left_alone_until(self, target: SyncTarget) -> float | None:
        """Of one service; None if nobody asked for it."""
        asked = (self.retry_after.get(name) for name in (target.host, target.url))
        return max((until for until in asked if until is not None), default=None)
