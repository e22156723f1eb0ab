"""Another program that edits the trees without end: ``python -m … FILE REPORT STOP SEED``.

It writes columns ``key`` and ``lazy`` only, and after each commit one line to REPORT: a JSON object
of GlobalID → the last value saved, null for a deleted row. It ends when the file STOP is there.
"""

import json
import random
import sqlite3
import sys
import time
from pathlib import Path

from tests.engine.geodatabase.statement_mix import make_guid


def write_until(path: Path, report: Path, stop: Path, seed: int) -> None:
    """Edit until told to stop."""
    rng = random.Random(seed)
    connection = sqlite3.connect(path, isolation_level=None, timeout=0)
    connection.execute("PRAGMA synchronous=OFF")
    number = 0
    with report.open("w", encoding="utf-8") as lines:
        while not stop.exists():
            saved: dict[str, int | None] = {}
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                time.sleep(0.001)  # SQLite's own busy handler would sleep for up to 0.1 s
                continue
            for _ in range(rng.randrange(1, 5)):
                number += 1
                _edit(connection, rng, seed * 10_000_000 + number, saved)
            if rng.random() < 0.1:
                connection.execute("ROLLBACK")
                continue
            connection.execute("COMMIT")
            lines.write(json.dumps(saved) + "\n")
            lines.flush()
            time.sleep(0.001)
    connection.close()


def _edit(
    connection: sqlite3.Connection, rng: random.Random, token: int, saved: dict[str, int | None]
) -> None:
    rows = connection.execute(
        "SELECT GlobalID,fid FROM trees WHERE fid>=? ORDER BY fid LIMIT 1", (rng.randrange(1, 400),)
    ).fetchall()
    kind = rng.choice(("insert", "update", "update", "update", "replace", "delete", "move"))
    if kind == "insert" or not rows:
        gid = make_guid(rng)
        connection.execute("INSERT INTO trees(GlobalID,key) VALUES(?,?)", (gid, token))
        saved[gid] = token
        return
    gid, fid = rows[0]
    if kind == "delete":
        if rng.random() < 0.3:
            connection.execute("DELETE FROM trees WHERE fid=?", (fid,))
            saved[gid] = None
        return
    if kind == "replace":
        names = 'fid,GlobalID,geom,OBJECTID,id,key,lazy,"select","a""b"'
        rest = 'fid,GlobalID,geom,OBJECTID,id,?,lazy,"select","a""b"'
        connection.execute(
            f"REPLACE INTO trees({names}) SELECT {rest} FROM trees WHERE fid=?", (token, fid)
        )
    elif kind == "move":
        connection.execute(
            "UPDATE trees SET fid=(SELECT max(fid)+1 FROM trees),key=? WHERE fid=?", (token, fid)
        )
    else:
        connection.execute("UPDATE trees SET key=?,lazy=? WHERE fid=?", (token, token / 3, fid))
    saved[gid] = token


if __name__ == "__main__":
    write_until(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
