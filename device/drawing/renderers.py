"""Which symbol a feature gets: simple, unique-value and class-breaks renderers.

Source: Web Map Specification and ArcGIS REST API, "Renderer objects".
"""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from device.drawing.json_members import objects_of, text_of
from device.drawing.symbols import Symbol, default_symbol, make_symbol
from engine import ShapeKind

Json = Mapping[str, object]
Cell = int | float | str | bytes | None

OTHER = -1
"""The class of features that the renderer has no symbol for: they are not drawn, but counted."""

_MOST_CLASSES = 2000
_NULL_NAMES = ("<Null>", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolClass:
    """A symbol and what it stands for; ``label`` is empty if the layer has one class only."""

    label: str
    symbol: Symbol


@dataclass(frozen=True, slots=True, kw_only=True)
class Renderer:
    """The classes of a layer. ``fields`` are those whose values decide; ``problems`` says what of
    the layer's symbols could not be followed."""

    classes: tuple[SymbolClass, ...]
    fields: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    default: int = OTHER
    delimiter: str = ","
    values: Mapping[str, int] = field(default_factory=dict, repr=False)
    maxima: tuple[float, ...] = ()
    break_classes: tuple[int, ...] = ()
    minimum: float = -math.inf

    def class_of(self, cells: Sequence[Cell]) -> int:
        """The index of the class for the values of ``fields``; :data:`OTHER` for none."""
        if self.values:
            return self.values.get(self.delimiter.join(map(_text_of, cells)), self.default)
        if self.maxima:
            return self._break_of(cells)
        return 0

    def _break_of(self, cells: Sequence[Cell]) -> int:
        value = _real(cells[0])
        if len(cells) > 1:
            norm = _real(cells[1])
            value = math.nan if not norm else value / norm
        if not value >= self.minimum:  # NaN included
            return self.default
        at = bisect_left(self.maxima, value)
        return self.break_classes[at] if at < len(self.maxima) else self.default


def make_renderer(drawing_info: Json, kind: ShapeKind, position: int) -> Renderer:
    """The renderer in a layer's ``drawingInfo``; a plain one where it cannot be followed.

    ``position`` of the layer in the map chooses the colour of what has no symbol.
    """
    value = drawing_info.get("renderer")
    given = value if isinstance(value, Mapping) else {}
    name = text_of(given, "type")
    found: Renderer | None = None
    if name == "simple":
        found = _simple(given, kind, position)
    elif name == "uniqueValue" and not text_of(given, "valueExpression"):
        found = _unique_values(given, kind, position)
    elif name == "classBreaks" and not text_of(given, "valueExpression"):
        found = _class_breaks(given, kind, position)
    if found is not None:
        return found
    problem = "it has no symbols of its own"
    if text_of(given, "valueExpression"):
        problem = "its symbols follow an Arcade expression, which is not run here"
    elif name:
        problem = f"its renderer ({name[:40]}) is not one that is drawn here"
    plain = SymbolClass(label="", symbol=default_symbol(kind, position))
    return Renderer(classes=(plain,), problems=(f"{problem}: a plain symbol stands for it",))


def _simple(value: Json, kind: ShapeKind, position: int) -> Renderer:
    symbol = make_symbol(value.get("symbol"), kind, position)
    problems = [*_of_symbols([symbol]), *_of_variables(value)]
    return Renderer(classes=(SymbolClass(label="", symbol=symbol),), problems=tuple(problems))


def _unique_values(value: Json, kind: ShapeKind, position: int) -> Renderer | None:
    names = (text_of(value, f"field{n}") for n in (1, 2, 3))
    fields = tuple(name for name in names if name)
    delimiter = text_of(value, "fieldDelimiter") or ","
    classes: list[SymbolClass] = []
    values: dict[str, int] = {}
    for label, symbol, keys in _infos(value, delimiter):
        if len(classes) == _MOST_CLASSES:
            break
        made = make_symbol(symbol, kind, position)
        for key in keys:
            values.setdefault(key, len(classes))
        classes.append(SymbolClass(label=label, symbol=made))
    if not fields or not values:
        return None
    return _with_default(value, kind, position, classes, fields, values=values, delimiter=delimiter)


def _infos(value: Json, delimiter: str) -> list[tuple[str, object, list[str]]]:
    """Label, symbol and values of each class, as groups of them or, as older maps do, one by
    one."""
    found = []
    for group in objects_of(value, "uniqueValueGroups"):
        for one in objects_of(group, "classes"):
            listed = one.get("values")
            keys = [
                delimiter.join(map(_text_of, combination))
                for combination in (listed if isinstance(listed, list) else ())
                if isinstance(combination, list)
            ]
            found.append((text_of(one, "label"), one.get("symbol"), keys))
    if found:
        return found
    for one in objects_of(value, "uniqueValueInfos"):
        key = _text_of(one.get("value"))
        found.append((text_of(one, "label") or key, one.get("symbol"), [key]))
    return found


def _class_breaks(value: Json, kind: ShapeKind, position: int) -> Renderer | None:
    norm = text_of(value, "normalizationType")
    fields = [text_of(value, "field")]
    if norm == "esriNormalizeByField":
        fields.append(text_of(value, "normalizationField"))
    elif norm not in ("", "esriNormalizeNone"):
        return None
    classes: list[SymbolClass] = []
    maxima: list[float] = []
    for one in objects_of(value, "classBreakInfos")[:_MOST_CLASSES]:
        maximum = _real(one.get("classMaxValue"))
        if math.isnan(maximum):
            return None
        label = text_of(one, "label") or f"up to {maximum:g}"
        symbol = make_symbol(one.get("symbol"), kind, position)
        classes.append(SymbolClass(label=label, symbol=symbol))
        maxima.append(maximum)
    if not all(fields) or not classes:
        return None
    order = sorted(range(len(maxima)), key=maxima.__getitem__)
    minimum = _real(value.get("minValue"))
    return _with_default(
        value,
        kind,
        position,
        classes,
        tuple(fields),
        maxima=tuple(maxima[at] for at in order),
        break_classes=tuple(order),
        minimum=-math.inf if math.isnan(minimum) else minimum,
    )


def _with_default(
    value: Json,
    kind: ShapeKind,
    position: int,
    classes: list[SymbolClass],
    fields: tuple[str, ...],
    **more: object,
) -> Renderer:
    default = OTHER
    if isinstance(value.get("defaultSymbol"), Mapping):
        default = len(classes)
        label = text_of(value, "defaultLabel") or "Other"
        symbol = make_symbol(value["defaultSymbol"], kind, position)
        classes.append(SymbolClass(label=label, symbol=symbol))
    problems = [*_of_symbols([one.symbol for one in classes]), *_of_variables(value)]
    return Renderer(
        classes=tuple(classes),
        fields=fields,
        default=default,
        problems=tuple(problems),
        **more,  # type: ignore[arg-type]  # members of the two callers above
    )


def _of_symbols(symbols: Sequence[Symbol]) -> list[str]:
    found = dict.fromkeys(one.problem for one in symbols if one.problem)
    return [f"it has {problem}: a plain one stands for it" for problem in found]


def _of_variables(value: Json) -> list[str]:
    """Sizes, colours and turns that follow from values are not drawn."""
    if value.get("visualVariables") or text_of(value, "rotationExpression"):
        return ["its sizes, colours or angles follow values of its fields: all are drawn alike"]
    return []


def _text_of(value: object) -> str:
    """A value as renderers write it, where all of them are text; 2 and 2.0 are the same."""
    if value is None or value in _NULL_NAMES:
        return _NULL_NAMES[0]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def _real(value: object) -> float:
    """NaN for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan
