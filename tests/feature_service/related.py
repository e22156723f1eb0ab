"""queryRelatedRecords: the rows at the other end of a relationship.

Source: ArcGIS REST API, "Query Related Records (Feature Service)".
"""

from typing import Any

from .definition import Layer
from .feature import FeatureView
from .geometry import show
from .hosted import Hosted
from .parameters import Parameters
from .problem import invalid_parameter, not_supported
from .projection import document_of, mover, wkid_of
from .query import field_document, out_fields
from .store import CURRENT, column, table
from .where import translate


def query_related(hosted: Hosted, layer: Layer, parameters: Parameters) -> dict[str, Any]:
    """Answer one queryRelatedRecords request."""
    number = parameters.integer("relationshipId")
    relationship = next((one for one in layer.relationships if one.id == number), None)
    if relationship is None:
        raise invalid_parameter("relationshipId", f"layer {layer.id} has no relationship {number}")
    related = hosted.layer(relationship.related_layer)
    other = hosted.service.other_side(relationship)
    if other is None:
        raise invalid_parameter("relationshipId", f"layer {related.id} does not name it")
    oids = parameters.integers("objectIds")
    if not oids:
        raise invalid_parameter("objectIds", "the list of ObjectIDs is missing")
    fields = out_fields(related, parameters)
    shows = not related.is_table and parameters.flag("returnGeometry", True)
    target = wkid_of(parameters.json_or_text("outSR")) or hosted.wkid
    with_z, with_m = parameters.flag("returnZ"), parameters.flag("returnM")
    move = mover(hosted.wkid, target)
    shapes = (
        show(related, move, with_z=with_z, with_m=with_m, profile=hosted.profile) if shows else None
    )
    view = FeatureView(related, fields, hosted.profile.guid_spelling, shapes)
    clause = "1"
    values: list[Any] = []
    if parameters.has("definitionExpression"):
        now_ms = hosted.clock.now_ms()
        clause, values = translate(related, parameters.text("definitionExpression"), "v", now_ms)
    if relationship.is_dangling:
        raise not_supported(f"relationship {number} has no relationshipTableId")
    own, theirs = column(layer, relationship.key_field), column(related, other.key_field)
    joined, pairs = f"{table(layer)} o", f"o.{own} = v.{theirs}"
    if relationship.junction_layer is not None:
        between = hosted.layer(relationship.junction_layer)
        near, far = (column(between, one.junction_field) for one in (relationship, other))
        joined = f"{joined} JOIN {table(between)} j ON j.{near} = o.{own} AND j.gen_to = {CURRENT}"
        pairs = f"j.{far} = v.{theirs}"
    groups: list[dict[str, Any]] = []
    for oid in oids:
        found = hosted.store.run(
            f"SELECT DISTINCT {view.columns('v')} FROM {joined} JOIN {table(related)} v"
            f" ON {pairs} WHERE o.oid = ? AND o.gen_to = {CURRENT}"
            f" AND v.gen_to = {CURRENT} AND {clause} ORDER BY v.oid",
            oid,
            *values,
        ).fetchall()
        if parameters.flag("returnCountOnly"):
            groups.append({"objectId": oid, "count": len(found)})
        elif found:
            records = [view.feature(row) for row in found]
            groups.append({"objectId": oid, "relatedRecords": records})
    answer: dict[str, Any] = {"fields": [field_document(field) for field in fields]}
    if not related.is_table:
        answer["geometryType"] = related.geometry_type
        answer["spatialReference"] = document_of(target)
    answer["relatedRecordGroups"] = groups
    return answer
