"""Marks on a drawing: edits that were not sent, conflicts, and what the service refused.

Each kind has a shape and a sign of its own, so that no colour is needed to tell them apart.
"""

from dataclasses import dataclass
from enum import Enum

from device.drawing.svg import Svg, escaped, tag
from engine import EditOperation

RADIUS_PX = 8.0
STEP_PX = 18.0
"""From one mark of a row to its next one, which stands beside it."""

_MOST_TITLES = 2000


class Mark(Enum):
    """What is marked. The values are what ids in a drawing begin with."""

    ADDED = "added"
    UPDATED = "updated"
    DELETED = "deleted"
    CONFLICT = "conflict"
    QUARANTINED = "quarantined"

    @property
    def label(self) -> str:
        """The mark for a person."""
        return _LABELS[self]


OF_OPERATION = {
    EditOperation.ADD: Mark.ADDED,
    EditOperation.UPDATE: Mark.UPDATED,
    EditOperation.DELETE: Mark.DELETED,
}

_LABELS = {
    Mark.ADDED: "added here, not sent",
    Mark.UPDATED: "changed here, not sent",
    Mark.DELETED: "deleted here, not sent",
    Mark.CONFLICT: "conflict, for a person",
    Mark.QUARANTINED: "refused, set aside",
}


@dataclass(frozen=True, slots=True)
class _Look:
    """``outline`` is the path of the mark around 0,0, ``sign`` what is drawn on it in white;
    ``dash`` is how the line along an edited line or area is broken."""

    color: str
    outline: str
    sign: str
    dash: str = ""


_LOOKS = {
    Mark.ADDED: _Look("#00794f", "M-8 0a8 8 0 1 1 16 0a8 8 0 1 1-16 0z", "M-4 0h8M0-4v8"),
    Mark.UPDATED: _Look("#0060a0", "M0-9.5L9.5 0L0 9.5L-9.5 0z", "M-3.5 2l3.5-5l3.5 5z", "9 3"),
    Mark.DELETED: _Look("#4d4d4d", "M-7.5-7.5h15v15h-15z", "M-3.5-3.5l7 7M-3.5 3.5l7-7", "3 3"),
    Mark.CONFLICT: _Look("#d97a00", "M0-10L10 7.5h-20z", "M0-4v5.5M0 4.6v.4", "6 2 1 2"),
    Mark.QUARANTINED: _Look(
        "#b3001b", "M-3.6-8.7h7.2l5.1 5.1v7.2l-5.1 5.1h-7.2l-5.1-5.1v-7.2z", "M-4.5 0h9", "1 3"
    ),
}

CSS = "".join(
    f".{mark.value}{{fill:none;stroke:{look.color};stroke-width:3;stroke-opacity:.85;"
    f"stroke-linejoin:round;stroke-dasharray:{look.dash or 'none'}}}"
    for mark, look in _LOOKS.items()
)
"""The class of each kind of mark, for paths along lines and areas."""

GHOST_CSS = ".ghost{fill:none;stroke:#333;stroke-width:1.2;stroke-dasharray:2 3}"
"""For the place where a feature was before it was changed."""


def definitions() -> str:
    """The elements that :func:`mark_at` uses."""
    return "".join(
        tag(
            "g",
            {"id": f"mark-{mark.value}"},
            tag(
                "path",
                {
                    "d": look.outline,
                    "fill": look.color,
                    "stroke": "#fff",
                    "stroke_width": 1.6,
                    "stroke_linejoin": "round",
                },
            )
            + tag(
                "path",
                {
                    "d": look.sign,
                    "fill": "none",
                    "stroke": "#fff",
                    "stroke_width": 2.2,
                    "stroke_linecap": "round",
                    "stroke_linejoin": "round",
                },
            ),
        )
        for mark, look in _LOOKS.items()
    )


def mark_at(mark: Mark, x: float, y: float, title: str = "") -> str:
    """A mark; a viewer shows ``title`` where somebody points at it."""
    told = tag("title", None, escaped(title)) if title else None
    return tag("use", {"xlink:href": f"#mark-{mark.value}", "x": x, "y": y}, told)


class MarkWriter:
    """Writes the marks of a drawing, and counts them. Only the first 2000 have a title each."""

    def __init__(self, svg: Svg) -> None:
        self._svg = svg
        self._titles_left = _MOST_TITLES
        self.counts = dict.fromkeys(Mark, 0)
        self.outside = 0

    def write(self, marks: list[tuple[Mark, str]], place: tuple[float, float] | None) -> None:
        """Write the marks of a row, with their titles, side by side at ``place``; None: they are
        not in the picture."""
        for number, (mark, title) in enumerate(marks):
            self.counts[mark] += 1
            if place is None:
                self.outside += 1
                continue
            if self._titles_left > 0:
                self._titles_left -= 1
            else:
                title = ""
            self._svg.line(mark_at(mark, place[0] + number * STEP_PX, place[1], title))
