"""All that :func:`device.policy.decide.decide` goes by, as values that do not change.

Times are seconds of the monotonic clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from device.model import FailureClass, Gesture, Link, LinkClass
from device.policy.conditions import Conditions
from device.policy.rules import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A link, and from when on it counts as stable."""

    link: Link
    settles_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BackoffWait:
    """Why links of one class are left alone, and for how long."""

    link_class: LinkClass
    failure: FailureClass
    failures: int
    """How often it failed in this way since the service last acknowledged anything. None of them: a
    run was stopped from here."""
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """What syncs moved over links of one class today. At ``turns_at`` a new day begins."""

    used_bytes: int = 0
    turns_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """The button was pressed and no run has begun since."""

    gesture: Gesture
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What there is to sync."""

    pending_edits: int = 0
    first_change_at: float | None = None
    """When the first edit was made that no run has covered from its beginning,"""
    last_change_at: float | None = None
    """and the last."""
    completed_at: float | None = None
    """When a run last came to its end; None: never since the start."""
    pulled_at: float | None = None
    """The same of runs that fetched changes, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyState:
    """The device as the policy sees it."""

    rules: Rules = field(default_factory=Rules)
    links: tuple[Candidate, ...] = ()
    is_paused: bool = False
    work: Work = field(default_factory=Work)
    press: Press | None = None
    conditions: Conditions = field(default_factory=Conditions)
    budgets: Mapping[LinkClass, BudgetState] = field(default_factory=dict)
    waits: tuple[BackoffWait, ...] = ()
    retry_after_until: float | None = None
    """The service asked to be left alone until then."""
    is_sign_in_refused: bool = False
    """Until somebody presses the button, or the program is started anew."""
