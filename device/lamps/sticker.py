"""The language of the lamps as a sticker to print: an SVG drawing in millimetres.

Each sign has its rhythm drawn as light over time; lamps are told apart by name and place, and their
colour only repeats that.
"""

from collections.abc import Iterator, Sequence
from html import escape

from device.lamps.language import SIGNS, Lamp, Sign
from device.lamps.rhythm import SOLID, Rhythm, is_progress

WIDTH = 100.0
"""Millimetres; the height follows from the number of signs."""
_MARGIN, _ROW, _HEAD, _TITLE = 4.0, 7.6, 8.2, 9.0
_BAR_X, _BAR_WIDTH, _BAR_HEIGHT = 4.0, 34.0, 2.6
_TEXT_X = 40.0
_SHOWN_MS = 5000
_LINE = 44
"""Letters that fit beside a rhythm; longer meanings take a second line."""

_COLOURS = {
    Lamp.LINK: "#1a7f37",
    Lamp.SYNC: "#0a58ca",
    Lamp.ATTENTION: "#b35900",
    Lamp.STATUS: "#444444",
}
_PLACES = {Lamp.LINK: "1", Lamp.SYNC: "2", Lamp.ATTENTION: "3", Lamp.STATUS: "one lamp"}
_BUTTON = (
    "Press: sync now.   Hold 2–5 s, until the lamp is lit: sync over any link.",
    "Hold 8 s or more: pause, or go on.   Letting go at another time does nothing.",
)
_TOGETHER = "All three blink together: the device starts."


def sticker(lamps: Sequence[Lamp]) -> str:
    """The sticker for a board with these lamps, with what the button does at its foot."""
    body, y = [], _MARGIN + _TITLE
    for lamp in lamps:
        body.append(_heading(lamp, y))
        y += _HEAD
        for sign in SIGNS:
            if sign.lamp is lamp:
                body.extend(_row(sign, y))
                y += _ROW
    foot = [*([_TOGETHER] if len(lamps) > 1 else []), *_BUTTON]
    body.extend(_foot(foot, y))
    height = y + 4.2 * len(foot) + _MARGIN
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH:g}mm" height="{height:g}mm" '
            f'viewBox="0 0 {WIDTH:g} {height:g}" font-family="DejaVu Sans, Arial, sans-serif">',
            "<title>fieldsync: what the lamps say</title>",
            f'<rect x="0.5" y="0.5" width="{WIDTH - 1:g}" height="{height - 1:g}" rx="3" '
            'fill="#ffffff" stroke="#000000" stroke-width="0.4"/>',
            f'<text x="{_MARGIN:g}" y="{_MARGIN + 4:g}" font-size="4.2" font-weight="bold">'
            "fieldsync</text>",
            f'<text x="{_TEXT_X:g}" y="{_MARGIN + 4:g}" font-size="2.6">'
            "A bar shows five seconds: filled is lit.</text>",
            *body,
            "</svg>",
            "",
        )
    )


def _heading(lamp: Lamp, y: float) -> str:
    colour = _COLOURS[lamp]
    return (
        f'<circle cx="{_MARGIN + 2:g}" cy="{y + 3.2:g}" r="2" fill="{colour}"/>'
        f'<text x="{_MARGIN + 6:g}" y="{y + 4.5:g}" font-size="3.6" font-weight="bold">'
        f"{lamp.value}</text>"
        f'<text x="{_TEXT_X:g}" y="{y + 4.5:g}" font-size="2.8">{_PLACES[lamp]}</text>'
    )


def _row(sign: Sign, y: float) -> Iterator[str]:
    colour = _COLOURS[sign.lamp]
    yield (
        f'<rect x="{_BAR_X:g}" y="{y:g}" width="{_BAR_WIDTH:g}" height="{_BAR_HEIGHT:g}" '
        f'fill="#eeeeee" stroke="#000000" stroke-width="0.15"/>'
    )
    for start, length, opacity in _lit(sign.rhythm):
        yield (
            f'<rect x="{_BAR_X + start * _BAR_WIDTH:.3f}" y="{y:g}" '
            f'width="{length * _BAR_WIDTH:.3f}" height="{_BAR_HEIGHT:g}" fill="{colour}" '
            f'fill-opacity="{opacity:g}"/>'
        )
    yield (
        f'<text x="{_BAR_X:g}" y="{y + 5.1:g}" font-size="1.9">{escape(sign.rhythm.words)}</text>'
    )
    for number, line in enumerate(lines(sign.meaning)):
        yield (
            f'<text x="{_TEXT_X:g}" y="{y + 2.2 + 2.9 * number:g}" font-size="2.4">'
            f"{escape(line)}</text>"
        )


def _lit(rhythm: Rhythm) -> Iterator[tuple[float, float, float]]:
    """Where the bar is filled: start and length as parts of it, and how strongly."""
    if rhythm == SOLID:
        yield 0.0, 1.0, 1.0
        return
    at, number = 0, 0
    while at < _SHOWN_MS:
        is_lit, ms = rhythm.steps[number % len(rhythm.steps)]
        if is_progress(rhythm):  # grows from the left to the right of the bar, as in a sync
            share = 0.1 + 0.8 * (at / _SHOWN_MS)
            is_lit, ms = not number % 2, round(1000 * (1 - share if number % 2 else share))
        length = min(ms, _SHOWN_MS - at)
        if is_lit:
            yield at / _SHOWN_MS, length / _SHOWN_MS, 0.55 if rhythm.is_soft else 1.0
        at, number = at + ms, number + 1


def lines(text: str) -> list[str]:
    """``text`` in lines that fit beside a rhythm."""
    broken = [""]
    for word in text.split():
        if broken[-1] and len(broken[-1]) + 1 + len(word) > _LINE:
            broken.append("")
        broken[-1] = f"{broken[-1]} {word}".strip()
    return broken


def _foot(sentences: Sequence[str], y: float) -> Iterator[str]:
    for number, line in enumerate(sentences):
        yield (
            f'<text x="{_MARGIN:g}" y="{y + 3 + 4 * number:g}" font-size="2.2">'
            f"{escape(line)}</text>"
        )
