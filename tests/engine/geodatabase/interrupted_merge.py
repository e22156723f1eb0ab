"""A merge that is killed inside: ``python -m … FILE SEED STEPS``.

Changes every tree that has the service's value and kills its own process with SIGKILL after about
STEPS steps of SQLite's virtual machine, or ends with the commit if the merge takes fewer.
"""

import os
import signal
import sys
from pathlib import Path

from engine.geodatabase.merge import merge_table, stage_rows
from engine.model import ConflictPolicy
from tests.engine.geodatabase.log_oracle import connect, make_table, snapshot


def merge_and_die(path: Path, value: str, steps: int) -> None:
    """Merge ``value`` into the column ``id`` of every row."""
    table = make_table(6, name="trees")
    connection = connect(path)
    rows = [(*row[:3], value, *row[4:]) for row in snapshot(connection, table).values()]
    stage_rows(connection, table, rows)
    connection.execute("BEGIN IMMEDIATE")
    count = 0

    def step() -> int:
        nonlocal count
        count += 100
        if count >= steps:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    connection.set_progress_handler(step, 100)
    merge_table(connection, table, ConflictPolicy.LAST_SYNCED, now="2026-01-01T00:00:00.000Z")
    connection.set_progress_handler(None, 0)
    connection.execute("COMMIT")
    connection.close()


if __name__ == "__main__":
    merge_and_die(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
