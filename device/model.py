"""What the parts of the device say to one another.

Times are seconds of the monotonic clock, which no clock setting and no time server moves.
"""

from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit


class LinkClass(Enum):
    """What a link costs. The cheaper come first."""

    WIRED = "wired"
    WIFI = "wifi"
    CELLULAR = "cellular"
    ROAMING = "roaming"


class Reach(Enum):
    """How far a link is known to lead. Only an exchange with the service itself proves one."""

    UNKNOWN = "unknown"
    """The interface has an address and a route; nothing was exchanged yet."""
    SERVICE = "service"
    """The service answered over it, with a certificate that holds."""
    PORTAL = "portal"
    """Something else answered in the service's place, as captive portals do."""
    NOTHING = "nothing"
    """The last exchange failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A way out of the device: a network interface with an address and a route."""

    interface: str
    link_class: LinkClass
    since: float
    """When it came up, as it is now."""
    reach: Reach = Reach.UNKNOWN
    is_preferred: bool = True
    """The kernel sends what leaves the device over this one: its route has the lowest metric."""
    underlay: str | None = None
    """The interface that an overlay, such as a VPN, rides on."""


class ClockTrust(Enum):
    """Who has said what time it is."""

    NONE = "none"
    """Nobody, since the device started: the clock may be wrong by years."""
    MODEM = "modem"
    """The mobile network."""
    SERVICE = "service"
    """A feature service, over TLS that was verified."""
    NTP = "ntp"
    """A time server, or a clock on the board that was set by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockError:
    """The wall clock is wrong."""

    seconds: float
    """By so much; negative: it is slow."""
    is_at_least: bool
    """It may be more: only the earliest time that it can be is known."""
    told_by: ClockTrust
    """Who says so; ``none``: this device itself, which knows that it was later already."""


class FailureClass(Enum):
    """Why a run failed, as far as it says when to try again."""

    LINK = "link"
    PORTAL = "portal"
    CLOCK = "clock"
    AUTHENTICATION = "authentication"
    REFUSED = "refused"
    """The service refused single edits; they are in the quarantine, and the rest went on."""
    SERVER = "server"
    BUSY = "busy"
    """Another program was at work in a map, and nothing is wrong with it."""
    LOCAL = "local"
    """The device's own storage or maps."""


class WaitReason(Enum):
    """Why nothing runs now."""

    NOTHING_TO_DO = "nothing_to_do"
    PAUSED = "paused"
    NO_LINK = "no_link"
    LINK_SETTLING = "link_settling"
    EDITS_SETTLING = "edits_settling"
    """Edits were made a moment ago; more may follow."""
    PORTAL = "portal"
    BACK_OFF = "back_off"
    RETRY_AFTER = "retry_after"
    BUDGET = "budget"
    DISK = "disk"
    STORAGE = "storage"
    """No map can be used, because they are damaged, say; or the disk of one is read-only."""
    UNDERVOLTAGE = "undervoltage"
    TEMPERATURE = "temperature"
    BATTERY = "battery"
    CLOCK = "clock"
    AUTHENTICATION = "authentication"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncTarget:
    """What is synced, fails and waits by itself: a feature service of a map, by its URL."""

    map: str
    url: str

    @property
    def host(self) -> str:
        """What binds all services of a server, such as ``Retry-After``: its name and port."""
        return urlsplit(self.url).netloc.rpartition("@")[2].casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Sync ``targets`` now, in their order, over ``link``: at most so many bytes (None: no limit),
    for at most so many seconds.

    ``pull`` is False where only edits may go up: the disk is nearly full, or the link is dear.
    """

    link: Link
    max_bytes: int | None
    deadline_s: float
    targets: tuple[SyncTarget, ...]
    pull: bool = True
    is_bound: bool = False
    """The kernel prefers another link, which leads nowhere: connections are bound to this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Do nothing before ``until``, or, if that is None, before something changes."""

    until: float | None
    reason: WaitReason
    detail: str = ""
    """One plain sentence for a person."""


class Gesture(Enum):
    """What somebody did with the button; told when it is let go."""

    SHORT = "short"
    """Sync now."""
    LONG = "long"
    """Sync now, over an expensive link as well."""
    VERY_LONG = "very_long"
    """Pause, or go on."""
    STUCK = "stuck"
    """Held so long that the button must be jammed; told while it is."""


class LinkSign(Enum):
    """What the LINK lamp has to tell."""

    NONE = "none"
    SEARCHING = "searching"
    UP = "up"
    SERVICE = "service"


class Attention(Enum):
    """What the ATTN lamp has to tell: the value is how often it flashes."""

    NONE = 0
    WILL_RETRY = 1
    KEPT_FOR_A_PERSON = 2
    REFUSED = 3
    STORAGE = 4
    POWER = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Indication:
    """All that the lamps have to tell at one time."""

    is_starting: bool = False
    link: LinkSign = LinkSign.NONE
    has_pending_edits: bool = False
    progress: int | None = None
    """0–100 while a sync runs."""
    is_success: bool = False
    """A sync ended well a short while ago."""
    is_update_waiting: bool = False
    attention: Attention = Attention.NONE
