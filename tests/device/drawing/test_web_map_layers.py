"""What a web map says of a layer beside its symbols: filters with dates, subtypes, transparency."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from device.drawing.filters import local_sql
from device.drawing.marks import Mark
from engine.geodatabase.geodatabase import Geodatabase
from tests.device.drawing.maps import (
    SVG,
    add_conflict,
    drawn_by,
    entry,
    gid,
    layer,
    make_map,
    picture_of,
    point,
)

SOME = [point(n, n * 100.0, n * n * 10.0) for n in range(1, 11)]
SIMPLE = {"type": "simple", "symbol": {"type": "esriSMS"}}


def made(folder: Path, rows: Any, **options: Any) -> Path:
    return asyncio.run(make_map(folder, rows, **options))


@pytest.mark.parametrize(
    ("condition", "local"),
    [
        ("d > TIMESTAMP '2026-11-20 09:30:00'", "d > '2026-11-20T09:30:00.000Z'"),
        ("d > timestamp'2026-11-20 09:30:00.5'", "d > '2026-11-20T09:30:00.500Z'"),
        ("d >= DATE '2026-11-20' AND n = N'x''y'", "d >= '2026-11-20' AND n = 'x''y'"),
        ("n = 'DATE ''2026-11-20'' '", "n = 'DATE ''2026-11-20'' '"),
        ('"DATE" = 1 OR updated = 2', '"DATE" = 1 OR updated = 2'),
        ("d > TIMESTAMP 'soon'", "d > TIMESTAMP 'soon'"),
    ],
)
def test_dates_in_a_filter_are_those_of_the_file(condition: str, local: str) -> None:
    assert local_sql(condition) == local


def sublayer(code: object, title: str, **more: object) -> dict[str, Any]:
    drawn = {"layerDefinition": {"drawingInfo": {"renderer": SIMPLE}}}
    return {"subtypeCode": code, "title": title, **drawn, **more}


def test_subtypes_have_the_symbols_of_their_sublayers(tmp_path: Path) -> None:
    sublayers = [sublayer("oak", "Oaks"), sublayer("ash", "Ashes", visibility=False)]
    group = entry(0, "Trees", layerType="SubtypeGroupLayer", layers=sublayers)
    rows = [point(n, n, n, kind) for n, kind in enumerate(["oak", "ash", "oak"])]
    folder = made(
        tmp_path / "map",
        [(layer(subtypeField="kind"), rows)],
        definition={"operationalLayers": [group]},
    )

    picture = picture_of(folder)

    assert picture.symbols("layer-0") == ["l0c0", "l0c0"]
    assert "Oaks" in picture.texts


def test_a_subtype_with_several_symbols_is_told(tmp_path: Path) -> None:
    renderer = {"type": "uniqueValue", "defaultSymbol": {"type": "esriSMS"}}
    several = {"layerDefinition": {"drawingInfo": {"renderer": renderer}}}
    group = entry(0, layerType="SubtypeGroupLayer", layers=[sublayer("oak", "Oaks") | several])
    folder = made(
        tmp_path / "map",
        [(layer(typeIdField="kind"), SOME)],
        definition={"operationalLayers": [group]},
    )

    (one,) = picture_of(folder).plan.layers

    assert any("several symbols" in note for note in one.notes)


@pytest.mark.parametrize(
    ("own", "opacity"), [({}, "0.25"), ({"opacity": 0.5}, "0.5"), ({"opacity": 1}, None)]
)
def test_a_service_makes_its_layer_transparent_where_the_web_map_says_nothing(
    tmp_path: Path, own: dict[str, Any], opacity: str | None
) -> None:
    folder = made(
        tmp_path / "map",
        [(layer(drawingInfo={"renderer": SIMPLE, "transparency": 75}), SOME)],
        definition={"operationalLayers": [entry(0, **own)]},
    )

    assert picture_of(folder).group("layer-0").get("opacity") == opacity


async def test_a_conflict_of_a_photo_stands_at_its_feature(tmp_path: Path) -> None:
    folder = await make_map(tmp_path / "map", [(layer(hasAttachments=True), SOME)])
    async with await Geodatabase.open(folder / "Trees.gpkg") as geodatabase:
        await geodatabase.table(0).update_feature(gid(3), {"kind": "mine"})
        await add_conflict(geodatabase, 700, {"REL_GLOBALID": gid(3)}, is_photo=True)

    picture = await drawn_by(folder)

    edit, conflict = picture.group("marks-0-Trees").findall(f"{SVG}use")
    assert edit.get("y") == conflict.get("y")
    assert picture.marks() == {"updated": 1, "conflict": 1}


async def test_edits_of_a_layer_that_cannot_be_drawn_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = await make_map(tmp_path / "map", [(layer(), SOME)])
    async with await Geodatabase.open(folder / "Trees.gpkg") as geodatabase:
        await geodatabase.table(0).update_feature(gid(3), {"kind": "mine"})
    monkeypatch.setattr("device.drawing.plan.converter", lambda *_: None)

    picture = await drawn_by(folder)

    assert picture.marks() == {}
    assert (picture.drawn.marks[Mark.UPDATED], picture.drawn.marks_outside) == (1, 1)
    assert "not drawn" in picture.texts
    assert any("spatial reference" in note for note in picture.plan.layers[0].notes)


async def test_marks_at_the_edge_are_whole(tmp_path: Path) -> None:
    corners = [point(1, 0, 0), point(2, 100, 100), point(3, 0, 100), point(4, 100, 0)]
    folder = await make_map(tmp_path / "map", [(layer(), corners)])
    async with await Geodatabase.open(folder / "Trees.gpkg") as geodatabase:
        for one in corners:
            await geodatabase.table(0).update_feature(one.gid, {"kind": "mine"})
        await add_conflict(geodatabase, 2)

    picture = await drawn_by(folder, box=(3, 3, 97, 97))

    frame = next(one for one in picture.root.iter(f"{SVG}clipPath"))[0]
    left, top, width, height = (float(frame.get(n) or 0) for n in ("x", "y", "width", "height"))
    uses = picture.group("marks-0-Trees").findall(f"{SVG}use")
    assert len(uses) == 5
    for use in uses:
        x, y = float(use.get("x") or 0), float(use.get("y") or 0)
        assert left + 10 < x < left + width - 10
        assert top + 10 < y < top + height - 10
