"""What a sync did: every edit accounted for. The members are the ArcGIS Maps SDK's."""

from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import EngineError
from engine.model import EditOperation
from engine.sync.edit_codes import remedy_of


@dataclass(frozen=True, slots=True, kw_only=True)
class EditError:
    """Why the service (or we, for it) did not take an edit."""

    code: int | None
    description: str

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return remedy_of(self.code)

    def to_json(self) -> dict[str, object]:
        return {"code": self.code, "description": self.description, "remedy": self.remedy}


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureEditResult:
    """One edit that was not applied. ``object_id`` is None if the service never gave one."""

    global_id: str
    object_id: int | None
    edit_operation: EditOperation
    error: EditError | None
    attachment_results: tuple["FeatureEditResult", ...] = ()

    @property
    def completed_with_errors(self) -> bool:
        return self.error is not None or any(
            r.completed_with_errors for r in self.attachment_results
        )

    def to_json(self) -> dict[str, object]:
        return {
            "global_id": self.global_id,
            "object_id": self.object_id,
            "edit_operation": self.edit_operation.value,
            "error": None if self.error is None else self.error.to_json(),
            "attachment_results": [r.to_json() for r in self.attachment_results],
        }


@dataclass(slots=True, kw_only=True)
class EditCounts:
    """Edits of this device in one sync. ``found`` is the sum of all the others.

    ``applied``: the service has them; ``conflict``: given up for the service's newer word, and kept
    in the conflict store; ``quarantined``: refused, now or earlier; ``held``: waiting for a
    decision about themselves or what they belong to; ``pending``: to be sent by the next sync.
    """

    found: int = 0
    applied: int = 0
    conflict: int = 0
    quarantined: int = 0
    held: int = 0
    pending: int = 0

    @property
    def accounted(self) -> int:
        return self.applied + self.conflict + self.quarantined + self.held + self.pending


@dataclass(slots=True, kw_only=True)
class DownloadCounts:
    """Rows of the service that a sync brought down. ``conflicts`` are kept for a person;
    ``out_of_area`` rows have left the map's filter and are kept as they are there."""

    added: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    conflicts: int = 0
    undecodable: int = 0
    out_of_area: int = 0


@dataclass(slots=True, kw_only=True)
class SyncLayerResult:
    """One layer or table of one geodatabase. ``edit_results`` lists what was not applied."""

    layer_id: int
    table_name: str
    edit_results: list[FeatureEditResult] = field(default_factory=list)
    error: EngineError | None = None
    uploaded: EditCounts = field(default_factory=EditCounts)
    downloaded: DownloadCounts = field(default_factory=DownloadCounts)
    attachments_uploaded: EditCounts = field(default_factory=EditCounts)
    attachments_downloaded: DownloadCounts = field(default_factory=DownloadCounts)

    @property
    def has_errors(self) -> bool:
        return self.error is not None or bool(self.edit_results)


@dataclass(slots=True, kw_only=True)
class SyncTotals:
    """Traffic and time of a run: bytes of request and answer bodies, seconds."""

    sent_bytes: int = 0
    received_bytes: int = 0
    seconds: float = 0.0

    def add(self, other: "SyncTotals") -> None:
        """Count ``other``'s work in."""
        self.sent_bytes += other.sent_bytes
        self.received_bytes += other.received_bytes
        self.seconds += other.seconds


@dataclass(slots=True, kw_only=True)
class GeodatabaseDeltaInfo:
    """The delta files that a sync kept: what it set out to send and what it downloaded.

    A path is None if there was nothing of the kind, or the sync did not go that way. A sync that
    had to go the same way again, because the service had lost the replica, say, names the last file
    there and those before it in ``earlier_delta_paths``, in their order.
    """

    upload_delta_path: Path | None = None
    download_delta_path: Path | None = None
    earlier_delta_paths: list[Path] = field(default_factory=list)
    geodatabase_path: Path
    feature_service_url: str


@dataclass(slots=True, kw_only=True)
class SyncGeodatabaseResult:
    """One geodatabase. ``error`` if its sync did not run to its end; edits stay pending then.

    ``delta_info`` if deltas were to be kept, also of a sync that failed.
    """

    geodatabase_path: Path
    layer_results: list[SyncLayerResult] = field(default_factory=list)
    totals: SyncTotals = field(default_factory=SyncTotals)
    error: EngineError | None = None
    delta_info: GeodatabaseDeltaInfo | None = None

    @property
    def has_errors(self) -> bool:
        return self.error is not None or any(layer.has_errors for layer in self.layer_results)

    def layer(self, layer_id: int) -> SyncLayerResult:
        """The result of that layer. :exc:`KeyError` if it is not part of the geodatabase."""
        for result in self.layer_results:
            if result.layer_id == layer_id:
                return result
        raise KeyError(layer_id)
