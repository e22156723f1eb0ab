"""Text on a drawing: as long as there is room for it. The font is the viewer's own."""

import unicodedata

from device.drawing.svg import escaped, tag

_NARROW = frozenset("iljtfrI.,;:'|!()[]- ")


def text(
    x: float,
    y: float,
    content: str,
    *,
    size: float = 13,
    color: str = "#222",
    weight: str = "",
    anchor: str = "",
    room: float | None = None,
) -> str:
    """A line of text whose baseline begins (or ends, by its ``anchor``) at x, y.

    What does not fit into ``room`` pixels ends in an ellipsis; pointing at it shows all of it.
    """
    line = " ".join(content.split())
    shown = line if room is None else shortened(line, size, room)
    attributes: dict[str, object] = {"x": x, "y": y, "font_size": size, "fill": color}
    if weight:
        attributes["font_weight"] = weight
    if anchor:
        attributes["text_anchor"] = anchor
    inner = escaped(shown)
    if shown != line:
        inner += tag("title", None, escaped(line[:500]))
    return tag("text", attributes, inner)


def shortened(line: str, size: float, room: float) -> str:
    """``line``, or as much of it as is surely not wider than ``room`` pixels, with an ellipsis."""
    used = 0.0
    for at, character in enumerate(line):
        used += width_em(character) * size
        if used > room:
            while at > 0 and used + 0.9 * size > room:
                at -= 1
                used -= width_em(line[at]) * size
            return line[:at].rstrip() + "…"
    return line


def width_em(character: str) -> float:
    """About how wide a character is in a wide sans-serif font, in ems."""
    if unicodedata.combining(character):
        return 0.0
    if unicodedata.east_asian_width(character) in "WF":
        return 1.05
    if character in _NARROW:
        return 0.4
    return 0.78 if character.isupper() or character in "mwMW@%—" else 0.62
