"""Programs that read the file while it is synced see one version of it, and need not reopen it."""

import sqlite3
from contextlib import closing

from tests.engine.sync.fleet import HYDRANTS, Fleet, gid


async def test_reader_keeps_its_version_through_a_sync_and_needs_no_reopening(
    world: Fleet,
) -> None:
    a = await world.device("A")
    before = a.path.stat().st_ino
    query = "SELECT name FROM Hydrants WHERE GlobalID=?"
    with closing(sqlite3.connect(a.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        (old,) = reader.execute(query, (gid(1),)).fetchone()
        await world.change(HYDRANTS, gid(1), name="of the office")
        await world.edit(HYDRANTS, deletes=[gid(2)])

        await a.sync()

        assert reader.execute(query, (gid(1),)).fetchone() == (old,)
        assert reader.execute(query, (gid(2),)).fetchone() is not None
        reader.execute("COMMIT")
        assert reader.execute(query, (gid(1),)).fetchone() == ("of the office",)
        assert reader.execute(query, (gid(2),)).fetchone() is None
    assert a.path.stat().st_ino == before
