"""Subtype group layers: one layer of a service, whose subtypes have symbols of their own.

Source: Web Map Specification, "subtypeGroupLayer" and "subtypeSublayer".
"""

from collections.abc import Mapping

from device.drawing.json_members import object_of
from engine import OperationalLayer

Json = Mapping[str, object]


def drawing_info_of(layer: OperationalLayer) -> tuple[Json, str]:
    """The layer's ``drawingInfo``, and what of it cannot be followed.

    The sublayers of a subtype group layer become classes of one renderer, by the subtype's code;
    features of hidden ones have no symbol.
    """
    sublayers = layer.definition.get("layers")
    table = layer.feature_table
    if not isinstance(sublayers, list) or table is None:
        return layer.drawing_info, ""
    resource = table.schema.resource
    field = resource.get("subtypeField") or resource.get("typeIdField")
    infos, problem = [], ""
    for one in sublayers:
        if not isinstance(one, Mapping) or one.get("visibility") is False:
            continue
        renderer = object_of(
            object_of(object_of(one, "layerDefinition"), "drawingInfo"), "renderer"
        )
        symbol = renderer.get("symbol") or renderer.get("defaultSymbol")
        if renderer.get("type") != "simple":
            problem = "a subtype has several symbols: one stands for all of them"
        infos.append({"value": one.get("subtypeCode"), "label": one.get("title"), "symbol": symbol})
    if not infos or not isinstance(field, str):
        return layer.drawing_info, ""
    renderer = {"type": "uniqueValue", "field1": field, "uniqueValueInfos": infos}
    return {"renderer": renderer}, problem
