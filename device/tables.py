"""Tables and amounts as a person reads them in a terminal."""

import unicodedata
from collections.abc import Sequence

GAP = "  "


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """The lines of a table: a heading, a rule, a line per row; numbers stand to the right."""
    shown = [[_cell(value) for value in row] for row in rows]
    titles = [_cell(heading) for heading in headings]
    widths = [
        max(width(line[column]) for line in [titles, *shown]) for column in range(len(titles))
    ]
    is_number = [
        {type(row[column]) for row in rows} - {type(None)} in ({int}, {float})
        for column in range(len(titles))
    ]

    def line(cells: Sequence[str]) -> str:
        padded = (
            " " * (wide - width(cell)) + cell if right else cell + " " * (wide - width(cell))
            for cell, wide, right in zip(cells, widths, is_number, strict=True)
        )
        return GAP.join(padded).rstrip()

    return [line(titles), GAP.join("-" * wide for wide in widths), *(line(row) for row in shown)]


def pairs(values: Sequence[tuple[str, object]]) -> list[str]:
    """The lines of a list of names and values, the values one below the other."""
    wide = max((width(name) for name, _ in values), default=0)
    return [f"{name}{' ' * (wide - width(name))}{GAP}{_cell(value)}" for name, value in values]


def printable(text: str) -> str:
    """``text`` on one line and without characters that steer a terminal.

    Names and values come from services and other programs; none of them may move the cursor or
    recolour what a person reads.
    """
    return steerless(" ".join(text.split()))


def steerless(line: str) -> str:
    """``line`` without characters that steer a terminal; its spaces stay."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c)[0] == "C" else c for c in line
    )


def width(text: str) -> int:
    """How many terminal cells ``text`` takes."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def size(count: int) -> str:
    """A number of bytes in the unit that keeps it short: ``980 B``, ``1.2 kB``, ``31 MB``."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.1f} {unit}" if unit != "B" and value < 9.95 else f"{value:.0f} {unit}"


_YEAR_S = 365 * 86400


def duration(seconds: float) -> str:
    """A time in one or two units: ``12 s``, ``3 min``, ``2 h 5 min``, ``4 d``, ``3 years``."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 2 * 3600:
        return f"{whole // 60} min"
    if whole < 2 * 86400:
        hours, rest = divmod(whole, 3600)
        return f"{hours} h {rest // 60} min" if rest >= 60 else f"{hours} h"
    return f"{whole // 86400} d" if whole < 2 * _YEAR_S else f"{whole // _YEAR_S} years"


def number(count: int, singular: str, plural: str = "") -> str:
    """``1 edit``, ``2 edits``."""
    return f"{count} {singular if count == 1 else plural or singular + 's'}"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}"
    return printable(str(value))
