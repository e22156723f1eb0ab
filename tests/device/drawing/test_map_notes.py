"""Map notes: features that stand in the web map itself are in its picture."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from device.drawing.map_notes import notes_layers
from tests.device.drawing.maps import SVG, Picture, entry, layer, make_map, picture_of, point

Json = dict[str, Any]
SOME = [point(n, n * 100.0, n * n * 10.0) for n in range(1, 11)]
DEGREES = {"wkid": 4326}


def feature(x: float, y: float, **more: Any) -> Json:
    return {"geometry": {"x": x, "y": y}, **more}


def notes(*features: Json, kind: str = "esriGeometryPoint", **about: Any) -> Json:
    """A layer of the web map with one feature collection."""
    rows = {"features": list(features), "geometryType": kind, "spatialReference": DEGREES}
    one = {"layerDefinition": {"geometryType": kind, **about}, "featureSet": rows}
    return {"id": "notes", "title": "Notes", "featureCollection": {"layers": [one]}}


def drawing_of(tmp_path: Path, *layers: Json) -> Picture:
    definition = {"operationalLayers": [entry(0, "Trees"), *layers]}
    folder = asyncio.run(make_map(tmp_path / "map", [(layer(), SOME)], definition=definition))
    return picture_of(folder)


def test_notes_are_drawn_where_they_are(tmp_path: Path) -> None:
    renderer = {"type": "simple", "symbol": {"type": "esriSMS", "style": "esriSMSX"}}
    layers = notes(feature(0.001, 0.002), feature(0.003, 0.001), drawingInfo={"renderer": renderer})

    picture = drawing_of(tmp_path, layers)

    assert picture.symbols("layer-1") == ["l1c0", "l1c0"]
    trees, drawn = picture.plan.layers
    assert (drawn.title, drawn.features) == ("Notes", 2)
    assert trees.features == 10
    assert picture.drawn.shown[2] < 3000, "0.003 degrees are 334 metres"
    assert "not here" not in picture.texts


def test_notes_with_symbols_of_their_own_have_these(tmp_path: Path) -> None:
    square, circle = ({"type": "esriSMS", "style": f"esriSMS{s}"} for s in ("Square", "Circle"))
    layers = notes(
        feature(0, 0, symbol=square), feature(0.001, 0, symbol=circle), feature(0, 0.001)
    )

    picture = drawing_of(tmp_path, layers)

    assert picture.symbols("layer-1") == ["l1c0", "l1c1", "l1c2"]
    shapes = {one.get("id"): one[0].tag for one in picture.root.iter(f"{SVG}g") if len(one)}
    assert (shapes["l1c0"], shapes["l1c1"]) == (f"{SVG}rect", f"{SVG}circle")


def test_several_layers_of_notes_have_names(tmp_path: Path) -> None:
    line = {"geometry": {"paths": [[[0, 0], [0.001, 0.001]]]}}
    layers = notes(feature(0, 0), name="Points")
    lines = notes(line, kind="esriGeometryPolyline", name="Lines")
    layers["featureCollection"]["layers"] += lines["featureCollection"]["layers"]

    picture = drawing_of(tmp_path, layers)

    assert {"Notes: Points", "Notes: Lines"} <= set(picture.texts)
    assert len(picture.symbols("layer-2")) == 1


@pytest.mark.parametrize(
    "collection",
    [None, {}, {"layers": 3}, {"layers": [None, {}, {"featureSet": {"features": [1]}}]}],
)
def test_what_is_no_collection_has_no_layers(collection: object) -> None:
    assert notes_layers("x", {"featureCollection": collection}) == []


def test_notes_that_cannot_be_read_are_nowhere(tmp_path: Path) -> None:
    layers = notes({"geometry": {"x": "?"}}, {"geometry": None}, feature(0, 0, attributes=[1]))

    (_, drawn) = drawing_of(tmp_path, layers).plan.layers

    assert (drawn.features, drawn.without_shape) == (1, 2)
