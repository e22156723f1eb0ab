"""An app of somebody else that edits a map with plain SQLite, and says after each commit what it
may rely on.

``writer.py GEOPACKAGE COUNT SYNCHRONOUS``: one new tree and one changed tree in a transaction,
COUNT times; the number of each goes to ``/dev/acknowledged`` once its COMMIT has returned.
"""

import os
import sqlite3
import sys


def main(geopackage: str, count: int, synchronous: str) -> None:
    acknowledged = os.open("/dev/acknowledged", os.O_WRONLY)
    connection = sqlite3.connect(geopackage, isolation_level=None, timeout=60)
    connection.execute(f"PRAGMA synchronous={synchronous}")
    for number in range(1, count + 1):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO Trees (note) VALUES (?)", (f"new {number}",))
        changed = (f"changed {number}", 1 + number % 12)
        connection.execute("UPDATE Trees SET note = ? WHERE OBJECTID = ?", changed)
        connection.execute("COMMIT")
        os.write(acknowledged, f"{number}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
