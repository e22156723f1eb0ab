"""Hypothesis strategies for layers and for documents that services could send about them."""

import base64
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from native.layer import Column, ColumnType, Layer
from tests.native import oracle

COLUMNS = (
    Column(name="OBJECTID", type=ColumnType.INTEGER),
    Column(name="GlobalID", type=ColumnType.GUID),
    Column(name="Höhe", type=ColumnType.REAL),
    Column(name="Note", type=ColumnType.TEXT),
    Column(name="Seen", type=ColumnType.DATE),
    Column(name="Parent", type=ColumnType.GUID),
)

LAYERS = (
    Layer(id=0, columns=COLUMNS, key="GlobalID", geometry_type="esriGeometryPoint"),
    Layer(id=1, columns=COLUMNS[:3], key="GlobalID"),
    Layer(
        id=7,
        columns=COLUMNS,
        key="GlobalID",
        geometry_type="esriGeometryPolyline",
        srs_id=3857,
        has_z=True,
    ),
    Layer(
        id=8,
        columns=COLUMNS[1:2],
        key="GlobalID",
        geometry_type="esriGeometryMultipoint",
        has_m=True,
    ),
)

MIN_MS = int(datetime(1, 1, 1, tzinfo=UTC).timestamp()) * 1000
MAX_MS = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()) * 1000 + 999

FINITE = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
COORDINATE = st.floats(-2e7, 2e7) | st.integers(-180, 180)


@st.composite
def guids(draw: st.DrawFn) -> str:
    """A GUID in one of the spellings that are about."""
    text = str(UUID(int=draw(st.integers(0, 2**128 - 1))))
    upper, braces = draw(st.booleans()), draw(st.booleans())
    text = text.upper() if upper else text
    return f"{{{text}}}" if braces else text


VALUES: dict[ColumnType, st.SearchStrategy[Any]] = {
    ColumnType.INTEGER: st.integers(-(2**63), 2**63 - 1),
    ColumnType.REAL: FINITE | st.integers(-(2**53), 2**53),
    ColumnType.TEXT: TEXT,
    ColumnType.GUID: guids(),
    ColumnType.DATE: st.integers(MIN_MS, MAX_MS),
}


def vertices(layer: Layer) -> st.SearchStrategy[list[Any]]:
    parts: list[st.SearchStrategy[Any]] = [COORDINATE, COORDINATE]
    parts += [COORDINATE] * layer.has_z + [COORDINATE | st.none()] * layer.has_m
    return st.tuples(*parts).map(list)


def geometries(layer: Layer) -> st.SearchStrategy[Any]:
    flags = ({"hasZ": True} if layer.has_z else {}) | ({"hasM": True} if layer.has_m else {})
    match layer.geometry_type:
        case "esriGeometryPoint":
            point = st.fixed_dictionaries({"x": COORDINATE, "y": COORDINATE})
            return st.none() | point | st.sampled_from([{"x": None}, {"x": "NaN", "y": "NaN"}])
        case "esriGeometryMultipoint":
            lists: st.SearchStrategy[Any] = st.lists(vertices(layer), max_size=4)
            return st.none() | lists.map(lambda points: {"points": points} | flags)
        case _:
            lists = st.lists(st.lists(vertices(layer), max_size=4), max_size=3)
            return st.none() | lists.map(lambda paths: flags | {"paths": paths})


@st.composite
def rows(draw: st.DrawFn, layer: Layer) -> tuple[Any, ...]:
    """A row as the oracle says that the decoder gives it."""
    values = [oracle.value(c, draw(st.none() | VALUES[c.type])) for c in layer.columns]
    if layer.geometry_type is not None:
        values.append(oracle.geometry(draw(geometries(layer)), layer))
    return tuple(values)


@st.composite
def features(draw: st.DrawFn, layer: Layer) -> Any:
    attributes = {
        column.name: draw(st.none() | VALUES[column.type])
        for column in draw(st.permutations(layer.columns))
        if draw(st.integers(0, 5))
    }
    feature: dict[str, Any] = {"attributes": attributes}
    if layer.geometry_type is not None and draw(st.integers(0, 5)):
        feature["geometry"] = draw(geometries(layer))
    if draw(st.booleans()):
        feature = dict(reversed(feature.items()))
    return feature


@st.composite
def attachments(draw: st.DrawFn) -> Any:
    members: dict[str, Any] = {
        "attachmentId": draw(st.integers(0, 2**31)),
        "globalId": draw(guids()),
        "parentGlobalId": draw(guids()),
        "contentType": "image/jpeg",
        "name": draw(TEXT),
        "size": draw(st.integers(0, 2**40)),
    }
    if draw(st.booleans()):
        members["data"] = base64.b64encode(draw(st.binary(max_size=40))).decode()
    else:
        members["url"] = "https://example.test/" + draw(TEXT)
    return dict(draw(st.permutations(list(members.items()))))


@st.composite
def entries(draw: st.DrawFn, *, edits: bool) -> Any:
    layer = draw(st.sampled_from(LAYERS))
    rows = st.lists(features(layer), max_size=4)
    ids = st.lists(guids() | st.integers(1, 2**31), max_size=3)
    parts: dict[str, Any] = {"id": layer.id}
    if edits:
        deletes = draw(st.sampled_from(["deletes", "deleteIds"]))
        parts["features"] = draw(
            st.none()
            | st.fixed_dictionaries({}, optional={"adds": rows, "updates": rows, deletes: ids})
        )
        parts["attachments"] = draw(
            st.none()
            | st.fixed_dictionaries(
                {}, optional={"adds": st.lists(attachments(), max_size=2), deletes: ids}
            )
        )
        parts["addResults"] = [{"globalId": "{}", "success": True}] * draw(st.integers(0, 2))
    else:
        parts["features"] = draw(st.lists(features(layer) | st.none(), max_size=4))
        parts["attachments"] = draw(st.lists(attachments(), max_size=2))
    return dict(draw(st.permutations(list(parts.items())))), layer


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """A replica or delta file, its members in any order."""
    edits = draw(st.booleans())
    listed = [entry for entry, _ in draw(st.lists(entries(edits=edits), max_size=3))]
    members: dict[str, Any] = {
        "replicaID": draw(guids()),
        "replicaServerGen": draw(st.integers(0, 2**53)),
        "layerServerGens": [{"id": 0, "serverGen": 5}],
        "unknown": {"nested": [{"deep": [[], {}]}, "}]"]},
        "edits" if edits else "layers": listed,
    }
    return dict(draw(st.permutations(list(members.items()))))
