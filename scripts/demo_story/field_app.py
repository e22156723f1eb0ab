"""A small field app, as a developer would write it: the Python API on a map without a network.

``inspect`` is what the person with device A does, ``photograph`` the person with device B.
"""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime

from engine import Geodatabase, OfflineMap
from scripts.demo_story import edits
from scripts.demo_story.png import photo

WHEN = datetime(2026, 11, 20, 14, 5, tzinfo=UTC)


def main(arguments: Sequence[str]) -> int:
    """``inspect|photograph MAP``; prints how many edits are pending then."""
    task, folder = arguments
    print(json.dumps({"pending": asyncio.run(work(task, folder))}))
    return 0


async def work(task: str, folder: str) -> int:
    async with OfflineMap.open(folder) as map_:
        (geodatabase,) = map_.geodatabases
        await (inspect(geodatabase) if task == "inspect" else photograph(geodatabase))
        counts = [await table.edit_counts() for table in geodatabase.feature_tables]
        return sum(count.total for count in counts)


async def inspect(geodatabase: Geodatabase) -> None:
    """Close Innsbruck and say why, with a photo; move Samedan; find a new airstrip."""
    airports, inspections = geodatabase.table("Airports"), geodatabase.table("Inspections")
    innsbruck = edits.id_of(edits.CONTESTED)
    async with geodatabase.transaction():  # kept together, or not at all
        await airports.update_feature(innsbruck, {"status": "closed"})
        await inspections.add_feature(
            {
                "airport": innsbruck,
                "inspected": WHEN,
                "inspector": "Field app",
                "score": 2,
                "remarks": "Cracks in the runway",
            }
        )
    name = edits.new_photo_name(edits.CONTESTED)
    content = photo(f"new {edits.CONTESTED}")
    await airports.add_attachment(innsbruck, name, "image/png", content)
    x, y = edits.SHARED_PLACE
    await airports.update_feature(edits.id_of(edits.SHARED), geometry={"x": x, "y": y})
    await airports.add_feature(
        {
            "icao": edits.ADDED_BY_A,
            "name": "Airstrip of device A",
            "country": "CH",
            "elevation_ft": 3120.0,
            "status": "open",
            "condition": 4,
        },
        {"x": 9.31, "y": 46.78},
    )


async def photograph(geodatabase: Geodatabase) -> None:
    airports = geodatabase.table("Airports")
    name, content = edits.new_photo_name(edits.CLEANED), photo(f"new {edits.CLEANED}")
    await airports.add_attachment(edits.id_of(edits.CLEANED), name, "image/png", content)
