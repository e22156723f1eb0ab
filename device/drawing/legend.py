"""The legend: every layer with its symbols and how many features have them, and the marks."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from device.drawing.marks import Mark, mark_at
from device.drawing.plan import LayerPlan
from device.drawing.renderers import OTHER
from device.drawing.svg import Svg, tag
from device.drawing.text import text
from engine import ShapeKind

ROW_PX, HEADING_PX = 21.0, 34.0
_SWATCH_PX = 26.0
_MOST_CLASSES = 14
_GREY = "#767676"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the legend. ``swatch`` is drawn around 0,0; ``height`` counts its own gap in."""

    label: str
    value: str = ""
    swatch: str = ""
    indent: float = 0.0
    is_bold: bool = False
    is_grey: bool = False
    height: float = ROW_PX


@dataclass(slots=True, kw_only=True)
class Legend:
    """What the legend tells. How high it is does not depend on any count."""

    layers: list[LayerPlan]
    tables: list[tuple[str, int, str]] = field(default_factory=list)
    """Title, rows, and what is pending, of tables without geometries."""
    missing: list[str] = field(default_factory=list)
    marks: dict[Mark, int] = field(default_factory=dict)
    photos: int = 0
    has_area: bool = False

    @property
    def height(self) -> float:
        return sum(row.height for row in self._rows())

    def write(self, svg: Svg, left: float, top: float, width: float) -> None:
        """Write it at its place on the page."""
        y = top
        for row in self._rows():
            y += row.height
            x = left + row.indent
            base = y - 6
            if row.swatch:
                centre = {"transform": f"translate({x + _SWATCH_PX / 2:.1f} {base - 4.5:.1f})"}
                svg.line(tag("g", centre, row.swatch))
                x += _SWATCH_PX + 8
            color = _GREY if row.is_grey else "#222"
            weight = "bold" if row.is_bold else ""
            room = left + width - x - (len(row.value) * 8 + 10 if row.value else 0)
            svg.line(text(x, base, row.label, color=color, weight=weight, room=room))
            if row.value:
                svg.line(text(left + width, base, row.value, color=color, anchor="end"))

    def _rows(self) -> Iterator[Row]:
        yield _heading("Layers", height=ROW_PX)
        for one in reversed(self.layers):
            yield from _layer_rows(one)
        if not self.layers:
            yield Row(label="none on this device", is_grey=True)
        for title in self.missing:
            yield Row(label=title, value="not here", is_grey=True)
        if self.tables:
            yield _heading("Tables")
            for title, rows, pending in self.tables:
                yield Row(label=f"{title} {pending}".rstrip(), value=_count(rows))
        yield _heading("On this device")
        for mark in Mark:
            count = self.marks.get(mark, 0)
            yield Row(
                label=mark.label,
                value=_count(count),
                swatch=mark_at(mark, 0, 0),
                is_grey=not count,
                height=ROW_PX + 4,
            )
        yield Row(
            label="photos to send", value=_count(self.photos), indent=34, is_grey=not self.photos
        )
        if self.has_area:
            line = {"class": "area", "x": -12, "y": -8, "width": 24, "height": 16}
            yield Row(label="the area that was taken", swatch=tag("rect", line), height=ROW_PX + 4)


def swatch(kind: ShapeKind, name: str, size_px: float) -> str:
    """A class of symbols, small enough for its line."""
    if kind is ShapeKind.POINTS:
        use: dict[str, object] = {"xlink:href": f"#{name}"}
        if size_px > ROW_PX - 1:
            use["transform"] = f"scale({(ROW_PX - 1) / size_px:.3f})"
        return tag("use", use)
    if kind is ShapeKind.LINES:
        return tag("path", {"class": name, "d": "M-13 3l8-6 8 5 10-5"})
    return tag("path", {"class": name, "d": "M-12-7h24v14h-24z"})


def _layer_rows(one: LayerPlan) -> Iterator[Row]:
    title, count = one.title, _count(one.features)
    if not one.is_drawn:
        yield Row(label=title, value="not drawn" if one.convert is None else "hidden", is_grey=True)
        return
    used, classes = one.used, one.renderer.classes
    if len(classes) == 1 and not classes[0].label:
        symbol = classes[0].symbol
        shown = swatch(one.kind, one.name_of(0), symbol.size_px)
        yield Row(label=title, value=count, swatch=shown, height=ROW_PX + 3)
        return
    yield Row(label=title, value=count, is_bold=True, height=ROW_PX + 3)
    for symbol_class in used[:_MOST_CLASSES]:
        found = classes[symbol_class]
        yield Row(
            label=found.label or "(empty)",
            value=_count(one.drawn.get(symbol_class, 0)),
            swatch=swatch(one.kind, one.name_of(symbol_class), found.symbol.size_px),
            indent=8,
        )
    if len(used) > _MOST_CLASSES:
        rest = sum(one.drawn.get(at, 0) for at in used[_MOST_CLASSES:])
        label = f"{len(used) - _MOST_CLASSES} more"
        yield Row(label=label, value=_count(rest), indent=42, is_grey=True)
    if OTHER in one.seen:
        rest = one.drawn.get(OTHER, 0)
        yield Row(label="no symbol", value=_count(rest), indent=42, is_grey=True)


def _heading(label: str, height: float = HEADING_PX) -> Row:
    return Row(label=label, is_bold=True, height=height)


def _count(number: int) -> str:
    """With thin gaps between thousands."""
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
