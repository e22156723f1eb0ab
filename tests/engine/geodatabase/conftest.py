"""What many tests of a geodatabase begin with: a layer, a file with it, and a whole geodatabase."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.layer_table import LayerTable
from tests.engine.geodatabase.log_oracle import create_file, insert_own
from tests.engine.geodatabase.made import made_trees
from tests.engine.geodatabase.tree_rows import LAZY_TREES, TREES, two_rows


@pytest.fixture(params=[TREES, LAZY_TREES], ids=["whole", "lazy"])
def table(request: pytest.FixtureRequest) -> LayerTable:
    """A layer, also one whose geometry the log keeps only when it changes."""
    value: LayerTable = request.param
    return value


@pytest.fixture
def engine(tmp_path: Path, table: LayerTable) -> Iterator[sqlite3.Connection]:
    """A file with two rows of that layer, as the engine has it open."""
    connection = create_file(tmp_path / "a.gpkg", table)
    insert_own(connection, table, two_rows(table))
    yield connection
    connection.close()


@pytest.fixture
async def geodatabase(tmp_path: Path) -> AsyncIterator[Geodatabase]:
    """Trees with photos, and their inspections."""
    async with await made_trees(tmp_path / "trees.gpkg") as geodatabase:
        yield geodatabase
