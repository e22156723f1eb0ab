"""Esri symbols as SVG: markers, lines and fills of the simple kinds, and pictures.

Source: Web Map Specification and ArcGIS REST API, "Symbol objects" (esriSMS, esriSLS, esriSFS,
esriPMS, esriPFS). Lengths there are points; here they are pixels of 1/96 inch.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from device.drawing.json_members import text_of
from device.drawing.pictures import picture_url
from device.drawing.svg import number, tag
from engine import ShapeKind

PX_PER_PT = 4 / 3
LARGEST_PX = 128.0
_MOST_LINE_PX = 40.0

Json = Mapping[str, object]

_PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f5aa2")
"""For layers without symbols; colours that people with any eyes can tell apart (Okabe, Ito)."""

_DASHES = {
    "esriSLSDash": (4, 3),
    "esriSLSDot": (1, 3),
    "esriSLSDashDot": (8, 3, 1, 3),
    "esriSLSDashDotDot": (8, 3, 1, 3, 1, 3),
    "esriSLSLongDash": (8, 3),
    "esriSLSLongDashDot": (8, 3, 1, 3),
    "esriSLSShortDash": (4, 1),
    "esriSLSShortDot": (1, 1),
    "esriSLSShortDashDot": (4, 1, 1, 1),
    "esriSLSShortDashDotDot": (4, 1, 1, 1, 1, 1),
}
"""Dashes and gaps in widths of the line."""

_HATCHES = {
    "esriSFSHorizontal": "M0 4h8",
    "esriSFSVertical": "M4 0v8",
    "esriSFSCross": "M0 4h8M4 0v8",
    "esriSFSForwardDiagonal": "M-2 -2l12 12M-2 6l4 4M6 -2l4 4",
    "esriSFSBackwardDiagonal": "M-2 10l12-12M-2 2l4-4M6 10l4-4",
    "esriSFSDiagonalCross": "M-1 -1l10 10M-1 9l10-10",
}
"""Lines on a tile of 8 by 8 pixels. Forward is from the upper left to the lower right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbol:
    """How one class of features is drawn.

    ``marker`` are the elements of a point, around 0,0; ``size_px`` is how wide that is. Lines and
    areas have ``css``; ``pattern`` is the tile that fills an area, in which ``{id}`` stands for
    its id, and in ``css`` too. ``problem`` says what of the symbol could not be drawn.
    """

    marker: str = ""
    size_px: float = 0.0
    css: str = ""
    pattern: str = ""
    problem: str = ""


def make_symbol(value: object, kind: ShapeKind, position: int = 0) -> Symbol:
    """The symbol for shapes of that kind; the default, with its ``problem``, if it is none."""
    given = value if isinstance(value, Mapping) else {}
    name = text_of(given, "type")
    if kind is ShapeKind.POINTS and name == "esriSMS":
        return _marker(given)
    if kind is ShapeKind.POINTS and name == "esriPMS":
        return _picture_marker(given, position)
    if kind is ShapeKind.LINES and name == "esriSLS":
        return Symbol(css=f"fill:none;{stroke(given)}")
    if kind is ShapeKind.RINGS and name == "esriSFS":
        return _fill(given)
    if kind is ShapeKind.RINGS and name == "esriPFS":
        return _picture_fill(given, position)
    what = f"a symbol of the type {name[:40]}" if name else "no symbol"
    return default_symbol(kind, position, problem=f"{what} that could be drawn" if name else what)


def default_symbol(kind: ShapeKind, position: int, *, problem: str = "") -> Symbol:
    """A plain symbol, in a colour by the layer's position."""
    color = _PALETTE[position % len(_PALETTE)]
    if kind is ShapeKind.POINTS:
        circle = {"r": 5, "fill": color, "stroke": "#fff"}
        return Symbol(marker=tag("circle", circle), size_px=11, problem=problem)
    if kind is ShapeKind.LINES:
        css = f"fill:none;stroke:{color};stroke-width:2;stroke-linejoin:round"
        return Symbol(css=css, problem=problem)
    css = f"fill:{color};fill-opacity:.25;stroke:{color};stroke-width:1.2;stroke-linejoin:round"
    return Symbol(css=css, problem=problem)


def stroke(value: object) -> str:
    """The CSS of a simple line symbol; no line without one."""
    given = value if isinstance(value, Mapping) else {}
    style = text_of(given, "style")
    color, opacity = color_of(given.get("color"))
    width = min(length(given.get("width"), 1.0), _MOST_LINE_PX)
    if not given or style == "esriSLSNull" or opacity == 0 or width == 0:
        return "stroke:none"
    css = f"stroke:{color};stroke-width:{number(width)};stroke-linejoin:round"
    if opacity < 1:
        css += f";stroke-opacity:{number(opacity)}"
    if style in _DASHES:
        dashes = " ".join(number(part * max(width, 1.0)) for part in _DASHES[style])
        css += f";stroke-dasharray:{dashes}"
    return css


def color_of(value: object) -> tuple[str, float]:
    """``[red, green, blue, alpha]``, each 0–255, as ``#rrggbb`` and an opacity; null is clear."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) < 3:
        return "#000000", 0.0
    parts = [_byte(part) for part in value[:4]]
    opacity = parts[3] / 255 if len(parts) > 3 else 1.0
    return "#" + "".join(f"{part:02x}" for part in parts[:3]), opacity


def length(value: object, default_pt: float) -> float:
    """A length in points, as pixels; never negative or without bounds."""
    points = _number(value, default_pt)
    return min(max(points, 0.0) * PX_PER_PT, LARGEST_PX)


def _marker(value: Json) -> Symbol:
    size = length(value.get("size"), 8.0) or 1.0
    style, half = text_of(value, "style"), number(size / 2)
    color, opacity = color_of(value.get("color"))
    outline = stroke(value.get("outline"))
    paint = f"fill:{color};fill-opacity:{number(opacity)};{outline}"
    if style in ("esriSMSCross", "esriSMSX"):
        # Crosses have no area: their outline is all that there is of them.
        if outline == "stroke:none":
            outline = f"stroke:{color};stroke-opacity:{number(opacity)};stroke-width:1.33"
        lines = {"d": f"M-{half} 0h{number(size)}M0-{half}v{number(size)}", "style": outline}
        if style == "esriSMSX":
            slant = {"transform": "rotate(45)"}
            return _placed(value, tag("g", slant, tag("path", lines)), size)
        return _placed(value, tag("path", lines), size)
    if style == "esriSMSSquare":
        side = {"x": -size / 2, "y": -size / 2, "width": size, "height": size}
        return _placed(value, tag("rect", {**side, "style": paint}), size)
    if style == "esriSMSDiamond":
        outline_path = f"M0-{half}L{half} 0L0 {half}L-{half} 0z"
    elif style == "esriSMSTriangle":
        outline_path = f"M0-{half}L{half} {half}L-{half} {half}z"
    else:
        return _placed(value, tag("circle", {"r": size / 2, "style": paint}), size)
    return _placed(value, tag("path", {"d": outline_path, "style": paint}), size)


def _picture_marker(value: Json, position: int) -> Symbol:
    url, problem = picture_url(value)
    if not url:
        return default_symbol(ShapeKind.POINTS, position, problem=problem)
    width = length(value.get("width"), 18.0) or 1.0
    height = length(value.get("height"), 18.0) or 1.0
    box = {"x": -width / 2, "y": -height / 2, "width": width, "height": height}
    return _placed(value, tag("image", {**box, "xlink:href": url}), max(width, height))


def _placed(value: Json, elements: str, size: float) -> Symbol:
    """Turned and moved: angles count against the clock, offsets to the right and up."""
    angle = _number(value.get("angle"), 0.0) % 360
    x = _number(value.get("xoffset"), 0.0) * PX_PER_PT
    y = _number(value.get("yoffset"), 0.0) * PX_PER_PT
    moves = []
    if x or y:
        moves.append(f"translate({number(_bounded(x))} {number(-_bounded(y))})")
    if angle:
        moves.append(f"rotate({number(-angle)})")
    if moves:
        elements = tag("g", {"transform": " ".join(moves)}, elements)
    return Symbol(marker=elements, size_px=size)


def _fill(value: Json) -> Symbol:
    style, outline = text_of(value, "style"), stroke(value.get("outline"))
    color, opacity = color_of(value.get("color"))
    if style == "esriSFSNull" or opacity == 0:
        return Symbol(css=f"fill:none;{outline}")
    if style not in _HATCHES:
        clear = "" if opacity == 1 else f"fill-opacity:{number(opacity)};"
        return Symbol(css=f"fill:{color};{clear}{outline}")
    lines = {
        "d": _HATCHES[style],
        "fill": "none",
        "stroke": color,
        "stroke_opacity": opacity,
    }
    return Symbol(css=f"fill:url(#{{id}});{outline}", pattern=_tile(8, 8, tag("path", lines)))


def _picture_fill(value: Json, position: int) -> Symbol:
    url, problem = picture_url(value)
    if not url:
        return default_symbol(ShapeKind.RINGS, position, problem=problem)
    width = max(length(value.get("width"), 18.0), 2.0)
    height = max(length(value.get("height"), 18.0), 2.0)
    image = tag("image", {"width": width, "height": height, "xlink:href": url})
    outline = stroke(value.get("outline"))
    return Symbol(css=f"fill:url(#{{id}});{outline}", pattern=_tile(width, height, image))


def _tile(width: float, height: float, content: str) -> str:
    sides = {"width": width, "height": height, "patternUnits": "userSpaceOnUse"}
    return tag("pattern", {"id": "{id}", **sides}, content)


def _number(value: object, default: float) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number:
        return default
    try:
        given = float(value)  # type: ignore[arg-type]  # asked just now
    except OverflowError:
        return default
    return given if math.isfinite(given) else default


def _bounded(value: float) -> float:
    return min(max(value, -LARGEST_PX), LARGEST_PX)


def _byte(value: object) -> int:
    return int(min(max(_number(value, 0.0), 0.0), 255.0))
