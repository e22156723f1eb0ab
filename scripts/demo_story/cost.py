"""What each step of the demo moved, and what it took: the table at the end."""

from collections.abc import Iterable
from typing import Any

from device.tables import size, table
from scripts.demo_story.field_device import Outcome

HEADINGS = (
    "step",
    "rows up",
    "photos up",
    "rows down",
    "photos down",
    "sent",
    "received",
    "seconds",
    "memory",
)


class Cost:
    """Collects a line per step.

    ``idle_bytes`` is the memory of a process that does nothing, to be set before the first step;
    ``most_bytes`` what the hungriest step took above it.
    """

    def __init__(self) -> None:
        self._rows: list[tuple[object, ...]] = []
        self.idle_bytes = 0
        self.most_bytes = 0

    def add_take(self, name: str, outcome: Outcome) -> None:
        tables = [t for g in outcome.report["geodatabases"] for t in g["tables"]]
        rows, photos = _sum(tables, "rows"), _sum(tables, "attachments")
        self._add(name, (0, 0, rows, photos), outcome)

    def add_sync(self, name: str, outcome: Outcome) -> None:
        layers = [x for g in outcome.report["geodatabases"] for x in g["layers"]]
        counts = (
            _sum((x["uploaded"] for x in layers), "applied"),
            _sum((x["attachments_uploaded"] for x in layers), "applied"),
            _sum((x["downloaded"] for x in layers), "added", "updated", "deleted"),
            _sum((x["attachments_downloaded"] for x in layers), "added", "updated", "deleted"),
        )
        self._add(name, counts, outcome)

    def lines(self) -> list[str]:
        """The table, and what its last column means."""
        return [
            *table(HEADINGS, self._rows),
            "",
            f"memory: the peak of the device's process, above the {size(self.idle_bytes)} of one",
            "that has loaded the engine and does nothing",
        ]

    def _add(self, name: str, counts: tuple[int, int, int, int], outcome: Outcome) -> None:
        totals = outcome.report["totals"]
        traffic = (size(totals["sent_bytes"]), size(totals["received_bytes"]))
        above_bytes = max(0, outcome.peak_bytes - self.idle_bytes)
        self.most_bytes = max(self.most_bytes, above_bytes)
        self._rows.append((name, *counts, *traffic, outcome.seconds, size(above_bytes)))


def _sum(counts: Iterable[dict[str, Any]], *names: str) -> int:
    return sum(one[name] or 0 for one in counts for name in names)
