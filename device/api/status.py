"""What the device says of itself: the values behind ``/v1/status``, ``/v1/jobs`` and their like.

All are read from memory, so that asking costs no write and next to no time. A moment of the past or
future is said twice where it matters: as seconds from now, which a wrong clock cannot spoil, and as
wall-clock time for people.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Annotated, Self

from device.model import (
    ClockError,
    ClockTrust,
    FailureClass,
    Indication,
    LinkClass,
    Reach,
    WaitReason,
)
from engine import EditCounts, EngineError, JobStatus, SyncTotals


class State(Enum):
    """What the daemon is doing."""

    STARTING = "starting"
    IDLE = "idle"
    """All is in agreement as far as is known; nothing is planned before something changes or the
    next regular run."""
    WAITING = "waiting"
    """There is something to do, and a reason why not now."""
    PAUSED = "paused"
    SYNCING = "syncing"
    STOPPING = "stopping"


class Cause(Enum):
    """Why a job was made."""

    SCHEDULE = "schedule"
    EDITS = "edits"
    LINK = "link"
    BUTTON = "button"
    SOCKET = "socket"
    RETRY = "retry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error: what happened and where, and what to do about it."""

    code: Annotated[str, "One of the codes in docs/API.md."]
    message: str
    remedy: str
    exit_code: Annotated[int, "What a command should end with (docs/cli.md)."] = 1

    @classmethod
    def of(cls, error: EngineError) -> Self:
        return cls(
            code=error.code,
            message=error.message,
            remedy=error.remedy,
            exit_code=int(error.exit_code),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceHold:
    """A feature service of a map that is left alone for now, while others are synced."""

    service: Annotated[str, "Its URL."]
    reason: WaitReason
    detail: Annotated[str, "One plain sentence."]
    next_try_in_s: Annotated[
        float | None, "Seconds until it may be tried again; null: when somebody asks for a sync."
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MapStatus:
    """A map that the daemon keeps in agreement with its services."""

    name: Annotated[str, "As in the configuration; the name that other requests take."]
    folder: str
    title: str = ""
    edits: Annotated[
        int | None,
        "Edits, photos included, that the services do not have; null if nobody can tell.",
    ]
    conflicts: Annotated[int, "Open ones, which a person may decide."]
    quarantined: Annotated[int, "Rows that are set aside until a person decides, or corrects them."]
    last_sync_at: Annotated[datetime | None, "When a sync of all of it last ended well."]
    is_syncing: bool = False
    is_update_waiting: Annotated[
        bool, "All rows are to be fetched anew, over a link that is allowed for it."
    ] = False
    error: Annotated[Failure | None, "Why the map, or a part of it, cannot be synced."] = None
    holds: Annotated[tuple[ServiceHold, ...], "Its services that are left alone for now."] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatus:
    """A way out of the device."""

    interface: str
    link_class: LinkClass
    reach: Reach
    up_for_s: float
    is_in_use: Annotated[bool, "The running sync uses it."] = False
    sent_bytes: Annotated[
        int | None, "All traffic of the interface since it was made, not fieldsync's alone."
    ] = None
    received_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetStatus:
    """How much may still go over links of a class today."""

    link_class: LinkClass
    used_bytes: int
    limit_bytes: Annotated[int | None, "Null: no limit."]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModemStatus:
    """The serial modem, as far as it is known; null where it is not."""

    mode: Annotated[str, "direct or managed"]
    state: Annotated[str, "One plain word or sentence."]
    sim: str | None = None
    operator: str | None = None
    registration: str | None = None
    signal_dbm: int | None = None
    is_roaming: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStatus:
    """The wall clock, and how far it is to be trusted. Nothing is timed with it."""

    now: datetime
    trust: ClockTrust
    error: Annotated[ClockError | None, "By how much it is wrong, where that is known."] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConditions:
    """What the board says of itself; null where it says nothing."""

    disk_free_bytes: int | None = None
    disk_total_bytes: int | None = None
    is_disk_read_only: bool | None = None
    is_undervoltage: bool | None = None
    temperature_c: float | None = None
    battery_percent: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LampSign:
    """What one lamp does now, and what that means."""

    lamp: Annotated[str, "LINK, SYNC or ATTN; STATUS if the device has one lamp."]
    rhythm: Annotated[str, "One word, such as solid, breath or count-2."]
    words: Annotated[str, "What a person sees."]
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LampStatus:
    """What the lamps show, and what that means."""

    indication: Indication
    explanation: Annotated[str, "All of it in one line, and what ails the lamps."] = ""
    signs: Annotated[tuple[LampSign, ...], "A row of `fieldsync leds explain` each."] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """How the last run ended."""

    job: Annotated[str, "Its id; it may be forgotten by now."]
    ended_at: datetime
    ended_ago_s: float
    is_success: bool
    failure_class: FailureClass | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """All there is to say of the device at one moment."""

    state: State
    reason: Annotated[WaitReason | None, "Why nothing runs; null while something does."]
    detail: Annotated[str, "One plain sentence: what it does, or why it waits."]
    next_run_in_s: Annotated[
        float | None, "Seconds until it tries by itself; null: when something changes."
    ]
    next_run_why: Annotated[str, "One plain sentence, or empty."] = ""
    job: Annotated[str | None, "The id of the running job."] = None
    progress: Annotated[int | None, "0–100 while a sync runs."] = None
    maps: tuple[MapStatus, ...]
    links: tuple[LinkStatus, ...]
    budgets: tuple[BudgetStatus, ...] = ()
    modem: ModemStatus | None = None
    lamps: LampStatus
    clock: ClockStatus
    conditions: DeviceConditions = field(default_factory=DeviceConditions)
    last_run: RunStatus | None = None
    up_for_s: float
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerResult:
    """What a sync did to a layer. Features and rows are counted apart from photos; ``conflicts``,
    ``refused`` and ``waiting`` count both."""

    geodatabase: str
    layer_id: int
    table: str
    sent: int
    added: int
    updated: int
    deleted: int
    photos_sent: int
    photos_received: int
    conflicts: int
    refused: int
    waiting: int
    error: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MapResult:
    """What a sync did to a map."""

    map: str
    exit_code: Annotated[int, "What `fieldsync sync` would have ended with (docs/cli.md)."]
    edits: Annotated[EditCounts, "Of features, rows and photos: what became of each."]
    layers: tuple[LayerResult, ...]
    totals: SyncTotals
    error: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A sync of one or several maps that was asked for: waiting, running or over."""

    id: str
    cause: Cause
    maps: Annotated[tuple[str, ...], "The names of the maps."]
    status: JobStatus
    progress: Annotated[int, "0–100; only grows."] = 0
    reason: Annotated[WaitReason | None, "Why it has not started yet."] = None
    detail: Annotated[str, "One plain sentence."] = ""
    next_try_in_s: Annotated[
        float | None, "Seconds until it starts by itself; null: when something changes."
    ] = None
    is_expensive_allowed: Annotated[bool, "It may use links that cost much."] = False
    link: Annotated[str | None, "The interface that it uses or used."] = None
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    results: Annotated[tuple[MapResult, ...], "One for each map that it came to."] = ()
    failure: Annotated[Failure | None, "Why it failed or was cancelled."] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartHealth:
    """A part of the daemon, and whether it lives."""

    name: str
    is_alive: bool
    detail: Annotated[str, "One plain sentence, or empty."] = ""
    heard_ago_s: Annotated[float | None, "Seconds since it last said so."] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether the daemon's parts live: what feeds the watchdog."""

    parts: tuple[PartHealth, ...]
    is_healthy: bool
