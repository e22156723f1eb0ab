"""Writes the fixture of the present schema version: run it once, before that version is released.

``python -m tests.engine.geodatabase.dump`` writes ``fixtures/schema_v<version>.sql``. A dump of a
released version is never written again: it stands for the files that are in the field.
"""

import asyncio
import sqlite3
import tempfile
from pathlib import Path

from engine.geodatabase.bookkeeping import SCHEMA_VERSION
from engine.geodatabase.geopackage import APPLICATION_ID, USER_VERSION
from tests.engine.geodatabase.made import ELM, OAK, made_trees

FIXTURES = Path(__file__).parent / "fixtures"


async def _make(path: Path) -> None:
    """Two trees and an inspection, with an edit of each kind and a photo."""
    async with await made_trees(path) as geodatabase:
        table = geodatabase.table(0)
        await table.add_attachment(OAK, "photo.jpg", None, b"JPEG")
        await table.update_feature(ELM, {"height": 7})
        await table.add_feature({"species": "OAK"}, {"x": 3, "y": 4})


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trees.gpkg")
        asyncio.run(_make(path))
        connection = sqlite3.connect(path)
        lines = [
            f"PRAGMA application_id = {APPLICATION_ID};",
            f"PRAGMA user_version = {USER_VERSION};",
            *connection.iterdump(),
        ]
        connection.close()
    target = FIXTURES / f"schema_v{SCHEMA_VERSION}.sql"
    target.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
