"""query: the rows of one layer that meet a condition.

Source: ArcGIS REST API, "Query (Feature Service/Layer)".
"""

from dataclasses import dataclass
from typing import Any

from .definition import Layer
from .feature import FeatureView
from .field import Field
from .geojson import collection
from .geometry import show
from .hosted import Actor, Hosted
from .parameters import Parameters
from .problem import ServiceError, invalid_parameter, not_supported
from .projection import Move, document_of, mover, wkid_of
from .spatial import read_filter
from .store import CURRENT, column, table
from .where import translate

_FAILED = "Unable to perform query operation."


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The condition of a query, as SQL over the alias `v`."""

    sql: str
    values: list[Any]


def select(hosted: Hosted, actor: Actor, layer: Layer, parameters: Parameters) -> Selection:
    """The rows a query means; ServiceError when it names no rows at all."""
    parts, values = [f"v.gen_to = {CURRENT}"], list[Any]()
    if layer.hides_others and not actor.is_owner:
        parts.append(f"v.{column(layer, layer.creator_field)} = ?")
        values.append(actor.editor)
    where = parameters.text("where")
    names_rows = bool(where)
    if where:
        sql, more = translate(layer, where, "v", hosted.clock.now_ms())
        parts.append(sql)
        values += more
    for name, key in (("objectIds", "oid"), ("globalIds", "gid"), ("uniqueIds", "oid")):
        if not parameters.has(name):
            continue
        wanted: list[Any] = (
            list(parameters.guids(name)) if key == "gid" else list(parameters.integers(name))
        )
        parts.append(f"v.{key} IN ({', '.join('?' * len(wanted))})")
        values += wanted
        names_rows = True
    if parameters.has("geometry") and not layer.is_table:
        sql, more = _spatial(hosted, parameters)
        parts.append(sql)
        values += more
        names_rows = True
    if not names_rows:
        raise ServiceError(400, _FAILED, "'where', 'objectIds' or 'geometry' is needed")
    return Selection(sql=" AND ".join(parts), values=values)


def _spatial(hosted: Hosted, parameters: Parameters) -> tuple[str, list[Any]]:
    wanted = parameters.text("spatialRel", "esriSpatialRelIntersects").lower()
    spatial = read_filter(
        "geometry",
        parameters.text("geometry"),
        parameters.text("geometryType", "esriGeometryEnvelope"),
        parameters.text("inSR"),
        hosted.wkid,
    )
    xmin, ymin, xmax, ymax = spatial.box
    if wanted == "esrispatialrelcontains":
        sql = "v.xmin >= ? AND v.xmax <= ? AND v.ymin >= ? AND v.ymax <= ?"
        return f"({sql})", [xmin, xmax, ymin, ymax]
    if wanted == "esrispatialrelenvelopeintersects":
        sql = "v.xmin <= ? AND v.xmax >= ? AND v.ymin <= ? AND v.ymax >= ?"
        return f"({sql})", [xmax, xmin, ymax, ymin]
    if wanted != "esrispatialrelintersects":
        raise invalid_parameter("spatialRel", f"'{wanted}' is not supported")
    return spatial.condition("v")


def query(hosted: Hosted, actor: Actor, layer: Layer, parameters: Parameters) -> dict[str, Any]:
    """Answer one query request."""
    if "Query" not in hosted.service.capabilities:
        raise not_supported()
    selection = select(hosted, actor, layer, parameters)
    is_geojson = parameters.text("f").lower() == "geojson"
    target = 4326 if is_geojson else wkid_of(parameters.json_or_text("outSR")) or hosted.wkid
    move = mover(hosted.wkid, target)
    if parameters.flag("returnCountOnly"):
        counted: dict[str, Any] = {"count": _count(hosted, layer, selection)}
        if parameters.flag("returnExtentOnly"):
            counted["extent"] = extent(hosted, layer, selection, move, target)
        return counted
    if parameters.flag("returnIdsOnly"):
        return _ids(hosted, layer, selection, parameters)
    if parameters.flag("returnExtentOnly"):
        return {
            "extent": extent(hosted, layer, selection, move, target),
            "count": _count(hosted, layer, selection),
        }
    if parameters.has("outStatistics"):
        return _statistics(hosted, layer, selection, parameters)
    if parameters.flag("returnDistinctValues"):
        return _distinct(hosted, layer, selection, parameters)
    answer = _features(hosted, layer, selection, parameters, move, target)
    return collection(answer, layer.object_id_field) if is_geojson else answer


def _count(hosted: Hosted, layer: Layer, selection: Selection) -> int:
    found = hosted.store.one(
        f"SELECT COUNT(*) FROM {table(layer)} v WHERE {selection.sql}", *selection.values
    )
    return int(found[0]) if found else 0


def _ids(
    hosted: Hosted, layer: Layer, selection: Selection, parameters: Parameters
) -> dict[str, Any]:
    order = _order(layer, parameters)
    found = hosted.store.run(
        f"SELECT v.oid FROM {table(layer)} v WHERE {selection.sql} ORDER BY {order}",
        *selection.values,
    )
    return {
        "objectIdFieldName": layer.object_id_field,
        "objectIds": [oid for (oid,) in found],
    }


def extent(
    hosted: Hosted, layer: Layer, selection: Selection, move: Move | None, wkid: int
) -> dict[str, Any]:
    """The box around the selected rows; members are "NaN" when there is none."""
    found = hosted.store.one(
        "SELECT MIN(v.xmin), MIN(v.ymin), MAX(v.xmax), MAX(v.ymax)"
        f" FROM {table(layer)} v WHERE {selection.sql}",
        *selection.values,
    )
    reference = document_of(wkid)
    if found is None or found[0] is None:
        return {
            **dict.fromkeys(("xmin", "ymin", "xmax", "ymax"), "NaN"),
            "spatialReference": reference,
        }
    low, high = (found[0], found[1]), (found[2], found[3])
    if move is not None:
        low, high = move(*low), move(*high)
    return {
        "xmin": low[0],
        "ymin": low[1],
        "xmax": high[0],
        "ymax": high[1],
        "spatialReference": reference,
    }


def _order(layer: Layer, parameters: Parameters) -> str:
    parts = []
    for item in parameters.items("orderByFields"):
        name, _, direction = item.partition(" ")
        field = layer.by_name.get(name.lower())
        if field is None or direction.strip().upper() not in ("", "ASC", "DESC"):
            raise invalid_parameter("orderByFields", f"'{item}' cannot be ordered by")
        parts.append(f"v.{column(layer, field.name)} {direction.strip().upper()}".strip())
    return ", ".join([*parts, "v.oid"])


def out_fields(layer: Layer, parameters: Parameters) -> list[Field]:
    """The fields of `outFields`, in the layer's order; the ObjectID when it is absent."""
    names = parameters.items("outFields")
    if "*" in names:
        return list(layer.fields)
    for name in names:
        if name.lower() not in layer.by_name:
            raise ServiceError(400, _FAILED, f"'outFields' parameter is invalid: no field {name}")
    wanted = {name.lower() for name in names} or {layer.object_id_field.lower()}
    return [field for field in layer.fields if field.name.lower() in wanted]


def field_document(field: Field) -> dict[str, Any]:
    """A field as the `fields` of a feature set list it."""
    shown = {"name": field.name, "type": field.type, "alias": field.document.get("alias")}
    shown["alias"] = shown["alias"] or field.name
    for member in ("sqlType", "length"):
        if member in field.document:
            shown[member] = field.document[member]
    shown["domain"] = field.document.get("domain")
    shown["defaultValue"] = field.document.get("defaultValue")
    return shown


def _features(
    hosted: Hosted,
    layer: Layer,
    selection: Selection,
    parameters: Parameters,
    move: Move | None,
    wkid: int,
) -> dict[str, Any]:
    fields = out_fields(layer, parameters)
    shows = not layer.is_table and parameters.flag("returnGeometry", True)
    with_z, with_m = parameters.flag("returnZ"), parameters.flag("returnM")
    shapes = (
        show(layer, move, with_z=with_z, with_m=with_m, profile=hosted.profile) if shows else None
    )
    view = FeatureView(layer, fields, hosted.profile.guid_spelling, shapes)
    largest = hosted.service.max_record_count
    asked = parameters.integer("resultRecordCount")
    count = largest if asked is None or asked <= 0 else min(asked, largest)
    offset = max(parameters.integer("resultOffset") or 0, 0)
    found = hosted.store.run(
        f"SELECT {view.columns('v')} FROM {table(layer)} v WHERE {selection.sql}"
        f" ORDER BY {_order(layer, parameters)} LIMIT ? OFFSET ?",
        *selection.values,
        count + 1,
        offset,
    ).fetchall()
    answer: dict[str, Any] = {
        "objectIdFieldName": layer.object_id_field,
        "globalIdFieldName": layer.global_id_field,
    }
    if not layer.is_table:
        answer["geometryType"] = layer.geometry_type
        answer["spatialReference"] = document_of(wkid)
        if shows and layer.has_z and with_z:
            answer["hasZ"] = True
        if shows and layer.has_m and with_m:
            answer["hasM"] = True
    answer["fields"] = [field_document(field) for field in fields]
    if len(found) > count:
        answer["exceededTransferLimit"] = True
    answer["features"] = [view.feature(row) for row in found[:count]]
    return answer


_STATISTICS = {"count": "COUNT", "sum": "SUM", "min": "MIN", "max": "MAX", "avg": "AVG"}


def _statistics(
    hosted: Hosted, layer: Layer, selection: Selection, parameters: Parameters
) -> dict[str, Any]:
    columns, names = [], []
    for entry in parameters.json_list("outStatistics"):
        kind = str(entry.get("statisticType", "")).lower()
        field = layer.by_name.get(str(entry.get("onStatisticField", "")).lower())
        if field is None or kind not in _STATISTICS:
            raise invalid_parameter("outStatistics", f"{entry!r} is not supported")
        columns.append(f"{_STATISTICS[kind]}(v.{column(layer, field.name)})")
        names.append(str(entry.get("outStatisticFieldName") or f"{kind}_{field.name}"))
    groups = []
    for name in parameters.items("groupByFieldsForStatistics"):
        field = layer.by_name.get(name.lower())
        if field is None:
            raise invalid_parameter("groupByFieldsForStatistics", f"no field {name}")
        groups.append(f"v.{column(layer, field.name)}")
        columns.append(groups[-1])
        names.append(field.name)
    grouped = f" GROUP BY {', '.join(groups)}" if groups else ""
    found = hosted.store.run(
        f"SELECT {', '.join(columns)} FROM {table(layer)} v WHERE {selection.sql}{grouped}",
        *selection.values,
    )
    features = [{"attributes": dict(zip(names, row, strict=True))} for row in found]
    return {
        "fields": [{"name": name, "type": "esriFieldTypeDouble", "alias": name} for name in names],
        "features": features,
    }


def _distinct(
    hosted: Hosted, layer: Layer, selection: Selection, parameters: Parameters
) -> dict[str, Any]:
    view = FeatureView(layer, out_fields(layer, parameters), hosted.profile.guid_spelling, None)
    found = hosted.store.run(
        f"SELECT DISTINCT {view.columns('v')} FROM {table(layer)} v WHERE {selection.sql}",
        *selection.values,
    )
    return {
        "fields": [field_document(field) for field in view.fields],
        "features": [view.feature(row) for row in found],
    }
