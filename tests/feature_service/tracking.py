"""Change tracking as an administrator sees it: forgetting old changes.

Source: ArcGIS REST API, "Clean Up Change Tracking".
"""

from typing import Any

from .hosted import Actor, Hosted
from .parameters import Parameters
from .problem import ServiceError, invalid_parameter
from .replica import read_layer_ids
from .store import table

_UNITS_S = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}


def forget_changes(hosted: Hosted, layer_id: int, oldest: int) -> None:
    """Drop the versions that ended at or before a generation; inside a transaction."""
    layer = hosted.layer(layer_id)
    store = hosted.store
    store.run(f"DELETE FROM {table(layer)} WHERE gen_to <= ?", oldest)
    store.run("DELETE FROM attachment WHERE layer = ? AND gen_to <= ?", layer.id, oldest)
    store.run("UPDATE layer_state SET min_gen = MAX(min_gen, ?) WHERE layer = ?", oldest, layer.id)
    store.run("DELETE FROM content WHERE id NOT IN (SELECT content_id FROM attachment)")


def clean_up(hosted: Hosted, actor: Actor, parameters: Parameters) -> dict[str, Any]:
    """Answer cleanupChangeTracking, for the owner or an administrator."""
    if not actor.is_owner:
        raise ServiceError(403, "You do not have permissions to perform this operation.")
    layers = read_layer_ids(hosted.service, parameters) if parameters.has("layers") else None
    oldest = parameters.integer("minServerGen")
    if oldest is None:
        period = parameters.integer("retentionPeriod")
        if period is None:
            raise invalid_parameter("retentionPeriod", "it or minServerGen is needed")
        unit = parameters.word("retentionPeriodUnits", tuple(_UNITS_S), "days")
        before_ms = hosted.clock.now_ms() - period * _UNITS_S[unit] * 1000
        oldest = hosted.store.generation_at(before_ms)
    with hosted.store.transaction():
        for layer_id in hosted.service.layers if layers is None else layers:
            forget_changes(hosted, layer_id, min(oldest, hosted.store.generation))
    return {"success": True}
