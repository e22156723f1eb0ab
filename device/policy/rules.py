"""What the policy goes by: limits for each class of links, and for the device's own condition."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from device.model import LinkClass

MEGABYTE = 1_000_000
MINUTE_S = 60.0
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRules:
    """How links of one class are used."""

    is_allowed: bool = True
    bytes_per_day: int | None = None
    """What syncs may move in a day, both ways together; None: no limit."""
    edits_only: bool = False
    """Nothing but edits goes over it by itself: no pull, and no sync without edits."""
    pull_interval_s: float | None
    """How long after a sync the next one is due, if there are no edits; None: never."""
    settle_s: float
    """How long it must have been up before the first try."""
    backoff_base_s: float
    backoff_limit_s: float
    deadline_s: float
    """How long one run may take. What it has done by then is kept, and the next one goes on."""


_UNMETERED = ClassRules(
    pull_interval_s=15 * MINUTE_S,
    settle_s=5.0,
    backoff_base_s=5.0,
    backoff_limit_s=15 * MINUTE_S,
    deadline_s=10 * MINUTE_S,
)
DEFAULT_CLASSES: Mapping[LinkClass, ClassRules] = MappingProxyType(
    {
        LinkClass.WIRED: _UNMETERED,
        LinkClass.WIFI: _UNMETERED,
        LinkClass.CELLULAR: ClassRules(
            bytes_per_day=20 * MEGABYTE,
            pull_interval_s=4 * HOUR_S,
            settle_s=15.0,
            backoff_base_s=30.0,
            backoff_limit_s=HOUR_S,
            deadline_s=20 * MINUTE_S,
        ),
        LinkClass.ROAMING: ClassRules(
            bytes_per_day=2 * MEGABYTE,
            edits_only=True,
            pull_interval_s=None,
            settle_s=15.0,
            backoff_base_s=30.0,
            backoff_limit_s=HOUR_S,
            deadline_s=20 * MINUTE_S,
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All that is set in the configuration; the defaults suit a device on a truck or a mast."""

    classes: Mapping[LinkClass, ClassRules] = field(default_factory=lambda: DEFAULT_CLASSES)
    """One for each class of links."""
    link_jitter_s: float = 10.0
    """After a link came up, up to so much is waited beside ``settle_s``, drawn at random: many
    devices come to the same gate at the same time."""
    edits_quiet_s: float = 30.0
    """Edits go up when none was made for so long,"""
    edits_wait_limit_s: float = 5 * MINUTE_S
    """or the first of them waits for so long."""
    leftover_interval_s: float = HOUR_S
    """When edits that a sync left unsent are tried again, where no pull is due before."""
    press_lifetime_s: float = 15 * MINUTE_S
    """How long a press of the button that could not be obeyed is remembered."""
    retry_after_limit_s: float = DAY_S
    """A service that asks to be left alone for longer is asked again after so long."""
    edits_share: float = 0.25
    """This part of a day's budget is left for edits: what comes down may take the rest."""
    useful_bytes: int = 32_000
    """Less than this is left of a budget: no run is begun. Signing in and asking for the service
    takes so much."""
    portal_backoff_base_s: float = 5 * MINUTE_S
    portal_backoff_limit_s: float = HOUR_S
    """A captive portal seldom goes away while the link stays."""
    free_disk_bytes: int = 50 * MEGABYTE
    """Nothing is fetched with less free space on a map's disk,"""
    free_disk_share: float = 0.05
    """or with less than this share of it,"""
    ample_disk_bytes: int = 1_000 * MEGABYTE
    """unless so much is free."""
    hottest_c: float = 80.0
    weakest_battery_percent: float = 10.0
    may_bind: bool = False
    """Whether a run may be bound to a link that the kernel does not prefer."""
    reading_lifetime_s: float = MINUTE_S
    """How long a reading of the device's condition counts. An older one is unknown."""

    def of(self, link_class: LinkClass) -> ClassRules:
        return self.classes[link_class]

    def least_free_bytes(self, size_bytes: int) -> int:
        """With less free space on a disk of that size nothing is fetched."""
        share = min(self.ample_disk_bytes, int(size_bytes * self.free_disk_share))
        return max(self.free_disk_bytes, share)
