"""What a row of the benchmark found, as a line of a table and as JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

_HEADINGS = ("row", "case", "ours", "peer", "ratio", "unit", "peer is", "goal", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One measure beside its peer's. ``ratio`` is peer / ours: how many times better we are.

    ``goal`` says what must be reached, empty if the measure is only told; ``is_reached`` whether it
    was. Without a peer ``peer`` and ``ratio`` are None.
    """

    row: str
    case: str
    ours: float
    peer: float | None
    peer_name: str
    unit: str
    goal: str = ""
    is_reached: bool = True

    @property
    def ratio(self) -> float | None:
        return None if self.peer is None or not self.ours else self.peer / self.ours

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "ratio": self.ratio})


def at_least(factor: float, ours: float, peer: float) -> tuple[str, bool]:
    """The goal that the peer takes at least ``factor`` times as much, and whether it does."""
    return f"ratio ≥ {factor:g}", peer >= factor * ours


def at_most(limit: float, ours: float) -> tuple[str, bool]:
    """The goal of an upper limit, and whether it is kept."""
    return f"≤ {limit:g}", ours <= limit


def table(results: Iterable[Result]) -> str:
    """All results as text, a line each."""
    lines = [_HEADINGS, *(_cells(result) for result in results)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in (2, 3, 4) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _cells(result: Result) -> tuple[str, ...]:
    verdict = "reached" if result.is_reached else "misses"
    return (
        result.row,
        result.case,
        _number(result.ours),
        _number(result.peer),
        _number(result.ratio),
        result.unit,
        result.peer_name,
        result.goal,
        verdict if result.goal else "",
    )


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
