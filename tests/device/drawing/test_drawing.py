"""A whole drawing: each feature and each mark is in it, whatever the map."""

import asyncio
import gc
import io
import tracemalloc
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from device.drawing.drawing import Drawing
from device.drawing.marks import Mark
from device.drawing.plan import make_plan, survey
from device.drawing.svg import MAGIC
from engine.geodatabase.geodatabase import Geodatabase
from engine.maps.offline_map import OfflineMap
from engine.model import Envelope, SpatialReference
from native.geometry import esri_json_to_gpkg
from tests.device.drawing.maps import (
    AREA,
    LINE,
    POINT,
    SVG,
    Picture,
    Row,
    add_conflict,
    add_refusal,
    drawn_by,
    entry,
    gid,
    layer,
    make_map,
    picture_of,
    point,
)

MERCATOR = SpatialReference.of(3857)
SOME = [point(n, n * 100.0, n * n * 10.0) for n in range(1, 11)]


def made(folder: Path, rows: Any, **options: Any) -> Path:
    return asyncio.run(make_map(folder, rows, **options))


def square(number: int, x: float, y: float, side: float, crowded: int = 0) -> Row:
    """With ``crowded`` vertices next to its first one, which no pixel shows."""
    crowd = [[x, y + n / 1e4] for n in range(crowded)]
    ring = [[x, y], *crowd, [x, y + side], [x + side, y + side], [x + side, y], [x, y]]
    return Row(number, {"rings": [ring]})


# --- features -------------------------------------------------------------------------------------

CELLS = st.sets(st.tuples(st.integers(0, 40), st.integers(0, 30)), max_size=60)


@given(points=CELLS, lines=CELLS, areas=CELLS)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_each_feature_is_drawn_once(
    tmp_path_factory: pytest.TempPathFactory,
    points: set[tuple[int, int]],
    lines: set[tuple[int, int]],
    areas: set[tuple[int, int]],
) -> None:
    folder = tmp_path_factory.mktemp("drawn") / "map"
    dots = [point(n, x * 10.0, y * 10.0) for n, (x, y) in enumerate(sorted(points), 1)]
    strokes = [
        Row(n, {"paths": [[[x * 10, y * 10], [x * 10 + 8, y * 10 + 3]]]})
        for n, (x, y) in enumerate(sorted(lines), 1)
    ]
    squares = [square(n, x * 10.0, y * 10.0, 6) for n, (x, y) in enumerate(sorted(areas), 1)]
    made(
        folder,
        [(layer(), dots), (layer(1, "Ways", LINE), strokes), (layer(2, "Lots", AREA), squares)],
    )

    picture = picture_of(folder)

    for number, some in enumerate((dots, strokes, squares)):
        assert len(picture.symbols(f"layer-{number}")) == len(some)
        assert picture.plan.layers[number].features == len(some)
        assert picture.plan.layers[number].outside == 0


def test_features_outside_of_the_picture_are_counted_and_not_drawn(tmp_path: Path) -> None:
    far = [point(100, 9e6, 9e6), point(101, -9e6, 0)]
    folder = made(tmp_path / "map", [(layer(), [*SOME, *far, Row(102)])])

    picture = picture_of(folder, box=(0.0, 0.0, 1100.0, 1100.0))

    (one,) = picture.plan.layers
    assert len(picture.symbols("layer-0")) == 10
    assert (one.features, one.outside, one.without_shape) == (10, 2, 1)


def test_features_get_the_symbols_of_their_values(tmp_path: Path) -> None:
    def info(value: str) -> dict[str, object]:
        return {"value": value, "label": value.title(), "symbol": {"type": "esriSMS"}}

    renderer = {
        "type": "uniqueValue",
        "field1": "KIND",
        "uniqueValueInfos": [info("oak"), info("unused"), info("ash")],
    }
    drawing_info = {"renderer": renderer}
    kinds = ["oak", "ash", "ash", None, "elm"]
    rows = [point(n, n, n, kind) for n, kind in enumerate(kinds)]
    folder = made(tmp_path / "map", [(layer(drawingInfo=drawing_info), rows)])

    picture = picture_of(folder)

    assert picture.symbols("layer-0") == ["l0c0", "l0c2", "l0c2"]
    assert picture.plan.layers[0].drawn == {0: 1, 2: 2, -1: 2}
    assert {"Oak", "Ash", "no symbol"} <= set(picture.texts)
    assert "Unused" not in picture.texts


def test_points_on_one_pixel_are_drawn_once_and_counted_all(tmp_path: Path) -> None:
    crowd = [point(n, 5 + n / 1e6, 5) for n in range(500)]
    folder = made(tmp_path / "map", [(layer(), [point(1000, 0, 0), *crowd, point(1001, 10, 10)])])

    picture = picture_of(folder)

    assert len(picture.symbols("layer-0")) == 3
    assert picture.plan.layers[0].features == 502


def test_areas_smaller_than_a_pixel_are_dots(tmp_path: Path) -> None:
    tiny = [square(n, n * 1000.0, 0, 0.01) for n in range(10)]
    folder = made(tmp_path / "map", [(layer(0, "Lots", AREA), tiny)])

    assert len(picture_of(folder).symbols("layer-0")) == 10


def test_coordinates_that_are_nowhere_are_without_a_place(tmp_path: Path) -> None:
    folder = made(tmp_path / "map", [(layer(), [*SOME, point(99, 1e15, 3)])])

    picture = picture_of(folder)

    assert (picture.plan.layers[0].features, picture.plan.layers[0].without_shape) == (10, 1)


# --- layers ---------------------------------------------------------------------------------------


def test_layers_lie_as_in_the_web_map(tmp_path: Path) -> None:
    listed = {"operationalLayers": [entry(1, "below"), entry(0, "above", opacity=0.5)]}
    rows = [(layer(), SOME), (layer(1, "Ways", LINE), [Row(1, {"paths": [[[0, 0], [9, 9]]]})])]
    folder = made(tmp_path / "map", rows, definition=listed)

    picture = picture_of(folder)

    ids = [one.get("id") or "" for one in picture.root.iter(f"{SVG}g")]
    assert [one for one in ids if one.startswith("layer-")] == ["layer-0", "layer-1"]
    assert picture.symbols("layer-0") == ["l0c0"]
    assert picture.group("layer-1").get("opacity") == "0.5"
    legend = [one for one in picture.texts if one in ("below", "above")]
    assert legend == ["above", "below"]


def test_a_hidden_layer_is_not_drawn_unless_it_is_asked_for(tmp_path: Path) -> None:
    listed = {"operationalLayers": [entry(0, "Hidden", visibility=False)]}
    folder = made(tmp_path / "map", [(layer(), SOME)], definition=listed)

    hidden, asked = picture_of(folder), picture_of(folder, chosen=frozenset({"l0"}))

    assert "hidden" in hidden.texts
    assert not hidden.plan.drawn
    assert len(asked.symbols("layer-0")) == 10


def test_a_filter_of_the_web_map_hides_rows(tmp_path: Path) -> None:
    where: Any = {"layerDefinition": {"definitionExpression": "kind = 'oak' -- mine"}}
    rows = [point(1, 0, 0, "oak"), point(2, 9, 9, "ash")]
    folder = made(
        tmp_path / "map", [(layer(), rows)], definition={"operationalLayers": [entry(0, **where)]}
    )

    assert picture_of(folder).plan.layers[0].features == 1


def test_a_filter_that_cannot_be_followed_hides_none_and_is_told(tmp_path: Path) -> None:
    where: Any = {"layerDefinition": {"definitionExpression": "EXTRACT(YEAR FROM x) > 2000"}}
    folder = made(
        tmp_path / "map", [(layer(), SOME)], definition={"operationalLayers": [entry(0, **where)]}
    )

    (one,) = picture_of(folder).plan.layers

    assert one.features == 10
    assert any("filter" in note for note in one.notes)


def test_a_layer_in_another_reference_is_named_and_not_drawn(tmp_path: Path) -> None:
    listed = {"operationalLayers": [entry(0)], "spatialReference": {"wkid": 2056}}
    folder = made(tmp_path / "map", [(layer(), SOME)], definition=listed)
    picture = picture_of(folder)
    assert picture.plan.reference.same_as(MERCATOR), "the layer's own, as nothing is in the map's"

    degrees = {"operationalLayers": [entry(0)], "spatialReference": {"wkid": 4326}}
    other = made(tmp_path / "other", [(layer(), SOME)], definition=degrees)
    picture = picture_of(other)
    assert picture.plan.reference.latest == 4326
    assert picture.plan.layers[0].features == 10
    assert 0.0001 < picture.drawn.shown[2] < 0.1


def test_a_table_stands_in_the_legend(tmp_path: Path) -> None:
    rows = [(layer(), SOME), (layer(9, "Visits", None), [Row(n) for n in range(1, 8)])]
    folder = made(tmp_path / "map", rows)

    texts = picture_of(folder).texts

    assert texts[texts.index("Layer 9") + 1] == "7"


def test_the_area_that_was_taken_is_framed_and_shown(tmp_path: Path) -> None:
    area = Envelope(
        xmin=0, ymin=0, xmax=0.01, ymax=0.01, spatial_reference=SpatialReference.of(4326)
    )
    folder = made(tmp_path / "map", [(layer(), SOME)], area=area)

    picture = picture_of(folder)

    xmin, _, xmax, _ = picture.drawn.shown
    assert xmin < 0 < 1113 < xmax < 4000
    frames = [one for one in picture.root.iter(f"{SVG}rect") if one.get("class") == "area"]
    assert len(frames) == 2, "the frame, and its line in the legend"


# --- edits, conflicts, refusals -------------------------------------------------------------------


async def edited(folder: Path, added: int, updated: int, deleted: int) -> None:
    async with await Geodatabase.open(folder / "Trees.gpkg") as geodatabase:
        table = geodatabase.table(0)
        for n in range(added):
            await table.add_feature({"kind": "new"}, {"x": 50.0 * n, "y": 500})
        for n in range(1, updated + 1):
            moved = {"x": 33.0, "y": 44.0} if n % 2 else {"x": n * 100.0, "y": n * n * 10.0}
            await table.update_feature(gid(n), {"kind": "changed"}, moved)
        for n in range(updated + 1, updated + deleted + 1):
            await table.delete_feature(gid(n))


@given(added=st.integers(0, 3), updated=st.integers(0, 4), deleted=st.integers(0, 3))
@settings(max_examples=8, deadline=None)
def test_each_edit_has_its_mark(
    tmp_path_factory: pytest.TempPathFactory, added: int, updated: int, deleted: int
) -> None:
    folder = made(tmp_path_factory.mktemp("marks") / "map", [(layer(), SOME)])
    asyncio.run(edited(folder, added, updated, deleted))

    picture = picture_of(folder)

    expected = {"added": added, "updated": updated, "deleted": deleted}
    assert picture.marks() == {name: count for name, count in expected.items() if count}
    assert {mark.value: count for mark, count in picture.drawn.marks.items() if count} == {
        name: count for name, count in expected.items() if count
    }
    assert picture.plan.layers[0].features == 10 + added - deleted


def legend_count(picture: Picture, mark: Mark) -> str:
    texts = picture.texts
    return texts[texts.index(mark.label) + 1]


async def test_conflicts_and_refusals_stand_beside_the_edit_of_their_row(tmp_path: Path) -> None:
    folder = await make_map(tmp_path / "map", [(layer(), SOME)])
    async with await Geodatabase.open(folder / "Trees.gpkg") as geodatabase:
        await geodatabase.table(0).update_feature(gid(3), {"kind": "mine"})
        await add_conflict(geodatabase, 3)
        await add_refusal(geodatabase, 4, '<too> tall & "thin"')

    picture = await drawn_by(folder)

    assert picture.marks() == {"updated": 1, "conflict": 1, "quarantined": 1}
    assert legend_count(picture, Mark.CONFLICT) == "1"
    edit, conflict, refusal = picture.group("marks-0-Trees").findall(f"{SVG}use")
    assert edit.get("y") == conflict.get("y") != refusal.get("y")
    assert float(conflict.get("x") or 0) - float(edit.get("x") or 0) == 18
    (title,) = refusal.iter(f"{SVG}title")
    assert (title.text or "").endswith('refused (1): <too> tall & "thin"')
    assert "1 edit to send" in " ".join(picture.texts)


async def test_a_conflict_of_a_row_that_is_gone_stands_where_it_was(tmp_path: Path) -> None:
    folder = await make_map(tmp_path / "map", [(layer(), SOME)])
    blob = esri_json_to_gpkg(b'{"x": 500, "y": 250}', POINT, 3857, False, False)
    assert blob is not None
    async with await Geodatabase.open(folder / "Trees.gpkg") as geodatabase:
        await add_conflict(geodatabase, 500, {"geom": {"hex": blob.hex()}})

    picture = await drawn_by(folder)

    assert picture.marks() == {"conflict": 1}
    assert picture.drawn.marks_outside == 0


async def test_a_mark_without_a_place_is_counted(tmp_path: Path) -> None:
    folder = await make_map(tmp_path / "map", [(layer(), [*SOME, Row(77)])])
    async with await Geodatabase.open(folder / "Trees.gpkg") as geodatabase:
        await geodatabase.table(0).update_feature(gid(77), {"kind": "mine"})

    picture = await drawn_by(folder)

    assert picture.marks() == {}
    assert (picture.drawn.marks[Mark.UPDATED], picture.drawn.marks_outside) == (1, 1)


async def test_edits_of_a_hidden_layer_are_marked(tmp_path: Path) -> None:
    listed = {"operationalLayers": [entry(0, "Hidden", visibility=False)]}
    folder = await make_map(tmp_path / "map", [(layer(), SOME)], definition=listed)
    await edited(folder, 1, 0, 1)

    picture = await drawn_by(folder)

    assert picture.marks() == {"added": 1, "deleted": 1}


async def test_edits_of_a_table_are_counted_in_the_legend(tmp_path: Path) -> None:
    rows = [(layer(), SOME), (layer(9, "Visits", None), [Row(1), Row(2)])]
    folder = await make_map(tmp_path / "map", rows)
    async with await Geodatabase.open(folder / "Trees.gpkg") as geodatabase:
        await geodatabase.table(9).update_feature(gid(1), {"kind": "mine"})
        await geodatabase.table(9).delete_feature(gid(2))

    picture = await drawn_by(folder)

    assert "Layer 9 (1 updated, 1 deleted)" in picture.texts
    assert picture.drawn.in_tables == 2
    assert legend_count(picture, Mark.DELETED) == "1"


@pytest.mark.parametrize("kind", [LINE, AREA])
async def test_an_edited_line_or_area_is_traced(tmp_path: Path, kind: str) -> None:
    shapes = [[[0, 0], [0, 90], [90, 90], [0, 0]], [[200, 0], [200, 90], [290, 90], [200, 0]]]
    name = "paths" if kind == LINE else "rings"
    rows = [Row(n, {name: [one]}) for n, one in enumerate(shapes, 1)]
    folder = await make_map(tmp_path / "map", [(layer(0, "Ways", kind), rows)])
    async with await Geodatabase.open(folder / "Trees.gpkg") as geodatabase:
        moved = [[x + 20, y] for x, y in shapes[0]]
        await geodatabase.table(0).update_feature(gid(1), geometry={name: [moved]})
        await geodatabase.table(0).delete_feature(gid(2))

    picture = await drawn_by(folder)

    paths = [one.get("class") for one in picture.group("marks-0-Trees").findall(f"{SVG}path")]
    assert paths == ["updated", "ghost", "deleted"]
    assert picture.marks() == {"updated": 1, "deleted": 1}


# --- maps with little in them, and with much ------------------------------------------------------


@pytest.mark.parametrize("rows", [[], [Row(1)]])
def test_a_map_without_features_says_so(tmp_path: Path, rows: list[Row]) -> None:
    folder = made(tmp_path / "map", [(layer(), rows)])

    picture = picture_of(folder)

    assert "There are no features to draw" in picture.texts


def test_one_point_stands_in_the_middle(tmp_path: Path) -> None:
    folder = made(tmp_path / "map", [(layer(), [point(1, 1e6, 2e6)])])

    picture = picture_of(folder)

    (use,) = picture.group("layer-0")
    frame = next(one for one in picture.root.iter(f"{SVG}clipPath"))[0]
    middle = float(frame.get("x") or 0) + float(frame.get("width") or 0) / 2
    assert float(use.get("x") or 0) == pytest.approx(middle, abs=0.1)
    assert any(one.endswith(" m") for one in picture.texts), "a scale bar of a sensible length"


def test_the_same_map_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = made(tmp_path / "map", [(layer(), SOME)])

    assert picture_of(folder).content == picture_of(folder).content


def test_a_drawing_says_what_it_is_and_all_of_it_is_on_the_page(tmp_path: Path) -> None:
    folder = made(tmp_path / "map", [(layer(n, f"Layer {n}"), SOME) for n in range(25)])

    picture = picture_of(folder, width=700)

    assert picture.content.splitlines()[1].decode() == MAGIC
    height = float(picture.root.get("height") or 0)
    assert (picture.root.get("width"), f"{picture.drawn.height:g}") == ("700", f"{height:g}")
    assert max(float(one.get("y") or 0) for one in picture.root.iter(f"{SVG}text")) < height
    assert picture.texts[:2] == [
        "Town",
        "Last sync 2026-11-20 09:30 UTC · 0 edits to send · 0 conflicts · 0 refused",
    ]


class Nowhere(io.BytesIO):
    """A stream that keeps nothing but its length."""

    length = 0

    def write(self, data: Any) -> int:
        self.length += len(data)
        return len(data)


@pytest.mark.slow
def test_a_large_map_takes_no_more_memory_and_makes_no_huge_file(tmp_path: Path) -> None:
    async def draw(folder: Path) -> tuple[int, int]:
        async with OfflineMap.open(folder) as map_:
            gc.collect()
            tracemalloc.start()
            plan, stream = make_plan(map_, None), Nowhere()
            await survey(plan)
            await Drawing(map_, plan, stream).write(1200)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return stream.length, peak

    found: list[tuple[int, int]] = []
    for count in (600, 600, 2000):  # the first loads what is loaded once
        columns = int(count**0.5)
        side = 1000 / columns
        rows = [square(n, n % columns * side, n // columns * side, side, 80) for n in range(count)]
        folder = made(tmp_path / str(len(found)), [(layer(0, "Lots", AREA), rows)])
        found.append(asyncio.run(draw(folder)))
    _, (small, little), (large, much) = found

    assert large - small < 1400 * 70
    assert much - little < 1_000_000, "1400 rows that are kept take twice as much"


def test_elements_are_those_of_svg(tmp_path: Path) -> None:
    folder = made(tmp_path / "map", [(layer(), SOME)])

    tags = {one.tag for one in ElementTree.fromstring(picture_of(folder).content).iter()}

    assert tags <= {
        SVG + name
        for name in (
            *("svg", "g", "defs", "style", "title", "clipPath", "pattern"),
            *("use", "path", "rect", "circle", "line", "text", "image"),
        )
    }
