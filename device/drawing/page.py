"""The page around the map: title, frame, scale bar, north arrow, what the picture is of."""

from dataclasses import dataclass

from device.drawing.marks import CSS as MARK_CSS, GHOST_CSS, definitions
from device.drawing.plan import LayerPlan, Plan
from device.drawing.projection import Box, Frame, Projection, aspect, nice_length, with_room
from device.drawing.references import name_of
from device.drawing.svg import Svg, escaped, number, tag
from device.drawing.text import text
from engine import ShapeKind

DEFAULT_WIDTH = 1200
_MARGIN, _HEAD, _FOOT = 24.0, 76.0, 58.0
_LEGEND = 300.0
_FLATTEST, _STEEPEST = 0.45, 1.25
_EVERYWHERE: Box = (-180.0, -90.0, 180.0, 90.0)

_CSS = (
    "text{font-family:Helvetica,Arial,'DejaVu Sans',sans-serif}"
    ".area{fill:none;stroke:#333;stroke-width:1.5;stroke-dasharray:10 5}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """How large the page is, and where its parts are. ``is_empty``: there is nothing to show."""

    width: float
    height: float
    legend_left: float
    legend_width: float
    projection: Projection
    is_empty: bool

    @property
    def frame(self) -> Frame:
        return self.projection.frame


def make_page(plan: Plan, width: int, legend_height: float) -> Page:
    """A page for the plan's box, so many pixels wide; its height follows from what it shows."""
    legend = min(_LEGEND, width * 0.36)
    map_width = width - legend - 3 * _MARGIN
    box = with_room(plan.box or _EVERYWHERE, plan.reference)
    steepness = min(max(aspect(box, plan.reference), _FLATTEST), _STEEPEST)
    beside = min(legend_height + _MARGIN - _FOOT, map_width * _STEEPEST)  # no gap below the map
    height = round(max(map_width * steepness, beside))
    frame = Frame(left=_MARGIN, top=_HEAD, width=map_width, height=height)
    return Page(
        width=width,
        height=max(frame.bottom + _FOOT, _HEAD + legend_height + _MARGIN),
        legend_left=frame.right + _MARGIN,
        legend_width=legend,
        projection=Projection.fit(box, plan.reference, frame),
        is_empty=plan.box is None,
    )


def write_definitions(svg: Svg, page: Page, layers: list[LayerPlan], title: str) -> None:
    """What the elements of the drawing refer to: symbols, patterns, the edge of the map."""
    frame = page.frame
    svg.line(tag("title", None, escaped(" ".join(title.split())[:500])))
    styles = [_CSS, MARK_CSS, GHOST_CSS]
    elements = [definitions()]
    for one in layers:
        for symbol_class in one.used:
            name, symbol = one.name_of(symbol_class), one.renderer.classes[symbol_class].symbol
            if one.kind is ShapeKind.POINTS:
                elements.append(tag("g", {"id": name}, symbol.marker))
                continue
            styles.append(f".{name}{{{symbol.css.replace('{id}', f'{name}p')};fill-rule:evenodd}}")
            if symbol.pattern:
                elements.append(symbol.pattern.replace("{id}", f"{name}p"))
    sides = {"x": frame.left, "y": frame.top, "width": frame.width, "height": frame.height}
    elements.append(tag("clipPath", {"id": "frame"}, tag("rect", sides)))
    svg.line(tag("style", None, "\n".join(styles)))
    with svg.inside("defs"):
        for element in elements:
            svg.line(element)
    svg.line(tag("rect", {"width": page.width, "height": page.height, "fill": "#fff"}))
    svg.line(tag("rect", {**sides, "fill": "#f5f3ee"}))


def write_area(svg: Svg, page: Page, area: Box) -> None:
    """The edge of the area that was taken."""
    left, top = page.projection.pixel(area[0], area[3])
    right, bottom = page.projection.pixel(area[2], area[1])
    # Far beyond the page its place does not matter, but renderers count in limited numbers.
    frame = page.frame
    left, right = max(left, frame.left - 99), min(right, frame.right + 99)
    top, bottom = max(top, frame.top - 99), min(bottom, frame.bottom + 99)
    if left < right and top < bottom:
        box = {"x": left, "y": top, "width": right - left, "height": bottom - top}
        svg.line(tag("rect", {"class": "area", **box}))


def write_furniture(svg: Svg, page: Page, title: str, subtitle: str) -> None:
    """Everything around the map, once it is known what there was to tell."""
    frame, room = page.frame, page.width - 2 * _MARGIN - 50
    svg.line(text(_MARGIN, 36, title, size=22, weight="bold", room=room))
    svg.line(text(_MARGIN, 59, subtitle, size=14, color="#444", room=room))
    sides = {"x": frame.left, "y": frame.top, "width": frame.width, "height": frame.height}
    svg.line(tag("rect", {**sides, "fill": "none", "stroke": "#777"}))
    if page.is_empty:
        middle = (frame.left + frame.width / 2, frame.top + frame.height / 2)
        svg.line(text(*middle, "There are no features to draw", color="#666", anchor="middle"))
    svg.line(_north(page.width - 40, 32))  # beside the map: nothing on it may be hidden
    _write_scale_bar(svg, page, frame.left, frame.bottom + 20)
    svg.line(
        text(
            frame.right,
            frame.bottom + 30,
            name_of(page.projection.reference),
            size=11,
            color="#666",
            anchor="end",
            room=frame.width * 0.5,
        )
    )


def _north(x: float, y: float) -> str:
    arrow = tag(
        "path", {"d": "M0-22L8 8L0 3L-8 8z", "fill": "#333", "stroke": "#fff", "stroke_width": 1}
    )
    letter = text(0, 24, "N", size=14, weight="bold", anchor="middle")
    return tag("g", {"transform": f"translate({number(x)} {number(y)})"}, arrow + letter)


def _write_scale_bar(svg: Svg, page: Page, left: float, top: float) -> None:
    """A bar of a round length, of at most a quarter of the map's width."""
    if page.is_empty:
        return
    per_pixel = page.projection.metres_per_pixel
    unit = per_pixel if per_pixel is not None else 1 / -page.projection.scale_y
    length = nice_length(unit * page.frame.width / 4)
    pixels = length / unit
    # Two pieces, black and white, as on a printed map.
    half = {"y": top, "width": pixels / 2, "height": 6, "stroke": "#333"}
    svg.line(tag("rect", {"x": left, **half, "fill": "#333"}))
    svg.line(tag("rect", {"x": left + pixels / 2, **half, "fill": "#fff"}))
    svg.line(text(left, top + 21, "0", size=11))
    label = _length(length) if per_pixel is not None else f"{length:,g} map units"
    svg.line(text(left + pixels, top + 21, label, size=11, anchor="middle"))


def _length(metres: float) -> str:
    if metres >= 1000:
        return f"{metres / 1000:,g} km"
    return f"{metres:g} m" if metres >= 1 else f"{metres * 100:g} cm"
