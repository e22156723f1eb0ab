"""Values that every part of the engine speaks of: enums of the ArcGIS Maps SDK, identities, places.

Enum values are those of the SDK (Kotlin 200.x); where the REST API has a word of its own, the enum
has a ``wire`` property.
"""

import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from typing import Self

from engine.errors import BadParameterError, ProtocolError

WGS84 = 4326
WEB_MERCATOR = 3857

_GUID = re.compile(r"\{?([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})\}?")


def normalise_guid(text: object) -> str | None:
    """``text`` as ``{UPPER-CASE}``; None if it is null, empty or no GUID.

    Services spell the same GUID in several ways (with or without braces, either case); one
    spelling on the device makes them comparable.
    """
    if isinstance(text, str) and (match := _GUID.fullmatch(text.strip())):
        return "{" + match[1].upper() + "}"
    return None


def new_guid() -> str:
    """A fresh version-4 GUID in the spelling ``{UPPER-CASE}``."""
    return "{" + str(uuid.uuid4()).upper() + "}"


class SyncDirection(IntEnum):
    """Which way edits travel in a sync."""

    NONE = 0
    DOWNLOAD = 1
    UPLOAD = 2
    BIDIRECTIONAL = 3

    @property
    def uploads(self) -> bool:
        return self in (SyncDirection.UPLOAD, SyncDirection.BIDIRECTIONAL)

    @property
    def downloads(self) -> bool:
        return self in (SyncDirection.DOWNLOAD, SyncDirection.BIDIRECTIONAL)


class SyncModel(Enum):
    """How the service keeps generations for a replica (REST ``syncModel``)."""

    NONE = "none"
    PER_LAYER = "perLayer"
    PER_REPLICA = "perReplica"


class AttachmentSyncDirection(Enum):
    """Which way attachments travel; fixed when the replica is created."""

    NONE = "none"
    UPLOAD = "upload"
    BIDIRECTIONAL = "bidirectional"


class QueryOption(Enum):
    """Which rows of a layer a replica holds (REST ``queryOption``)."""

    NONE = "none"
    USE_FILTER = "useFilter"
    ALL = "all"


class ConflictPolicy(Enum):
    """What happens when the same attribute was changed here and on the service."""

    LAST_SYNCED = "last_synced"
    REMOTE_WINS = "remote_wins"
    MANUAL = "manual"


class EditOperation(Enum):
    """What an edit did to a row."""

    ADD = "add"
    UPDATE = "update"
    DELETE = "delete"


class LoadStatus(IntEnum):
    """Where a loadable object is."""

    LOADED = 0
    LOADING = 1
    FAILED_TO_LOAD = 2
    NOT_LOADED = 3


class JobStatus(IntEnum):
    """Where a job is. ``CANCELLED`` is ours: the SDK ends a cancelled job as failed."""

    NOT_STARTED = 0
    STARTED = 1
    PAUSED = 2
    SUCCEEDED = 3
    FAILED = 4
    CANCELING = 5
    CANCELLED = 6

    @property
    def is_done(self) -> bool:
        return self in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)


class OfflineUpdateAvailability(IntEnum):
    """Whether there is something to upload or download."""

    INDETERMINATE = -1
    AVAILABLE = 0
    NONE = 1


class PreplannedScheduledUpdatesOption(IntEnum):
    """Whether a sync fetches and applies scheduled update packages."""

    NO_UPDATES = 0
    DOWNLOAD_ALL_UPDATES = 1


class PreplannedUpdateMode(IntEnum):
    """How a map that was taken ahead of time is kept current."""

    NO_UPDATES = 0
    SYNC_WITH_FEATURE_SERVICES = 1
    DOWNLOAD_SCHEDULED_UPDATES = 2
    DOWNLOAD_SCHEDULED_UPDATES_AND_UPLOAD_NEW_FEATURES = 3

    @property
    def uploads(self) -> bool:
        """Whether edits of the device go up: all of them, or new features only."""
        return self in (
            PreplannedUpdateMode.SYNC_WITH_FEATURE_SERVICES,
            PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES_AND_UPLOAD_NEW_FEATURES,
        )


class PreplannedPackagingStatus(IntEnum):
    """Whether the packages of a map area are ready to be downloaded."""

    UNKNOWN = 0
    PROCESSING = 1
    FAILED = 2
    COMPLETE = 3


class GenerateOfflineMapUpdateMode(IntEnum):
    """How a map that is taken on demand is kept current."""

    SYNC_WITH_FEATURE_SERVICES = 0
    NO_UPDATES = 1


class ReturnLayerAttachmentOption(IntEnum):
    """Of which layers a take downloads attachments."""

    NONE = 0
    ALL_LAYERS = 1
    READ_ONLY_LAYERS = 2
    EDITABLE_LAYERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SpatialReference:
    """A spatial reference by its well-known id, or by text when it has none.

    ``wkid`` is the number the service speaks (it may be historical, such as 102100), ``latest`` its
    current EPSG number (3857); both 0 if there is only ``wkt``.
    """

    wkid: int
    latest: int
    wkt: str = ""

    @classmethod
    def from_json(cls, value: Mapping[str, object] | None) -> Self:
        value = value or {}
        wkid = _integer(value.get("wkid"))
        latest = _integer(value.get("latestWkid")) or {102100: WEB_MERCATOR}.get(wkid, wkid)
        return cls(wkid=wkid or latest, latest=latest, wkt=str(value.get("wkt") or ""))

    @classmethod
    def of(cls, wkid: int) -> Self:
        return cls.from_json({"wkid": wkid})

    def to_json(self) -> dict[str, object]:
        if not self.wkid:
            return {"wkt": self.wkt}
        return {"wkid": self.wkid, "latestWkid": self.latest}

    def same_as(self, other: "SpatialReference") -> bool:
        """True if both are the same system, whichever of its numbers each one uses."""
        if self.wkid and other.wkid:
            return bool({self.wkid, self.latest} & {other.wkid, other.latest})
        return self.wkt == other.wkt


def _integer(value: object) -> int:
    return int(value) if isinstance(value, int | float | str) and str(value).isdigit() else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A rectangle in the units of its spatial reference; ``xmin ≤ xmax``, ``ymin ≤ ymax``."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float
    spatial_reference: SpatialReference | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``xmin,ymin,xmax,ymax[,wkid]``; :exc:`BadParameterError` says what is wrong."""
        parts = text.split(",")
        try:
            if len(parts) not in (4, 5):
                raise ValueError
            numbers = [float(part) for part in parts[:4]]
            wkid = int(parts[4]) if len(parts) == 5 else WGS84
            if wkid <= 0 or not all(map(math.isfinite, numbers)):
                raise ValueError
        except ValueError:
            raise BadParameterError(
                f"the area {text!r} is not xmin,ymin,xmax,ymax[,wkid]",
                remedy="Give four numbers and, if they are not longitude and latitude, a wkid",
            ) from None
        xmin, ymin, xmax, ymax = numbers
        if not (xmin <= xmax and ymin <= ymax):
            raise BadParameterError(
                f"the area {text!r} is empty: a minimum is greater than its maximum",
                remedy="The order is xmin,ymin,xmax,ymax",
            )
        reference = SpatialReference.of(wkid)
        return cls(xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax, spatial_reference=reference)

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Self:
        """From an Esri JSON envelope; :exc:`ProtocolError` if it has no numbers."""
        reference = value.get("spatialReference")
        try:
            numbers = [float(str(value[name])) for name in ("xmin", "ymin", "xmax", "ymax")]
            if not all(map(math.isfinite, numbers)):
                raise ValueError
        except (KeyError, ValueError):
            raise ProtocolError("an envelope without numbers") from None
        return cls(
            xmin=numbers[0],
            ymin=numbers[1],
            xmax=numbers[2],
            ymax=numbers[3],
            spatial_reference=SpatialReference.from_json(reference)
            if isinstance(reference, dict)
            else None,
        )

    def to_json(self) -> dict[str, object]:
        value: dict[str, object] = {
            "xmin": self.xmin,
            "ymin": self.ymin,
            "xmax": self.xmax,
            "ymax": self.ymax,
        }
        if self.spatial_reference is not None:
            value["spatialReference"] = self.spatial_reference.to_json()
        return value

    def intersects(self, other: "Envelope") -> bool:
        """True if both share at least one point; their spatial references must be the same."""
        return (
            self.xmin <= other.xmax
            and other.xmin <= self.xmax
            and self.ymin <= other.ymax
            and other.ymin <= self.ymax
        )

    def in_reference(self, reference: SpatialReference) -> "Envelope":
        """The same numbers, said to be in ``reference``."""
        return replace(self, spatial_reference=reference)
