"""Shapes as SVG path data: clipped to the page, and without vertices that no pixel shows."""

import math
from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise

from device.drawing.projection import Projection
from engine import Shape, ShapeKind

LEAST_PX = 0.7
"""Vertices nearer than this to the last one that was kept are left out."""

_PAD_PX = 24.0
"""So far beyond the frame paths go on, so that the line along the cut stays out of sight."""

Point = tuple[float, float]
Path = list[Point]


class PathMaker:
    """Makes the paths of one projection."""

    def __init__(self, projection: Projection) -> None:
        self._projection = projection
        frame = projection.frame
        self._left, self._right = frame.left - _PAD_PX, frame.right + _PAD_PX
        self._top, self._bottom = frame.top - _PAD_PX, frame.bottom + _PAD_PX

    def points(self, shape: Shape) -> list[Point]:
        """The points of the shape that are in the frame."""
        frame = self._projection.frame
        return [
            (x, y)
            for part in shape.parts
            for x, y in self._pixels(part)
            if frame.left <= x <= frame.right and frame.top <= y <= frame.bottom
        ]

    def pieces(self, shape: Shape) -> list[Path]:
        """What of the lines or rings is on the page, piece by piece; rings are not closed."""
        if not self._is_in_frame(shape):
            return []
        found: list[Path] = []
        for part in shape.parts:
            path, is_inside = self._thinned(part)
            if shape.kind is ShapeKind.RINGS:
                if not is_inside:
                    path = self._clipped_ring(path)
                if len(path) > 1 and path[0] == path[-1]:
                    path.pop()
                if path:
                    found.append(path)
            elif is_inside:
                found.append(path)
            else:
                found += self._clipped_line(path)
        return found

    def _is_in_frame(self, shape: Shape) -> bool:
        xmin, ymin, xmax, ymax = shape.bounds
        left, bottom = self._projection.pixel(xmin, ymin)
        right, top = self._projection.pixel(xmax, ymax)
        frame = self._projection.frame
        return (
            left <= frame.right
            and right >= frame.left
            and top <= frame.bottom
            and bottom >= frame.top
        )

    def _pixels(self, part: "array[float]") -> Iterator[Point]:
        one = self._projection
        ax, bx, ay, by = one.scale_x, one.offset_x, one.scale_y, one.offset_y
        for x, y in zip(part[::2], part[1::2], strict=True):
            yield x * ax + bx, y * ay + by

    def _thinned(self, part: "array[float]") -> tuple[Path, bool]:
        """The vertices that matter, and whether all of them are on the page.

        Of neighbours that lie beyond the same side of the page only the first and the last are
        kept: what runs between them runs beyond that side, too.
        """
        left, right, top, bottom = self._left, self._right, self._top, self._bottom
        kept: Path = []
        last: Point | None = None
        near_x = near_y = math.inf
        beyond, is_inside = 0, True
        for point in self._pixels(part):
            x, y = point
            side = (x < left) | (x > right) << 1 | (y < top) << 2 | (y > bottom) << 3
            if side:
                is_inside = False
                if beyond & side:
                    beyond &= side
                    last = point
                    continue
            elif not beyond and abs(x - near_x) < LEAST_PX and abs(y - near_y) < LEAST_PX:
                last = point
                continue
            if last is not None and (side or beyond):
                kept.append(last)
            kept.append(point)
            near_x, near_y, beyond, last = x, y, side, None
        if last is not None:
            kept.append(last)
        return kept, is_inside

    def _clipped_ring(self, ring: Path) -> Path:
        """Sutherland and Hodgman: cut along one side of the page after the other."""
        for axis, limit, sign in (
            (0, self._left, 1.0),
            (0, self._right, -1.0),
            (1, self._top, 1.0),
            (1, self._bottom, -1.0),
        ):
            if not ring:
                break
            cut: Path = []
            before = ring[-1]
            was_in = (before[axis] - limit) * sign >= 0
            for point in ring:
                is_in = (point[axis] - limit) * sign >= 0
                if is_in != was_in:
                    cut.append(_crossing(before, point, axis, limit))
                if is_in:
                    cut.append(point)
                before, was_in = point, is_in
            ring = cut
        return ring

    def _clipped_line(self, line: Path) -> list[Path]:
        """Liang and Barsky, segment by segment; a piece for each time it enters the page."""
        pieces: list[Path] = []
        for start, end in pairwise(line):
            part = self._clipped_segment(start, end)
            if part is None:
                continue
            if pieces and pieces[-1][-1] == part[0]:
                pieces[-1].append(part[1])
            else:
                pieces.append([*part])
        return pieces

    def _clipped_segment(self, start: Point, end: Point) -> tuple[Point, Point] | None:
        (x, y), dx, dy = start, end[0] - start[0], end[1] - start[1]
        first, last = 0.0, 1.0
        for step, room in (
            (-dx, x - self._left),
            (dx, self._right - x),
            (-dy, y - self._top),
            (dy, self._bottom - y),
        ):
            if step == 0:
                if room < 0:
                    return None
            elif step < 0:
                first = max(first, room / step)
            else:
                last = min(last, room / step)
        if first > last:
            return None
        a = start if first == 0 else (x + first * dx, y + first * dy)
        b = end if last == 1 else (x + last * dx, y + last * dy)
        return a, b


def path_data(pieces: Sequence[Path], *, closed: bool) -> str:
    """The ``d`` of a path, to a tenth of a pixel."""
    parts: list[str] = []
    for piece in pieces:
        x, y = round(piece[0][0] * 10), round(piece[0][1] * 10)
        parts += ("M", _tenths(x), _next(y))
        is_first = True
        for point in piece[1:]:
            next_x, next_y = round(point[0] * 10), round(point[1] * 10)
            if next_x == x and next_y == y:
                continue
            if is_first:
                parts += ("l", _tenths(next_x - x), _next(next_y - y))
            else:
                parts += (_next(next_x - x), _next(next_y - y))
            x, y, is_first = next_x, next_y, False
        if closed:
            parts.append("z")
        elif is_first:
            parts.append("h.1")  # a line too short to be one is a dot
    return "".join(parts)


def extent_px(pieces: Sequence[Path]) -> float:
    """The larger side of the box around the pieces."""
    xs = [x for piece in pieces for x, _ in piece]
    ys = [y for piece in pieces for _, y in piece]
    return max(max(xs) - min(xs), max(ys) - min(ys))


def middle_of(pieces: Sequence[Path], kind: ShapeKind) -> Point:
    """A point on the line, or in the middle of the largest ring, where a mark can stand."""
    if kind is ShapeKind.RINGS:
        return _centre(max(pieces, key=lambda ring: abs(_doubled_area(ring))))
    return _halfway(max(pieces, key=_length))


def _crossing(a: Point, b: Point, axis: int, limit: float) -> Point:
    part = (limit - a[axis]) / (b[axis] - a[axis])
    other = 1 - axis
    along = a[other] + part * (b[other] - a[other])
    return (limit, along) if axis == 0 else (along, limit)


def _tenths(value: int) -> str:
    whole, tenth = divmod(abs(value), 10)
    text = f"{whole or ''}.{tenth}" if tenth else str(whole)
    return f"-{text}" if value < 0 else text


def _next(value: int) -> str:
    """The same behind another number: a minus parts them as well as a space does."""
    text = _tenths(value)
    return text if value < 0 else f" {text}"


def _doubled_area(ring: Path) -> float:
    return sum(x * ny - nx * y for (x, y), (nx, ny) in zip(ring, [*ring[1:], ring[0]], strict=True))


def _centre(ring: Path) -> Point:
    """The centre of gravity; of a ring without an area its first vertex."""
    area = _doubled_area(ring)
    if abs(area) < 1e-6:
        return ring[0]
    x0, y0 = ring[0]
    x = y = 0.0
    for (ax, ay), (bx, by) in zip(ring, [*ring[1:], ring[0]], strict=True):
        cross = (ax - x0) * (by - y0) - (bx - x0) * (ay - y0)
        x += (ax + bx - 2 * x0) * cross
        y += (ay + by - 2 * y0) * cross
    return x0 + x / (3 * area), y0 + y / (3 * area)


def _length(line: Path) -> float:
    return sum(math.dist(a, b) for a, b in pairwise(line))


def _halfway(line: Path) -> Point:
    left = _length(line) / 2
    for a, b in pairwise(line):
        step = math.dist(a, b)
        if step >= left and step > 0:
            part = left / step
            return a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1])
        left -= step
    return line[0]
