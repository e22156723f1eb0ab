"""Drawing an offline map: from its rows to one SVG file, feature by feature."""

import math
from dataclasses import dataclass
from typing import BinaryIO

from device.drawing.legend import Legend
from device.drawing.marks import RADIUS_PX, STEP_PX, Mark, MarkWriter
from device.drawing.page import (
    Page,
    make_page,
    write_area,
    write_definitions,
    write_furniture,
)
from device.drawing.paths import PathMaker, Point, extent_px, middle_of, path_data
from device.drawing.plan import LayerPlan, Plan, converted
from device.drawing.projection import Box
from device.drawing.records import Marked, marked_rows
from device.drawing.references import Convert
from device.drawing.renderers import OTHER
from device.drawing.spots import Spots
from device.drawing.svg import Svg, tag
from engine import FeatureTable, Geodatabase, OfflineMap, Shape, ShapeKind

_DOT = "h.8v.8h-.8z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What is in a drawing. ``marks_outside`` are counted in ``marks``, but not in the picture;
    so are those of rows ``in_tables`` without geometries."""

    width: float
    height: float
    shown: Box
    marks: dict[Mark, int]
    marks_outside: int
    in_tables: int
    photos: int


class Drawing:
    """Writes a plan of an open map to ``stream``, as one SVG document."""

    def __init__(self, map_: OfflineMap, plan: Plan, stream: BinaryIO) -> None:
        self._map = map_
        self._plan = plan
        self._svg = Svg(stream)
        self._marks = MarkWriter(self._svg)
        self._in_tables = 0

    async def write(self, width: int) -> Drawn:
        """Write the document, ``width`` pixels wide."""
        plan, svg = self._plan, self._svg
        legend = await self._legend()
        page = make_page(plan, width, legend.height)
        self._paths, self._frame = PathMaker(page.projection), page.frame
        title = self._map.info.title or self._map.folder.name
        with svg.inside(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "xmlns:xlink": "http://www.w3.org/1999/xlink",
                "version": "1.1",
                "width": page.width,
                "height": page.height,
                "viewBox": f"0 0 {page.width:g} {page.height:g}",
            },
        ):
            write_definitions(svg, page, plan.drawn, title)
            with svg.inside("g", {"clip-path": "url(#frame)"}):
                for one in plan.drawn:
                    await self._write_layer(one)
                if plan.area is not None:
                    write_area(svg, page, plan.area)
                await self._write_marks()
            for mark, count in legend.marks.items():
                self._marks.counts[mark] += count
            legend.marks = self._marks.counts
            write_furniture(svg, page, title, self._subtitle(legend))
            legend.write(svg, page.legend_left, page.frame.top, page.legend_width)
        svg.flush()
        return self._drawn(page, legend)

    def _drawn(self, page: Page, legend: Legend) -> Drawn:
        return Drawn(
            width=page.width,
            height=page.height,
            shown=page.projection.shown,
            marks=legend.marks,
            marks_outside=self._marks.outside,
            in_tables=self._in_tables,
            photos=legend.photos,
        )

    # --- features ---------------------------------------------------------------------------------

    async def _write_layer(self, one: LayerPlan) -> None:
        attributes: dict[str, object] = {"id": f"layer-{one.number}"}
        if one.opacity < 1:
            attributes["opacity"] = one.opacity
        spots = Spots()
        with self._svg.inside("g", attributes):
            async for symbol_class, shape in one.rows():
                if shape is None:
                    one.without_shape += 1
                elif one.kind is ShapeKind.POINTS:
                    self._write_points(one, symbol_class, shape, spots)
                else:
                    self._write_path(one, symbol_class, shape, spots)

    def _write_points(self, one: LayerPlan, symbol_class: int, shape: Shape, spots: Spots) -> None:
        points = self._paths.points(shape)
        _count(one, symbol_class, is_shown=bool(points))
        if symbol_class == OTHER or symbol_class not in one.seen:
            return
        name = one.name_of(symbol_class)
        for x, y in points:
            if spots.take(symbol_class, x, y):
                self._svg.line(f'<use xlink:href="#{name}" x="{x:.1f}" y="{y:.1f}"/>')

    def _write_path(self, one: LayerPlan, symbol_class: int, shape: Shape, spots: Spots) -> None:
        pieces = self._paths.pieces(shape)
        _count(one, symbol_class, is_shown=bool(pieces))
        if not pieces or symbol_class == OTHER or symbol_class not in one.seen:
            return
        name = one.name_of(symbol_class)
        if extent_px(pieces) < 1:
            x, y = pieces[0][0]
            if spots.take(symbol_class, x, y):
                self._svg.line(f'<path class="{name}" d="M{x:.1f} {y:.1f}{_DOT}"/>')
            return
        data = path_data(pieces, closed=one.kind is ShapeKind.RINGS)
        self._svg.line(f'<path class="{name}" d="{data}"/>')

    # --- marks ------------------------------------------------------------------------------------

    async def _write_marks(self) -> None:
        for table, convert in self._plan.feature_tables:
            geodatabase = self._home_of(table)
            with self._svg.inside("g", {"id": f"marks-{table.layer_id}-{geodatabase.path.stem}"}):
                async for row in marked_rows(geodatabase, table):
                    self._write_mark(row, convert)

    def _write_mark(self, row: Marked, convert: Convert | None) -> None:
        reference = self._plan.reference
        shape = converted(row.shape, convert, reference)
        place = None if shape is None else self._outline(shape, row)
        before = converted(row.before, convert, reference)
        if before is not None:
            self._write_ghost(before, place)
        if place is not None and shape is not None and shape.kind is ShapeKind.POINTS:
            place = (place[0] + RADIUS_PX + 3, place[1] - RADIUS_PX - 3)  # beside the symbol
        self._marks.write(row.marks, None if place is None else self._inside(place, row))

    def _inside(self, place: Point, row: Marked) -> Point:
        """The place for a row's marks, moved so that the frame cuts none of them off."""
        frame, edge = self._frame, RADIUS_PX + 3
        across = (len(row.marks) - 1) * STEP_PX
        x = max(min(place[0], frame.right - edge - across), frame.left + edge)
        return x, max(min(place[1], frame.bottom - edge), frame.top + edge)

    def _outline(self, shape: Shape, row: Marked) -> Point | None:
        """Draw a line around or along what is marked; give the place for its marks."""
        name = (row.edit or row.marks[0][0]).value
        if shape.kind is ShapeKind.POINTS:
            points = self._paths.points(shape)
            for x, y in points[:1]:
                self._svg.line(tag("circle", {"class": name, "cx": x, "cy": y, "r": 10}))
            return points[0] if points else None
        pieces = self._paths.pieces(shape)
        if not pieces:
            return None
        data = path_data(pieces, closed=shape.kind is ShapeKind.RINGS)
        self._svg.line(tag("path", {"class": name, "d": data}))
        return middle_of(pieces, shape.kind)

    def _write_ghost(self, before: Shape, now: Point | None) -> None:
        """Where a feature was; of a point with a line to where it is."""
        if before.kind is not ShapeKind.POINTS:
            data = path_data(self._paths.pieces(before), closed=before.kind is ShapeKind.RINGS)
            if data:
                self._svg.line(tag("path", {"class": "ghost", "d": data}))
            return
        for place in self._paths.points(before)[:1]:
            self._svg.line(
                tag("circle", {"class": "ghost", "cx": place[0], "cy": place[1], "r": 5})
            )
            if now is not None and math.dist(place, now) > 2:
                ends = {"x1": place[0], "y1": place[1], "x2": now[0], "y2": now[1]}
                self._svg.line(tag("line", {"class": "ghost", **ends}))

    def _home_of(self, table: FeatureTable) -> Geodatabase:
        return next(g for g in self._map.geodatabases if table in g.feature_tables)

    # --- what else is told ------------------------------------------------------------------------

    async def _legend(self) -> Legend:
        """All but the counts that come while the map is drawn."""
        plan = self._plan
        legend = Legend(
            layers=plan.layers,
            missing=[one.title for one in plan.missing],
            has_area=plan.area is not None,
        )
        for table, _ in plan.feature_tables:
            legend.photos += await _photos(table)
        for one in plan.tables:
            found = one.feature_table
            assert found is not None
            counts = dict.fromkeys(Mark, 0)
            async for row in marked_rows(self._home_of(found), found):
                for mark, _ in row.marks:
                    counts[mark] += 1
            legend.photos += await _photos(found)
            self._in_tables += sum(counts.values())
            told = ", ".join(f"{count} {mark.value}" for mark, count in counts.items() if count)
            legend.tables.append((one.title, await found.count(), f"({told})" if told else ""))
            for mark, count in counts.items():
                legend.marks[mark] = legend.marks.get(mark, 0) + count
        return legend

    def _subtitle(self, legend: Legend) -> str:
        times = [g.replica.last_sync_at for g in self._map.geodatabases]
        synced = sorted(time for time in times if time is not None)
        if not synced:
            first = f"Never synced; taken {_minute(self._map.info.taken_at)}"
        elif len(synced) < len(times):
            first = f"Last sync {_minute(synced[0])}, of some services never"
        else:
            first = f"Last sync {_minute(synced[0])}"
        marks = legend.marks
        edits = sum(marks[mark] for mark in (Mark.ADDED, Mark.UPDATED, Mark.DELETED))
        return "  ·  ".join(
            [
                first,
                f"{edits} edit{'' if edits == 1 else 's'} to send",
                f"{marks[Mark.CONFLICT]} conflict{'' if marks[Mark.CONFLICT] == 1 else 's'}",
                f"{marks[Mark.QUARANTINED]} refused",
            ]
        )


def _count(one: LayerPlan, symbol_class: int, *, is_shown: bool) -> None:
    if is_shown:
        one.drawn[symbol_class] = one.drawn.get(symbol_class, 0) + 1
    else:
        one.outside += 1


async def _photos(table: FeatureTable) -> int:
    """Attachments that the service does not have as they are here; 0 if nobody can tell."""
    if table.error is not None or not table.has_attachments:
        return 0
    return (await table.attachment_edit_counts()).total


def _minute(time: str) -> str:
    """``2026-11-20T09:30:12.345Z`` → ``2026-11-20 09:30 UTC``."""
    return f"{time[:16].replace('T', ' ')} UTC" if len(time) >= 16 else time
