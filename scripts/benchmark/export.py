"""What it costs to find a hundred edits in a small and in a large table."""

import sqlite3
from collections.abc import Callable
from pathlib import Path


def export_steps(*, geodatabase: str) -> Callable[[], dict[str, int]]:
    """Instructions of SQLite's virtual machine to read all pending edits."""
    from engine.geodatabase import catalog, change_log

    def work() -> dict[str, int]:
        steps = 0

        def count() -> int:
            nonlocal steps
            steps += 1
            return 0

        connection = sqlite3.connect(geodatabase)
        tables = [entry.table for entry in catalog.entries(connection)]
        connection.set_progress_handler(count, 1)
        edits = sum(1 for table in tables for _ in change_log.iterate_pending(connection, table))
        connection.close()
        return {"steps": steps, "edits": edits}

    return work


def geodiff_changeset(*, base: str, changed: str, target: str) -> Callable[[], int]:
    """The peer's changeset; it compares the whole tables."""
    import pygeodiff  # type: ignore[import-untyped]

    def work() -> int:
        pygeodiff.GeoDiff().create_changeset(base, changed, target)
        return Path(target).stat().st_size

    return work
