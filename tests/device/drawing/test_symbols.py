"""Esri symbols as SVG: each style is told apart, and what cannot be drawn says so."""

from xml.etree import ElementTree

import pytest

from device.drawing.renderers import OTHER, make_renderer
from device.drawing.symbols import LARGEST_PX, Symbol, color_of, make_symbol
from engine import ShapeKind

RED = [255, 0, 0, 255]
OUTLINE = {"type": "esriSLS", "style": "esriSLSSolid", "color": [0, 0, 0, 255], "width": 1.5}
MARKERS = ("Circle", "Square", "Cross", "X", "Diamond", "Triangle")
HATCHES = (
    *("Horizontal", "Vertical", "Cross", "ForwardDiagonal", "BackwardDiagonal"),
    "DiagonalCross",
)


def marker(style: str, **more: object) -> Symbol:
    value = {"type": "esriSMS", "style": f"esriSMS{style}", "color": RED, "size": 9, **more}
    return make_symbol(value, ShapeKind.POINTS)


def line(style: str, **more: object) -> Symbol:
    value = {"type": "esriSLS", "style": f"esriSLS{style}", "color": RED, "width": 3, **more}
    return make_symbol(value, ShapeKind.LINES)


def fill(style: str, **more: object) -> Symbol:
    value = {"type": "esriSFS", "style": f"esriSFS{style}", "color": RED, "outline": OUTLINE}
    return make_symbol(value | more, ShapeKind.RINGS)


def test_each_marker_has_a_shape_of_its_own() -> None:
    found = {style: marker(style, outline=OUTLINE) for style in MARKERS}

    assert len({one.marker for one in found.values()}) == len(MARKERS)
    assert all(one.size_px == 12 and not one.problem for one in found.values())
    assert all("#ff0000" in found[s].marker for s in ("Circle", "Square", "Diamond", "Triangle"))


@pytest.mark.parametrize("style", ["Cross", "X"])
def test_a_cross_is_made_of_its_outline_or_else_of_its_colour(style: str) -> None:
    assert "stroke:#000000;stroke-width:2;" in marker(style, outline=OUTLINE).marker
    assert "stroke:#ff0000" in marker(style).marker


def test_a_marker_is_turned_against_the_clock_and_moved_up_to_the_right() -> None:
    element = ElementTree.fromstring(marker("Square", angle=30, xoffset=3, yoffset=6).marker)

    assert element.get("transform") == "translate(4 -8) rotate(-30)"


@pytest.mark.parametrize(("size", "used"), [(9, 12), (0, 1), (1e9, LARGEST_PX), (None, 8 * 4 / 3)])
def test_sizes_have_bounds(size: object, used: float) -> None:
    assert marker("Circle", size=size).size_px == pytest.approx(used)


def test_dashes_follow_the_width_of_the_line() -> None:
    styles = ("Dash", "Dot", "DashDot", "DashDotDot", "LongDash", "ShortDot")
    found = {style: line(style).css for style in styles}

    assert len(set(found.values())) == len(styles)
    assert "stroke-dasharray:16 12" in found["Dash"]
    assert line("Solid").css == "fill:none;stroke:#ff0000;stroke-width:4;stroke-linejoin:round"
    assert line("Null").css == "fill:none;stroke:none"


def test_a_solid_fill_has_colour_and_opacity() -> None:
    assert fill("Solid", color=[1, 2, 3, 51]).css.startswith(
        "fill:#010203;fill-opacity:0.2;stroke:#000000;stroke-width:2"
    )
    assert fill("Null").css.startswith("fill:none;stroke:#000000")
    assert fill("Solid", color=None).css.startswith("fill:none;")


def test_each_hatch_has_a_tile_of_its_own() -> None:
    found = [fill(style) for style in HATCHES]

    assert len({one.pattern for one in found}) == len(HATCHES)
    assert all(one.css.startswith("fill:url(#{id});stroke:#000000") for one in found)


def test_forward_runs_down_to_the_right_and_backward_up() -> None:
    assert "M-2 -2l12 12" in fill("ForwardDiagonal").pattern
    assert "M-2 10l12-12" in fill("BackwardDiagonal").pattern


@pytest.mark.parametrize(
    ("value", "color", "opacity"),
    [
        ([255, 0, 16, 255], "#ff0010", 1.0),
        ([255, 0, 16], "#ff0010", 1.0),
        ([300, -4, 16.9, 0], "#ff0010", 0.0),
        (None, "#000000", 0.0),
        ("red", "#000000", 0.0),
        ([1], "#000000", 0.0),
        ([None, "x", True, 255], "#000000", 1.0),
    ],
)
def test_colours_are_what_they_can_be(value: object, color: str, opacity: float) -> None:
    assert color_of(value) == (color, opacity)


@pytest.mark.parametrize("kind", list(ShapeKind))
@pytest.mark.parametrize("value", [None, {}, {"type": "CIMSymbolReference"}, {"type": "esriTS"}])
def test_a_symbol_that_is_not_known_is_told(kind: ShapeKind, value: object) -> None:
    made = make_symbol(value, kind)

    assert made.problem
    assert bool(made.marker) == (kind is ShapeKind.POINTS)
    assert bool(made.css) != bool(made.marker)


# --- renderers ------------------------------------------------------------------------------------


def symbol(red: int = 0) -> dict[str, object]:
    return {"type": "esriSMS", "color": [red, 0, 0, 255]}


def unique(*values: object, **more: object) -> dict[str, object]:
    infos = [{"value": value, "symbol": symbol(n)} for n, value in enumerate(values)]
    return {"type": "uniqueValue", "field1": "kind", "uniqueValueInfos": infos, **more}


def class_of(renderer: dict[str, object], *cells: object) -> int:
    made = make_renderer({"renderer": renderer}, ShapeKind.POINTS, 0)
    return made.class_of(cells)  # type: ignore[arg-type]  # cells of any type are the point


@pytest.mark.parametrize(
    ("value", "cell", "found"),
    [
        ("oak", "oak", 0),
        ("oak", "Oak", OTHER),
        ("3", 3, 0),
        (3, 3, 0),
        ("3", 3.0, 0),
        (3.0, 3, 0),
        ("2.5", 2.5, 0),
        ("<Null>", None, 0),
        ("", None, 0),
        (None, None, 0),
        ("oak", None, OTHER),
        ("oak", b"oak", OTHER),
    ],
)
def test_unique_values_are_found_as_renderers_write_them(
    value: object, cell: object, found: int
) -> None:
    assert class_of(unique(value), cell) == found


def test_several_fields_make_one_value() -> None:
    renderer = unique("oak; 3", "oak;3") | {"field2": "size", "fieldDelimiter": ";"}

    assert class_of(renderer, "oak", 3) == 1


def test_other_values_get_the_default_symbol() -> None:
    renderer = unique("oak", defaultSymbol=symbol(9), defaultLabel="rest")

    made = make_renderer({"renderer": renderer}, ShapeKind.POINTS, 0)

    assert made.class_of(("elm",)) == 1
    assert made.classes[1].label == "rest"


def test_groups_of_values_are_classes() -> None:
    classes = [
        {"label": "trees", "symbol": symbol(), "values": [["oak"], ["elm"]]},
        {"label": "none", "symbol": symbol(), "values": [["<Null>"]]},
    ]
    renderer = unique("not this") | {"uniqueValueGroups": [{"classes": classes}]}

    assert [class_of(renderer, cell) for cell in ("oak", "elm", None, "ash")] == [0, 0, 1, OTHER]


@pytest.mark.parametrize(
    ("cell", "found"),
    [(0, 0), (10, 0), (10.5, 1), (99, 2), (100.1, OTHER), (-1, OTHER), (None, OTHER), ("9", 0)],
)
def test_breaks_include_their_upper_end(cell: object, found: int) -> None:
    infos = [{"classMaxValue": top, "symbol": symbol()} for top in (10, 50, 100)]
    renderer = {"type": "classBreaks", "field": "size", "minValue": 0, "classBreakInfos": infos}

    assert class_of(renderer, cell) == found


def test_breaks_may_be_of_a_share() -> None:
    infos = [{"classMaxValue": top, "symbol": symbol()} for top in (0.5, 1)]
    renderer: dict[str, object] = {
        "type": "classBreaks",
        "field": "size",
        "normalizationType": "esriNormalizeByField",
        "normalizationField": "whole",
        "classBreakInfos": infos,
    }

    assert [class_of(renderer, 3, whole) for whole in (10, 4, 0, None)] == [0, 1, OTHER, OTHER]


@pytest.mark.parametrize(
    ("renderer", "told"),
    [
        (None, "no symbols of its own"),
        ({}, "no symbols of its own"),
        ({"type": "heatmap"}, "its renderer (heatmap)"),
        (unique("oak", valueExpression="$feature.x"), "Arcade"),
        (unique(), "its renderer (uniqueValue)"),
        ({"type": "classBreaks", "normalizationType": "esriNormalizeByLog"}, "(classBreaks)"),
    ],
)
def test_a_renderer_that_cannot_be_followed_is_told(renderer: object, told: str) -> None:
    made = make_renderer({"renderer": renderer}, ShapeKind.LINES, 1)

    assert told in " ".join(made.problems)
    assert made.class_of(()) == 0


def test_what_follows_values_by_degrees_is_told() -> None:
    renderer = unique("oak", visualVariables=[{"type": "sizeInfo"}])

    made = make_renderer({"renderer": renderer}, ShapeKind.POINTS, 0)

    assert "sizes" in " ".join(made.problems)
    assert made.class_of(("oak",)) == 0
