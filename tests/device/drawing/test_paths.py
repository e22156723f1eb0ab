"""Paths: clipped and thinned, they still show what the shape shows."""

import math
import re
from array import array
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings, strategies as st

from device.drawing.paths import Path, PathMaker, Point, extent_px, middle_of, path_data
from device.drawing.projection import Frame, Projection, aspect, nice_length, with_room
from device.drawing.references import converter, is_geographic, metres_per_unit, name_of
from device.drawing.spots import Spots
from engine import Shape, ShapeKind, SpatialReference

FRAME = Frame(left=0, top=0, width=400, height=300)
MERCATOR, WGS84 = SpatialReference.of(3857), SpatialReference.of(4326)
# One unit is a pixel, 0,0 the lower left corner of the frame.
PLAIN = Projection(frame=FRAME, reference=MERCATOR, scale_x=1, scale_y=-1, offset_x=0, offset_y=300)
NEAR = st.integers(-60_000, 460_000).map(lambda n: n / 1000)
FAR = st.integers(-(10**10), 10**10).map(lambda n: n / 1000)
VERTICES = st.lists(st.tuples(NEAR | FAR, NEAR | FAR), min_size=3, max_size=12)


def shape(kind: ShapeKind, *parts: list[Point]) -> Shape:
    return Shape(kind, tuple(array("d", [n for point in part for n in point]) for part in parts))


def on_page(points: list[Point]) -> Path:
    return [PLAIN.pixel(*point) for point in points]


def is_inside(rings: list[Path], x: float, y: float) -> bool:
    """By how often a ray to the right meets an edge."""
    found = False
    for ring in rings:
        for (ax, ay), (bx, by) in pairwise([*ring, ring[0]]):
            if (ay > y) != (by > y) and x < ax + (y - ay) / (by - ay) * (bx - ax):
                found = not found
    return found


def distance(x: float, y: float, a: Point, b: Point) -> float:
    length = math.dist(a, b)
    if length == 0:
        return math.dist((x, y), a)
    part = ((x - a[0]) * (b[0] - a[0]) + (y - a[1]) * (b[1] - a[1])) / length**2
    part = min(max(part, 0.0), 1.0)
    return math.dist((x, y), (a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1])))


def parsed(data: str) -> list[Path]:
    """The pieces in the ``d`` of a path."""
    found: list[Path] = []
    for piece in re.findall(r"M[^M]*", data):
        numbers = [float(n) for n in re.findall(r"-?\d*\.?\d+", piece.replace("h.1", ""))]
        x, y = numbers[:2]
        path = [(x, y)]
        for dx, dy in zip(numbers[2::2], numbers[3::2], strict=True):
            x, y = x + dx, y + dy
            path.append((x, y))
        found.append(path)
    return found


@given(VERTICES, st.lists(st.tuples(st.floats(0, 400), st.floats(0, 300)), min_size=8, max_size=8))
@settings(max_examples=150, deadline=None)
def test_an_area_covers_what_it_covered(ring: list[Point], spots: list[Point]) -> None:
    whole = on_page(ring)

    pieces = PathMaker(PLAIN).pieces(shape(ShapeKind.RINGS, [*ring, ring[0]]))
    drawn = parsed(path_data(pieces, closed=True))

    for x, y in spots:
        if all(distance(x, y, a, b) > 1.5 for a, b in pairwise([*whole, whole[0]])):
            assert is_inside(drawn, x, y) == is_inside([whole], x, y)


@given(VERTICES)
@settings(max_examples=150, deadline=None)
def test_a_line_runs_where_it_ran(line: list[Point]) -> None:
    whole = on_page(line)

    pieces = PathMaker(PLAIN).pieces(shape(ShapeKind.LINES, line))
    drawn = parsed(path_data(pieces, closed=False))

    edges = [edge for piece in drawn for edge in pairwise([*piece, piece[-1]])]
    for a, b in pairwise(whole):
        for step in range(11):
            x, y = a[0] + (b[0] - a[0]) * step / 10, a[1] + (b[1] - a[1]) * step / 10
            if 0 <= x <= 400 and 0 <= y <= 300:
                assert min(distance(x, y, *edge) for edge in edges) < 1
    for piece in drawn:
        for x, y in piece:
            assert min(distance(x, y, *edge) for edge in pairwise(whole)) < 1


@given(VERTICES, st.sampled_from([ShapeKind.LINES, ShapeKind.RINGS]))
@settings(deadline=None)
def test_numbers_of_a_path_are_next_to_the_page(vertices: list[Point], kind: ShapeKind) -> None:
    pieces = PathMaker(PLAIN).pieces(shape(kind, vertices))

    for piece in pieces:
        assert all(-25 <= x <= 425 and -25 <= y <= 325 for x, y in piece)


def test_a_long_coast_has_no_more_vertices_than_pixels() -> None:
    coast = [(n / 1000, 100 + math.sin(n / 50_000) * 50) for n in range(200_000)]

    (piece,) = PathMaker(PLAIN).pieces(shape(ShapeKind.LINES, coast))

    assert len(piece) < 400
    assert piece[0] == PLAIN.pixel(*coast[0])
    assert piece[-1] == PLAIN.pixel(*coast[-1])


def test_what_lies_beyond_the_page_has_no_path() -> None:
    maker = PathMaker(PLAIN)

    assert maker.pieces(shape(ShapeKind.LINES, [(500, 0), (900, 300)])) == []
    assert maker.pieces(shape(ShapeKind.RINGS, [(-9, -9), (-9, -5), (-5, -5)])) == []
    assert maker.points(shape(ShapeKind.POINTS, [(-1, 5), (5, 5), (401, 5)])) == [(5, 295)]


def test_a_line_that_leaves_and_comes_back_is_in_pieces() -> None:
    line = [(10.0, 10.0), (900.0, 10.0), (900.0, 200.0), (10.0, 200.0)]

    pieces = PathMaker(PLAIN).pieces(shape(ShapeKind.LINES, line))

    assert len(pieces) == 2


def test_a_mark_stands_on_the_shape() -> None:
    square = [[(0.0, 0.0), (0.0, 10.0), (10.0, 10.0), (10.0, 0.0)]]
    line = [[(0.0, 0.0), (1.0, 1.0)], [(5.0, 0.0), (15.0, 0.0), (15.0, 2.0)]]

    assert middle_of(square, ShapeKind.RINGS) == (5, 5)
    assert middle_of([[(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]], ShapeKind.RINGS) == (1, 1)
    assert middle_of(line, ShapeKind.LINES) == (11, 0)
    assert extent_px(square) == 10


def test_each_pixel_is_taken_once_by_each_group() -> None:
    spots = Spots()

    assert spots.take(0, 5.2, 7.9)
    assert not spots.take(0, 5.9, 7.1)
    assert spots.take(1, 5.2, 7.9)
    assert spots.take(0, 6.0, 7.9)


# --- projections ----------------------------------------------------------------------------------

BOXES = st.tuples(*[st.floats(-80, 80)] * 4)


@given(BOXES, st.sampled_from([MERCATOR, WGS84]))
def test_a_box_is_shown_whole(edges: tuple[float, ...], reference: SpatialReference) -> None:
    xmin, xmax = sorted(edges[:2])
    ymin, ymax = sorted(edges[2:])
    box = with_room((xmin, ymin, xmax, ymax), reference)

    shown = Projection.fit(box, reference, FRAME).shown

    slack = 1e-6
    assert shown[0] <= box[0] + slack
    assert shown[1] <= box[1] + slack
    assert shown[2] >= box[2] - slack
    assert shown[3] >= box[3] - slack


@given(st.floats(-179, 179), st.floats(-85, 85))
def test_degrees_become_metres_and_back(x: float, y: float) -> None:
    there, back = converter(WGS84, MERCATOR), converter(MERCATOR, WGS84)
    assert there
    assert back

    assert [*back(there(array("d", [x, y])))] == pytest.approx([x, y], abs=1e-9)


def test_web_mercator_has_its_known_place() -> None:
    there = converter(WGS84, MERCATOR)
    assert there

    assert [*there(array("d", [180, 85.05112878]))] == pytest.approx([20037508.34, 20037508.34])
    assert [*there(array("d", [0, 90]))][1] < 1e9


@pytest.mark.parametrize(("wkid", "is_known"), [(4269, True), (102100, True), (2056, False)])
def test_references_that_are_known_go_into_web_mercator(wkid: int, is_known: bool) -> None:
    assert (converter(SpatialReference.of(wkid), MERCATOR) is not None) == is_known


def test_a_length_on_the_ground_follows_the_latitude() -> None:
    y = 6378137 * math.asinh(math.tan(math.radians(60)))

    assert metres_per_unit(MERCATOR, 0, y) == pytest.approx(0.5)
    assert metres_per_unit(WGS84, 0, 60) == pytest.approx(111319.49, abs=0.01)
    assert metres_per_unit(SpatialReference.of(32632), 0, 0) == 1
    assert metres_per_unit(SpatialReference.of(2230), 0, 0) is None
    foot = 'PROJCS["x",GEOGCS["y",UNIT["Degree",0.0174]],UNIT["Foot_US",0.3048006]]'
    assert metres_per_unit(SpatialReference(wkid=0, latest=0, wkt=foot), 0, 0) == 0.3048006


def test_degrees_are_narrower_away_from_the_equator() -> None:
    assert is_geographic(WGS84)
    assert aspect((0, 59.5, 1, 60.5), WGS84) == pytest.approx(2, abs=0.01)
    assert aspect((0, 59.5, 1, 60.5), MERCATOR) == 1


@given(st.floats(1e-6, 1e9))
def test_a_scale_bar_has_a_round_length(most: float) -> None:
    found = nice_length(most)

    assume(math.isfinite(found))
    assert most / 2.5 <= found * (1 + 1e-9)
    assert found <= most * (1 + 1e-9)
    assert f"{found:e}"[0] in "125"


def test_references_have_names_for_people() -> None:
    assert name_of(MERCATOR) == "Web Mercator (3857)"
    assert name_of(SpatialReference.of(2056)) == "spatial reference 2056"
    wkt = SpatialReference(wkid=0, latest=0, wkt='PROJCS["My_City_Grid",…]')
    assert name_of(wkt) == "My City Grid"
