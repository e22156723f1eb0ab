"""One service as it runs: its definition, its state, and the choices it is run with."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .attachments import Attachments
from .clock import Clock
from .definition import Layer, Service
from .field import Value
from .guid import Mint, spell
from .problem import ServiceError
from .profile import Profile
from .projection import wkid_of
from .rows import Rows
from .store import Store

ANONYMOUS = "Esri_Anonymous"


@dataclass(slots=True, kw_only=True)
class Hosted:
    """A service being served. `service` is replaced as a whole when its schema changes."""

    service: Service
    store: Store
    folder: Path
    profile: Profile
    clock: Clock
    mint: Mint
    failure: ServiceError | None = None
    """What the next createReplica or synchronizeReplica fails with, before it commits."""

    tells: Literal["all", "few", "reversed"] = "all"
    """Which results of edits the next call has, and in which order."""

    def fail_if_told(self) -> None:
        """Raise the failure somebody ordered, once."""
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    def layer(self, layer_id: object) -> Layer:
        """The layer of that number; ServiceError when there is none."""
        if isinstance(layer_id, (int, str)) and not isinstance(layer_id, bool):
            try:
                return self.service.layers[int(layer_id)]
            except (KeyError, ValueError):
                pass
        raise ServiceError(400, "Invalid or missing input parameters.", f"no layer {layer_id}")

    def rows(self, layer: Layer) -> Rows:
        return Rows(self.store, layer)

    def attachments(self, layer: Layer) -> Attachments:
        return Attachments(self.store, layer)

    def spelled(self, guid: str) -> str:
        """A GlobalID as this service writes it."""
        return spell(guid, self.profile.guid_spelling)

    @property
    def wkid(self) -> int:
        """The number of the service's spatial reference."""
        return wkid_of(self.service.spatial_reference) or 0

    @property
    def decimals(self) -> int | None:
        """How many decimals of x and y the storage grid keeps; None to keep all."""
        if not self.profile.snaps_coordinates:
            return None
        return 9 if self.wkid == 4326 else 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who makes a request. Owners and administrators count as one."""

    name: str = ""
    is_owner: bool = False

    @property
    def editor(self) -> str:
        """The name editor tracking writes down."""
        return self.name or ANONYMOUS

    def may_see(self, owner: str) -> bool:
        """Whether a replica of that owner is this actor's business."""
        return self.is_owner or self.name == owner


def key_of(layer: Layer, field_name: str, gid: str, oid: int, values: Mapping[str, Value]) -> Value:
    """The value of a relationship's key field on one row."""
    lowered = field_name.lower()
    if lowered == layer.global_id_field.lower():
        return gid
    if lowered == layer.object_id_field.lower():
        return oid
    return values.get(lowered)
